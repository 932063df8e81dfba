//! The dummy accelerator: registers and a memory window to try accesses on (OPAE, `dummy_afu`).

vfio_hal::registers! {
    /// The registers of the dummy accelerator.
    pub block Dummy[0x2060];

    /// The header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Low half of the GUID.
    pub GUID_L @ 0x08 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x10 RO<u64>;
    /// Holds what is written to it.
    pub SCRATCH @ 0x28 RW<u64>;
    /// Memory for tests of accesses.
    pub MMIO_TEST @ 0x1000 + 8 * [512] RW<u64>;
    /// Control of the memory test.
    pub MEM_TEST_CTRL @ 0x2040 RW<u64> { start: 0 }
    /// State of the memory test.
    pub MEM_TEST_STATUS @ 0x2048 RO<u64>;
    /// Address of the memory test's source.
    pub MEM_TEST_SRC @ 0x2050 BUS<u64, align 64>;
    /// Address of the memory test's destination.
    pub MEM_TEST_DST @ 0x2058 BUS<u64, align 64>;
}
