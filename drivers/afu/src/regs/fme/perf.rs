//! Performance counters (features 3 and 7; Linux, `dfl-fme-perf.c`).
//!
//! A counter register shows one event at a time: the event is written to the control register, and the counter is valid
//! once its own event field says the same. Only the integrated block (3) has cache, VTD and SIP counters.

vfio_hal::registers! {
    /// The performance block.
    pub block Perf[0x58];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Cache counters: which.
    pub CACHE_CTRL @ 0x08 RW<u64> {
        reset: 0, freeze: 8,
        /// 0 read hit, 1 write hit, 2 read miss, 3 write miss, 5 hold request, 6 data write port contention, 7 tag write
        /// port contention, 8 TX request stall, 9 RX request stall, 10 evictions.
        event: 19:16,
        /// Writes; otherwise reads.
        write_channel: 20,
    }
    /// Cache counter, channel 0.
    pub CACHE_CNTR0 @ 0x10 RO<u64> { count: 47:0, event: 63:60 }
    /// Cache counter, channel 1.
    pub CACHE_CNTR1 @ 0x18 RO<u64> { count: 47:0, event: 63:60 }
    /// Fabric counters: which.
    pub FAB_CTRL @ 0x20 RW<u64> {
        reset: 0, freeze: 8,
        /// 0 PCIe 0 read, 1 write, 2 PCIe 1 read, 3 write, 4 UPI read, 5 write, 6 MMIO read, 7 write.
        event: 19:16,
        port: 21:20,
        /// Only that port; otherwise all.
        port_filter: 23,
    }
    /// Fabric counter.
    pub FAB_CNTR @ 0x28 RO<u64> { count: 59:0, event: 63:60 }
    /// Clocks of the fabric; never reset or frozen.
    pub CLK_CNTR @ 0x30 RO<u64>;
    /// IOMMU counters: which.
    pub VTD_CTRL @ 0x38 RW<u64> {
        reset: 0, freeze: 8,
        /// 0 memory read, 1 write, 2 device TLB read hit, 3 write hit, 4 fill of 4 KiB, 5 of 2 MiB, 6 of 1 GiB.
        event: 19:16,
    }
    /// IOMMU counter.
    pub VTD_CNTR @ 0x40 RO<u64> { count: 47:0, event: 63:60 }
    /// System IOMMU counters: which.
    pub VTD_SIP_CTRL @ 0x48 RW<u64> {
        reset: 0, freeze: 8,
        /// 0 IOTLB hit of 4 KiB, 1 of 2 MiB, 2 of 1 GiB, 3 and 4 page walk hit, 5 root and context cache hit; 6 to 11 the
        /// misses.
        event: 19:16,
    }
    /// System IOMMU counter.
    pub VTD_SIP_CNTR @ 0x50 RO<u64> { count: 47:0, event: 63:60 }
}
