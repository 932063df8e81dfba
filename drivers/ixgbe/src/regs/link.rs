//! MAC, link and PHY (datasheet 8.2.3.22).

vfio_hal::registers! {
    in super::Ixgbe;

    /// 1 Gb/s PCS configuration (8.2.3.22.1).
    pub PCS1GCFIG @ 0x04200 RW { pcs_isolate: 30 }
    /// 1 Gb/s link control (8.2.3.22.2).
    pub PCS1GLCTL @ 0x04208 RW {
        flv: 0, force_link: 5, link_latch_low: 6, an_enable: 16, an_restart: 17, an_timeout_en: 18, an_sgmii_bypass: 19,
        an_sgmii_trigger: 20, fast_link_timer: 24, link_ok_fix: 25,
    }
    /// 1 Gb/s link status (8.2.3.22.3).
    pub PCS1GLSTA @ 0x0420C RO {
        link_ok: 0, sync_ok: 4, an_complete: 16, an_page_received: 17, an_timed_out: 18, an_remote_fault: 19, an_error: 20,
    }
    /// 1 Gb/s advertisement (8.2.3.22.4).
    pub PCS1GANA @ 0x04218 RW { fdc: 5, sym_pause: 7, asm_pause: 8, rflt: 13:12, next_page: 15 }
    /// 1 Gb/s link partner (8.2.3.22.5).
    pub PCS1GANLP @ 0x0421C RO { lpfd: 5, lphd: 6, lp_sym_pause: 7, lp_asm_pause: 8, rflt: 13:12, ack: 14, next_page: 15 }
    /// MAC control (8.2.3.22.8).
    pub HLREG0 @ 0x04240 RW {
        txcrcen: 0,
        /// Must agree with RDRXCTL.crcstrip.
        rxcrcstrp: 1,
        /// Packets longer than 1,518 bytes, up to MAXFRS.
        jumboen: 2,
        /// Pads short packets.
        txpaden: 10,
        /// Loops transmit back to receive; needs AUTOC.flu.
        lpbk: 15,
        mdcspd: 16,
        contmdc: 17,
        prepend: 23:20,
        rxlngtherren: 27,
        rxpadstripen: 28,
    }
    /// MAC status (8.2.3.22.9).
    pub HLREG1 @ 0x04244 RO { rxerrsym: 4, rxillsym: 5, rxidlerr: 6, rxlclflt: 7, rxrmtflt: 8 }
    /// Pause and pace (8.2.3.22.10): `pace` in 1/16 of the rate, 0 or 15 is all of it.
    pub PAP @ 0x04248 RW { pace: 19:16 }
    /// MDIO command (8.2.3.22.11).
    pub MSCA @ 0x0425C RW {
        mdiadd: 15:0,
        devadd: 20:16,
        phyadd: 25:21,
        /// 0 address, 1 write, 2 read and count up, 3 read.
        opcode: 27:26,
        stcode: 29:28,
        /// Sets it off; clears when done.
        mdicmd: 30,
        mdiinprogen: 31,
    }
    /// MDIO data (8.2.3.22.12).
    pub MSRWD @ 0x04260 RW { mdiwrdata: 15:0, mdirddata: 31:16 }
    /// The longest packet in bytes, CRC included, VLAN tag not (8.2.3.22.13; Linux and DPDK: MHADD too).
    pub MAXFRS @ 0x04268 RW { mfs: 31:16 }
    /// 10 Gb/s PCS status (8.2.3.22.16).
    pub PCSS1 @ 0x04288 RO { pcs_receive_link: 2, local_fault: 7 }
    /// 10 Gb/s PCS status (8.2.3.22.17).
    pub PCSS2 @ 0x0428C RO { receive_fault: 10, transmit_fault: 11 }
    /// XAUI PCS status (8.2.3.22.18).
    pub XPCSS @ 0x04290 RO { align_status: 12 }
    /// Serdes lanes (8.2.3.22).
    pub SERDESC @ 0x04298 RW { tx_lanes_polarity: 19:16, rx_lanes_polarity: 23:20, swap_tx_lanes: 27:24, swap_rx_lanes: 31:28 }
    /// FIFO status of the MAC (8.2.3.22).
    pub MACS @ 0x0429C RW;
    /// Link mode and auto-negotiation (8.2.3.22.19).
    pub AUTOC @ 0x042A0 RW {
        /// Link up whatever the lanes say.
        flu: 0,
        anack2: 1, ansf: 6:2,
        /// 0 XAUI, 1 KX4, 2 CX4.
        pma_pmd_10g_parallel: 8:7,
        /// 0 SFI or BX, 1 KX.
        pma_pmd_1g: 9,
        d10gmp: 10, ratd: 11,
        /// Clears itself.
        restart_an: 12,
        /// 0 1 Gb/s, 1 10 Gb/s parallel, 2 1 Gb/s with negotiation, 3 10 Gb/s serial, 4 KX4/KX/KR, 5 SGMII,
        /// 6 KX4/KX/KR with 1 Gb/s negotiation, 7 KX4/KX/KR and SGMII.
        lms: 15:13,
        kr_support: 16, fecr: 17, feca: 18,
        anrxat: 22:19, anrxdm: 23, anrxlm: 24, anpdt: 26:25,
        rf: 27,
        sym_pause: 28, asm_pause: 29,
        kx_support: 30, kx4_support: 31,
    }
    /// Link status (8.2.3.22.20).
    pub LINKS @ 0x042A4 RO {
        signal_detect: 11:8,
        local_fault: 12,
        align_10g: 17, sync_1g: 18,
        kx_an_idle: 19, an_1g_enabled: 20, pcs_1g_enabled: 21, xgxs_enabled: 22,
        mac_tx_mode: 24:23, mac_rx_mode: 26:25,
        /// 1 100 Mb/s, 2 1 Gb/s, 3 10 Gb/s.
        link_speed: 29:28,
        link_up: 30,
        kx_an_completed: 31,
    }
    /// Link status, more of it (8.2.3.22.21).
    pub LINKS2 @ 0x04324 RO { lp_an_able: 6 }
    /// Auto-negotiation, more of it (8.2.3.22.22).
    pub AUTOC2 @ 0x042A8 RW {
        /// 0 KR, 1 XFI, 2 SFI.
        pma_pmd_10g_serial: 17:16,
        ddpt: 18,
        /// The EEPROM disabled the link.
        link_disable: 30:28,
    }
    /// Auto-negotiation link partner, page 1 (8.2.3.22.23). `an_state` is 0 while the pipeline is in reset.
    pub ANLP1 @ 0x042B0 RO { anlp1d: 15:0, an_state: 19:16 }
    /// Auto-negotiation link partner, page 2 (8.2.3.22.24).
    pub ANLP2 @ 0x042B4 RO;
    /// Manageability (8.2.3.22): firmware forbids link changes.
    pub MMNGC @ 0x042D0 RW { mng_veto: 0 }
    /// Auto-negotiation link partner, next pages (8.2.3.22).
    pub ANLPNP1 @ 0x042D4 RO;
    /// Auto-negotiation link partner, next pages (8.2.3.22).
    pub ANLPNP2 @ 0x042D8 RO;
    /// KR PCS and FEC control (8.2.3.22).
    pub KRPCSFC @ 0x042E0 RW { fec_enable_err: 16, fec_rx_swap: 20, fec_tx_swap: 21 }
    /// KR PCS status (8.2.3.22).
    pub KRPCSS @ 0x042E4 RO;
    /// FEC blocks corrected (8.2.3.22).
    pub FECS1 @ 0x042E8 RC;
    /// FEC blocks not corrected (8.2.3.22).
    pub FECS2 @ 0x042EC RC;
    /// Analog core access (8.2.3.22.32).
    pub CORECTL @ 0x14F00 RW { data: 7:0, address: 15:8, latch_address: 16 }
    /// Serdes analog access.
    pub SMADARCTL @ 0x14F10 RW;
    /// MAC control of the X540 and X550.
    pub MACC @ 0x04330 RW { flu: 0, rx2tx_lpbk: 1, fsv: 17:16, fs: 18 }
}
