//! The header of a port (Linux, `dfl.h`).

use core::time::Duration;

use vfio_hal::poll::Quiesce;

vfio_hal::registers! {
    /// The header.
    pub block PortHeader[0x70];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Low half of the GUID.
    pub GUID_L @ 0x08 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x10 RO<u64>;
    /// Where the AFU is, in bytes from this header; 0 for none.
    pub NEXT_AFU @ 0x18 RO<u64> { offset: 23:0 }
    /// What the port is.
    pub CAP @ 0x30 RO<u64> {
        number: 1:0,
        /// KiB of the AFU's registers.
        mmio_size: 23:8,
        interrupts: 35:32,
    }
    /// Control.
    pub CTRL @ 0x38 RW<u64> {
        /// Holds the port and its AFU in reset.
        sftrst: 0,
        /// Latency tolerance of 40 µs and more.
        ltr: 2,
        /// The port is in reset: all requests are drained.
        sftrst_ack: 4,
    }
    /// Status; the events clear by writing a 1.
    pub STS @ 0x40 W1C<u64> {
        /// 0 normal, 1 AP1 (50 %), 2 AP2 (90 %), 6 AP6 (100 %).
        power_state: 11:8,
        ap1_event: 12,
        ap2_event: 13,
    }
    /// User clock: command to the PLL. Only in revision 0.
    pub USRCLK_CMD0 @ 0x50 RW<u64> {
        data: 31:0,
        address: 41:32,
        write: 44,
        sequence: 49:48,
        mgmt_mask: 51,
        avmm_reset_n: 52,
        mgmt_reset: 56,
        pll_reset: 57,
    }
    /// User clock: what to measure.
    pub USRCLK_CMD1 @ 0x58 RW<u64> {
        /// The faster clock (2×); otherwise the slower one.
        measure_high: 32,
    }
    /// User clock: the PLL's answer.
    pub USRCLK_STS0 @ 0x60 RO<u64> {
        data: 31:0,
        address: 41:32,
        sequence: 49:48,
        locked: 60,
        avmm_error: 63,
    }
    /// User clock: measurement.
    pub USRCLK_STS1 @ 0x68 RO<u64> {
        /// In units of 10 kHz.
        frequency: 16:0,
        measured_high: 32,
        reference: 50:33,
        family: 59:54,
        version: 63:60,
    }
}

/// The port acknowledges its reset once everything that its AFU had requested is done (Linux, `__afu_port_disable`).
impl Quiesce for CTRL {
    const WHAT: &'static str = "port reset: acknowledged";
    const SETTLE: Duration = Duration::ZERO;

    fn is_quiet(self) -> bool {
        self.sftrst() && self.sftrst_ack()
    }
}
