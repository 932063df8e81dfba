//! Receive filters: addresses, VLAN, EtherType (sections 8.10 and 8.11).

vfio_hal::registers! {
    in super::Igb;

    /// Multicast table, 4,096 bits (8.10).
    pub MTA @ 0x05200 + 4 * [128] RW;
    /// Receive address, bytes 0 to 3 (8.10). The 82576 has 24 of them, the I350 32.
    pub RAL @ 0x05400 + 8 * [16], 0x054E0 + 8 * [16] RW;
    /// Receive address, bytes 4 and 5 (8.10).
    pub RAH @ 0x05404 + 8 * [16], 0x054E4 + 8 * [16] RW {
        rah: 15:0,
        /// 0: the destination is compared.
        asel: 17:16,
        /// Pools, a bit each.
        pool: 25:18,
        /// The address is valid.
        av: 31,
    }
    /// VLAN filter table, 4,096 bits (8.10).
    pub VFTA @ 0x05600 + 4 * [128] RW;
    /// Unicast table of virtualization, 4,096 bits (8.14).
    pub UTA @ 0x0A000 + 4 * [128] RW;
    /// TCP SYN filter (8.11).
    pub SYNQF @ 0x055FC RW { queue_enable: 0, rx_queue: 3:1 }
    /// EtherType filter (8.11).
    pub ETQF @ 0x05CB0 + 4 * [8] RW {
        etype: 15:0,
        rx_queue: 18:16,
        filter_en: 26,
        ieee1588: 30,
        queue_en: 31,
    }
    /// 5-tuple filter of the 82576, 2-tuple filter of the I350 (8.11): the rest, with the enable bit.
    pub FTQF @ 0x059E0 + 4 * [8] RW { protocol: 7:0, queue_enable: 8, mask: 31:28 }
}
