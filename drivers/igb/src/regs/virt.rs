//! Virtualization (section 8.14), as far as it has to be switched off.

vfio_hal::registers! {
    in super::Igb;

    /// Which pool packets without one belong to (8.14).
    pub VT_CTL @ 0x0581C RW { def_pl: 9:7, ignore_mac: 28, dis_def_pool: 29, rpl_en: 30 }
    /// VLANs of pools (8.14).
    pub VLVF @ 0x05D00 + 4 * [32] RW { vlan_id: 11:0, poolsel: 19:12, lvlan: 20, vi_en: 31 }
}
