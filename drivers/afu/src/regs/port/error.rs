//! Errors of a port (feature 10h; Linux, `dfl-afu-error.c`; bits where OPAE's `fpgad` looks for them).

vfio_hal::registers! {
    /// The error block.
    pub block PortErrorBlock[0x40];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Mask.
    pub PORT_ERROR_MASK @ 0x08 RW<u64>;
    /// Errors, of revision 0. Clear by writing back what was read, with the port held in reset.
    pub PORT_ERROR @ 0x10 W1C<u64> {
        tx0_overflow: 0, tx0_invalid: 1, tx0_cl_len3: 2, tx0_cl2_unaligned: 3, tx0_cl4_unaligned: 4,
        /// The AFU's registers were read while the port was in reset.
        mmio_read_in_reset: 9,
        /// The AFU's registers were written while the port was in reset.
        mmio_write_in_reset: 10,
        tx1_overflow: 16, tx1_invalid: 17, tx1_cl_len3: 18, tx1_cl2_unaligned: 19, tx1_cl4_unaligned: 20,
        tx1_short_payload: 21, tx1_long_payload: 22, tx1_wrong_address: 23, tx1_sop: 24, tx1_no_sop: 25,
        tx1_atomic_vc: 26,
        mmio_timeout: 32, tx2_overflow: 33, mmio_unexpected: 34, requests_overflow: 40,
        smm_range: 41, smm2_range: 42, me_stolen_range: 43, protected_range: 44, legacy_low: 45, legacy_high: 46,
        vga_range: 47, page_fault: 48, pmr: 49,
        ap6: 50,
        vf_flr: 51,
        tx1_byte_len: 56, tx1_byte_range: 57, tx1_byte_cl: 58, tx1_byte_mode: 59,
    }
    /// The error that was first; cleared like the errors.
    pub PORT_FIRST_ERROR @ 0x18 W1C<u64>;
    /// The first request that was malformed, low half.
    pub PORT_MALFORMED_REQ0 @ 0x20 RO<u64>;
    /// The first request that was malformed, high half.
    pub PORT_MALFORMED_REQ1 @ 0x28 RO<u64>;
    /// The interrupt of the error block.
    pub PORT_ERROR_CAP @ 0x38 RO<u64> { supported: 0, vector: 12:1 }
}
