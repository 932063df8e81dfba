//! Device feature headers (Linux, `Documentation/fpga/dfl.rst` and `dfl.h`).
//!
//! A list is walked by raw offsets that are checked one by one, so these types are used for their values; a header may be
//! the last 8 bytes of a BAR.

vfio_hal::registers! {
    /// What a feature starts with. A private feature of version 0 has only the first word.
    pub block Header[0x40];

    /// The header.
    pub DFH @ 0x00 RO<u64> {
        id: 11:0,
        revision: 15:12,
        /// Bytes to the next header, a multiple of 8; of the last feature, its size or 0.
        next: 39:16,
        /// The list ends here.
        eol: 40,
        /// Minor revision of an AFU.
        minor: 51:48,
        /// 0 or 1.
        version: 59:52,
        /// 1 AFU, 3 private feature, 4 FIU, 5 interface.
        kind: 63:60,
    }
    /// Low half of the GUID, of FIU and AFU in version 0 and of all features in version 1.
    pub GUID_L @ 0x08 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x10 RO<u64>;
    /// Version 0, FIU and AFU: where the AFU is, in bytes from this header; 0 for none.
    pub NEXT_AFU @ 0x18 RO<u64> { offset: 23:0 }
    /// Version 1: where the feature's registers are.
    pub CSR_ADDR @ 0x18 RO<u64> {
        /// An address on the bus (absolute), otherwise bytes from this header.
        absolute: 0,
        /// An absolute address in units of 2 bytes; a relative one in bytes, as it stands here (Linux, `dfl.c`).
        half_address: 63:1,
    }
    /// Version 1: how large they are, and to what they belong.
    pub CSR_SIZE_GROUP @ 0x20 RO<u64> {
        instance: 15:0,
        group: 30:16,
        /// Parameters follow.
        has_params: 31,
        /// Bytes of registers.
        size: 63:32,
    }
    /// Version 1: the first parameter's header; its data follow, then the next parameter's.
    pub PARAM @ 0x28 RO<u64> {
        id: 15:0,
        version: 31:16,
        /// No further parameter.
        last: 32,
        /// From this header to the next one, in 8-byte words.
        next_words: 63:35,
    }
    /// Version 1, data of a MSI-X parameter (id 1).
    pub PARAM_MSIX @ 0x30 RO<u64> { start: 31:0, count: 63:32 }
}
