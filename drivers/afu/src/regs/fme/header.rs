//! The header of the management engine (Linux, `dfl.h`).

vfio_hal::registers! {
    /// The header.
    pub block FmeHeader[0x70];

    /// The feature's header.
    pub DFH @ 0x00 RO<u64> { id: 11:0, revision: 15:12, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Low half of the GUID.
    pub GUID_L @ 0x08 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x10 RO<u64>;
    /// What the fabric is.
    pub CAP @ 0x30 RO<u64> {
        fabric_version: 7:0,
        socket: 8,
        pcie0_link: 12, pcie1_link: 13, coherent_link: 14, iommu: 16,
        ports: 19:17,
        /// Bits of an address.
        address_width: 29:24,
        /// KiB.
        cache_size: 43:32,
        cache_ways: 47:44,
    }
    /// Where the ports are.
    pub PORT_OFST @ 0x38 + 8 * [4] RO<u64> {
        /// Bytes from the start of the BAR.
        offset: 23:0,
        /// 7: the port is not to be looked for here, it is in another list.
        bar: 34:32,
        /// Belongs to a virtual function, otherwise to the physical one.
        vf: 55,
        implemented: 60,
    }
    /// The static region's bitstream.
    pub BITSTREAM_ID @ 0x60 RO<u64> { hash: 31:0, variant: 35:32, patch: 47:40, minor: 55:48, major: 63:56 }
    /// When the static region was built.
    pub BITSTREAM_MD @ 0x68 RO<u64> { seed: 3:0, day: 11:4, month: 19:12, year: 27:20 }
}
