//! General control: reset, status, pins, LEDs (datasheet 8.2.3.1, 8.2.3.15).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Device control (8.2.3.1.1). Not to be read again within 1 ms after a reset was set off (4.6.3.2).
    pub CTRL @ 0x00000 RW {
        /// No new PCIe requests by the device; STATUS says when the last is done.
        pcie_master_disable: 2,
        /// Resets MAC and link too; clears itself.
        lrst: 3,
        /// Resets the device; clears itself.
        rst: 26,
    }
    /// Device status (8.2.3.1.2).
    pub STATUS @ 0x00008 RO {
        /// Which port of the device.
        lan_id: 3:2,
        link_up: 7,
        num_vfs: 17:10,
        iov_active: 18,
        /// PCIe requests of the device may be pending: 0 once CTRL.pcie_master_disable took effect.
        pcie_master_enable: 19,
    }
    /// Extended device control (8.2.3.1.3).
    pub CTRL_EXT @ 0x00018 RW {
        /// Tells all virtual functions that the physical function has reset; clears itself.
        pfrstd: 14,
        /// No-snoop off; must be set when receive is initialised (4.6.7).
        ns_dis: 16,
        /// Relaxed ordering off.
        ro_dis: 17,
        /// Packets carry an outer VLAN tag (QinQ).
        extended_vlan: 26,
        /// A driver runs; firmware looks at it.
        drv_load: 28,
    }
    /// Software-definable pins (8.2.3.1.4). On SFP+ boards: 2 module in the cage, 3 laser off, 5 rate select.
    pub ESDP @ 0x00020 RW {
        sdp0: 0, sdp1: 1, sdp2: 2, sdp3: 3, sdp4: 4, sdp5: 5, sdp6: 6, sdp7: 7,
        /// One bit per pin, 1 is output.
        iodir: 15:8,
        sdp0_native: 16, sdp1_native: 17,
    }
    /// The I2C pins to the SFP+ module (8.2.3.1.5).
    pub I2CCTL @ 0x00028 RW { clk_in: 0, clk_out: 1, data_in: 2, data_out: 3 }
    /// I2CCTL of the X550.
    pub I2CCTL_X550 @ 0x15F5C RW {
        bb_en: 8, clk_out: 9, data_out: 10, data_oe_n: 11, data_in: 12, clk_oe_n: 13, clk_in: 14,
    }
    /// TCP timer (8.2.3.15): fires an interrupt after a duration.
    pub TCPTIMER @ 0x0004C RW {
        /// In milliseconds.
        duration: 7:0,
        kick_start: 8,
        count_enable: 9,
        count_finish: 10,
        repeat: 11,
    }
    /// LEDs (8.2.3.1.6): mode 0 link up, 1 10 Gb/s, 4 link and activity, 5 1 Gb/s, 14 on, 15 off.
    pub LEDCTL @ 0x00200 RW {
        led0_mode: 3:0, global_blink: 5, led0_invert: 6, led0_blink: 7,
        led1_mode: 11:8, led1_invert: 14, led1_blink: 15,
        led2_mode: 19:16, led2_invert: 22, led2_blink: 23,
        led3_mode: 27:24, led3_invert: 30, led3_blink: 31,
    }
    /// The type of an outer VLAN tag (8.2.3.1.7).
    pub EXVET @ 0x05078 RW { vet_ext: 31:16 }
}

impl vfio_hal::poll::Quiesce for STATUS {
    const WHAT: &'static str = "end of PCIe requests (STATUS, PCIe master enable status)";

    // 5.2.5.3.2: after CTRL's PCIe master disable, this bit reads 0 when no request is pending.
    fn is_quiet(self) -> bool {
        !self.pcie_master_enable()
    }
}
