//! Temperature (feature 1; Linux, `dfl-fme-main.c`).

vfio_hal::registers! {
    /// The thermal block.
    pub block Thermal[0x28];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Thresholds in °C, and what they did.
    pub TEMP_THRESHOLD @ 0x08 RW<u64> {
        threshold1: 6:0, threshold1_enable: 7,
        threshold2: 14:8, threshold2_enable: 15,
        /// The card shuts down.
        trip: 30:24,
        threshold1_reached: 32, threshold2_reached: 33,
        /// At threshold 1: throttles by 50 % (AP1), otherwise by 90 % (AP2).
        threshold1_ap1: 44,
    }
    /// The temperature.
    pub TEMP_SENSOR @ 0x10 RO<u64> {
        /// °C.
        celsius: 6:0,
        /// Counts readings.
        sequence: 23:8, valid: 24,
    }
    /// The same in a second format; read by nobody known.
    pub TEMP_SENSOR2 @ 0x18 RO<u64>;
    /// What the block can do.
    pub TEMP_CAP @ 0x20 RO<u64> {
        /// No thresholds and no throttling.
        no_throttle: 0,
    }
}
