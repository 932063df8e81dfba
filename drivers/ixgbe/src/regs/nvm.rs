//! EEPROM, flash and the semaphores shared with firmware (datasheet 8.2.3.2, 8.2.3.4, 10.5.4).

vfio_hal::registers! {
    in super::Ixgbe;

    /// EEPROM and flash control (8.2.3.2.1).
    pub EEC @ 0x10010 RW {
        sk: 0, cs: 1, di: 2, dout: 3,
        /// Flash writes: 1 disabled, 2 enabled.
        fwe: 5:4,
        req: 6, gnt: 7,
        /// An EEPROM is there and its signature is right.
        pres: 8,
        /// The device has read its EEPROM after a reset.
        auto_rd: 9,
        /// The EEPROM has 2^(6 + size) words.
        size: 14:11,
        pci_ana_done: 15, pci_core_done: 16, pci_general_done: 17, pci_func_done: 18,
        core_done: 19, core_csr_done: 20, mac_done: 21,
        flupd: 23, sec1val: 25, fludone: 26,
    }
    /// EEPROM read (8.2.3.2.2): write `start` with `addr`, poll `done`, take `data`.
    pub EERD @ 0x10014 RW {
        start: 0,
        done: 1,
        /// In words of 16 bits.
        addr: 15:2,
        data: 31:16,
    }
    /// EEPROM write (X540, X550): the same shape as EERD.
    pub EEWR @ 0x10018 RW { start: 0, done: 1, addr: 15:2, data: 31:16 }
    /// Flash access (8.2.3.2).
    pub FLA @ 0x1001C RW { locked: 6 }
    /// Firmware's EEPROM status (8.2.3.2): `cfg_done` of the two ports.
    pub EEMNGCTL @ 0x10110 RW { cfg_done0: 18, cfg_done1: 19 }
    /// What the EEPROM says of manageability and wake-up (8.2.3.2).
    pub GRC @ 0x10200 RW { mnge: 0, apme: 1 }
    /// Software semaphore between the drivers of the two ports (8.2.3.4). A read that gives `smbi` 0 has set it.
    pub SWSM @ 0x10140 RW {
        smbi: 0,
        /// Guards SW_FW_SYNC against firmware: write 1, and it is owned if it reads 1.
        swesmbi: 1,
    }
    /// Firmware semaphore and status (8.2.3.4.10).
    pub FWSM @ 0x10148 RO {
        fwsmbi: 0,
        fw_mode: 3:1,
        eep_reload_ind: 6,
        fw_val: 15,
        reset_cnt: 18:16,
        /// Not 0: firmware found an error (4.6.3).
        ext_err_ind: 24:19,
        pcie_config_err_ind: 25, phy_serdes0_config_err_ind: 26, phy_serdes1_config_err_ind: 27,
    }
    /// Which shared resources software and firmware own (8.2.3.4; Linux and DPDK: GSSR). Only under SWSM.swesmbi.
    pub SW_FW_SYNC @ 0x10160 RW {
        sw_eep: 0, sw_phy0: 1, sw_phy1: 2, sw_mac_csr: 3, sw_flash: 4,
        fw_eep: 5, fw_phy0: 6, fw_phy1: 7, fw_mac_csr: 8, fw_flash: 9,
        sw_mng: 10,
        /// X540 and X550: the register's own semaphore.
        regsmp: 31,
    }
    /// Host interface to firmware (10.5.4): data.
    pub FLEX_MNG @ 0x15800 + 4 * [448] RW;
    /// Host interface to firmware (10.5.4): control.
    pub HICR @ 0x15F00 RW { en: 0, c: 1, sv: 2, fw_reset_enable: 6, fw_reset: 7 }
    /// Firmware status.
    pub FWSTS @ 0x15F0C RW { eep_reload: 0, fwri: 9 }
}
