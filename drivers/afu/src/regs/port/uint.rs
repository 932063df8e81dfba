//! User interrupts of a port (feature 12h; Linux, `dfl.c`).

vfio_hal::registers! {
    /// The user interrupt block.
    pub block UserInterrupts[0x10];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// How many, and which vectors.
    pub UINT_CAP @ 0x08 RO<u64> { count: 11:0, first_vector: 23:12 }
}
