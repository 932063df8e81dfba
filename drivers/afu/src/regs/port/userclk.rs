//! The user clock as a feature of its own (14h), for ports whose header has none (OPAE, `fpga_user_clk_int.h`).
//!
//! The registers and fields are those of the [port's header](super::header), from its `USRCLK_CMD0` on.

vfio_hal::registers! {
    /// The user clock block.
    pub block UserClock[0x28];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Command to the PLL.
    pub FREQ_CMD0 @ 0x08 RW<u64> {
        data: 31:0, address: 41:32, write: 44, sequence: 49:48, mgmt_mask: 51, avmm_reset_n: 52, mgmt_reset: 56,
        pll_reset: 57,
    }
    /// What to measure.
    pub FREQ_CMD1 @ 0x10 RW<u64> { measure_high: 32 }
    /// The PLL's answer.
    pub FREQ_STS0 @ 0x18 RO<u64> { data: 31:0, address: 41:32, sequence: 49:48, locked: 60, avmm_error: 63 }
    /// Measurement.
    pub FREQ_STS1 @ 0x20 RO<u64> {
        /// In units of 10 kHz.
        frequency: 16:0,
        measured_high: 32, reference: 50:33, family: 59:54, version: 63:60,
    }
}
