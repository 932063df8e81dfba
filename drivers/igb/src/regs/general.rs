//! General control: reset, link, MDIO, LEDs (section 8.2).

vfio_hal::registers! {
    in super::Igb;

    /// Device control (8.2.1).
    pub CTRL @ 0x00000 RW {
        /// Full duplex, if `frcdplx`.
        fd: 0,
        /// No new PCIe requests by the device; STATUS says when the last is done.
        gio_master_disable: 2,
        /// The link may come up.
        slu: 6,
        /// 0 10 Mb/s, 1 100 Mb/s, 2 1 Gb/s, if `frcspd`.
        speed: 9:8,
        /// The MAC takes `speed` instead of what the PHY says.
        frcspd: 11,
        /// The MAC takes `fd` instead of what the PHY says.
        frcdplx: 12,
        /// Resets the device; clears itself.
        rst: 26,
        /// Pause frames are obeyed.
        rfce: 27,
        /// Pause frames are sent.
        tfce: 28,
        /// VLAN tags are taken out of received packets, on all queues.
        vme: 30,
        phy_rst: 31,
    }
    /// Device status (8.2.2).
    pub STATUS @ 0x00008 RO {
        fd: 0,
        /// The link is up.
        lu: 1,
        /// Which port of the device.
        lan_id: 3:2,
        txoff: 4,
        /// 0 10 Mb/s, 1 100 Mb/s, 2 and 3 1 Gb/s.
        speed: 7:6,
        phyra: 10,
        num_vfs: 17:14,
        iov_mode: 18,
        /// PCIe requests of the device may be pending: 0 once CTRL.gio_master_disable took effect.
        gio_master_enable: 19,
    }
    /// Extended device control (8.2.3).
    pub CTRL_EXT @ 0x00018 RW {
        /// Tells all virtual functions that the physical function has reset.
        pfrstd: 14,
        /// No-snoop off.
        ns_dis: 16,
        /// Relaxed ordering off.
        ro_dis: 17,
        /// 0 copper, 2 SGMII, 3 SerDes.
        link_mode: 23:22,
        /// Packets carry an outer VLAN tag (QinQ).
        ext_vlan: 26,
        /// A driver runs; firmware looks at it.
        drv_load: 28,
    }
    /// The PHY's registers, by MDIO clause 22 (8.2.4).
    pub MDIC @ 0x00020 RW {
        data: 15:0,
        regadd: 20:16,
        /// 1 on the 82576; the I350 takes it from MDICNFG.
        phyadd: 25:21,
        /// 1 write, 2 read.
        op: 27:26,
        /// The command is done.
        ready: 28,
        mdi_ie: 29,
        /// The PHY did not answer.
        error: 30,
        destination: 31,
    }
    /// I350: which PHY MDIC speaks with (I350 datasheet 8.2).
    pub MDICNFG @ 0x00E04 RW { phyadd: 25:21, destination: 31 }
    /// The EtherTypes of VLAN tags (8.2).
    pub VET @ 0x00038 RW { vet: 15:0, vet_ext: 31:16 }
    /// LEDs (8.2): mode 2 link up, 3 filtered activity, 14 on, 15 off.
    pub LEDCTL @ 0x00E00 RW {
        led0_mode: 3:0, led0_invert: 6, led0_blink: 7,
        led1_mode: 11:8, led1_invert: 14, led1_blink: 15,
        led2_mode: 19:16, led2_invert: 22, led2_blink: 23,
        led3_mode: 27:24, led3_invert: 30, led3_blink: 31,
    }
}

impl vfio_hal::poll::Quiesce for STATUS {
    const WHAT: &'static str = "end of PCIe requests (STATUS, GIO master enable status)";

    // 5.2.3.3: after CTRL's GIO master disable, this bit reads 0 when no request is pending.
    fn is_quiet(self) -> bool {
        !self.gio_master_enable()
    }
}
