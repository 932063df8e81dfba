//! Wake-up and management (datasheet 8.2.3.24, 8.2.3.25).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Wake-up control (8.2.3.24.1).
    pub WUC @ 0x05800 RW { pme_en: 1, pme_status: 2, wken: 4 }
    /// Wake-up filters (8.2.3.24.2).
    pub WUFC @ 0x05808 RW {
        lnkc: 0, mag: 1, ex: 2, mc: 3, bc: 4, arp: 5, ipv4: 6, ipv6: 7, mng: 8, ignore_tco: 15, flx: 21:16, fw_rst_wk: 31,
    }
    /// Why the device woke up (8.2.3.24).
    pub WUS @ 0x05810 W1C { lnkc: 0, mag: 1, ex: 2, mc: 3, bc: 4, arp: 5, ipv4: 6, ipv6: 7, mng: 8, flx: 21:16 }
    /// Management control (8.2.3.25.4).
    pub MANC @ 0x05820 RW {
        rcv_tco_en: 17, rcv_all: 19, mcst_pass_l2: 20, en_mng2host: 21, bypass_vlan: 22, en_xsum_filter: 23,
        en_ipv4_filter: 24, fixed_net_type: 25, net_type: 26,
    }
    /// Management packets that go to the host too (8.2.3.25).
    pub MANC2H @ 0x05860 RW;
}
