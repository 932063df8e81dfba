//! Power (feature 2; Linux, `dfl-fme-main.c`).

vfio_hal::registers! {
    /// The power block.
    pub block Power[0x28];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// What is consumed.
    pub PWR_STATUS @ 0x08 RO<u64> {
        watts: 17:0,
        /// Latency tolerance is reported.
        ltr: 18,
    }
    /// Thresholds in watts, and whether they were reached.
    pub PWR_THRESHOLD @ 0x10 RW<u64> {
        threshold1: 6:0, threshold2: 14:8, threshold1_reached: 16, threshold2_reached: 17,
    }
    /// What the processor beside an integrated FPGA may take.
    pub XEON_LIMIT @ 0x18 RO<u64> {
        /// In units of 0.1 W.
        limit: 14:0,
        enabled: 15,
    }
    /// What an integrated FPGA may take.
    pub FPGA_LIMIT @ 0x20 RO<u64> {
        /// In units of 0.1 W.
        limit: 14:0,
        enabled: 15,
    }
}
