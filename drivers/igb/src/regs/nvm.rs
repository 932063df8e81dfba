//! The NVM, and the semaphores shared with firmware (sections 8.4 and 8.7).

vfio_hal::registers! {
    in super::Igb;

    /// NVM control (8.4.1; Linux and DPDK: EECD).
    pub EEC @ 0x00010 RW {
        sk: 0, cs: 1, di: 2, dout: 3,
        fwe: 5:4,
        req: 6, gnt: 7,
        /// An EEPROM is there and its signature is right.
        pres: 8,
        /// The device has read its EEPROM after a reset.
        auto_rd: 9,
        /// The EEPROM has 2^(6 + size) words.
        size: 14:11,
    }
    /// NVM read (8.4.2): write `start` with `addr`, poll `done`, take `data`.
    pub EERD @ 0x00014 RW {
        start: 0,
        done: 1,
        /// In words of 16 bits.
        addr: 15:2,
        data: 31:16,
    }
    /// Management's view of the NVM (8.4): the ports' PHYs are configured.
    pub EEMNGCTL @ 0x01010 RW { cfg_done0: 18, cfg_done1: 19, cfg_done2: 20, cfg_done3: 21 }
    /// Software semaphore between the drivers of the ports (8.7). A read that gives `smbi` 0 has set it.
    pub SWSM @ 0x05B50 RW {
        smbi: 0,
        /// Guards SW_FW_SYNC against firmware: write 1, and it is owned if it reads 1.
        swesmbi: 1,
    }
    /// Firmware semaphore and status (8.7).
    pub FWSM @ 0x05B54 RO { fwsmbi: 0, fw_mode: 3:1, eep_reload_ind: 6, fw_val: 15, reset_cnt: 18:16 }
    /// Which shared resources software and firmware own (8.7). Only under SWSM.swesmbi.
    pub SW_FW_SYNC @ 0x05B5C RW {
        sw_eep: 0, sw_phy0: 1, sw_phy1: 2, sw_mac_csr: 3,
        /// I350: the PHYs of ports 2 and 3.
        sw_phy2: 5, sw_phy3: 6,
        fw_eep: 16, fw_phy0: 17, fw_phy1: 18, fw_mac_csr: 19,
        fw_phy2: 21, fw_phy3: 22,
    }
}
