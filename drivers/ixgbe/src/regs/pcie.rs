//! PCIe control and direct cache access (datasheet 8.2.3.4, 8.2.3.11).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Which function is which port (8.2.3.4).
    pub FACTPS @ 0x10150 RO {
        func0_power: 1:0, lan0_valid: 2, func0_aux_en: 3,
        func1_power: 7:6, lan1_valid: 8, func1_aux_en: 9,
        mngcg: 29,
        /// The functions are swapped.
        lfs: 30,
    }
    /// PCIe control (8.2.3.4.1).
    pub GCR @ 0x11000 RW { completion_timeout: 15:12, completion_timeout_resend: 16, cap_ver2: 18 }
    /// PCIe statistics (8.2.3.4): control.
    pub GSCL_1 @ 0x11010 RW { en0: 0, en1: 1, en2: 2, en3: 3, init: 30, start: 31 }
    /// PCIe statistics: which event each counter counts.
    pub GSCL_2 @ 0x11014 RW { event0: 7:0, event1: 15:8, event2: 23:16, event3: 31:24 }
    /// PCIe statistics: counters.
    pub GSCN @ 0x11020 + 4 * [4] RO;
    /// PCIe control, extended (8.2.3.4.12).
    pub GCR_EXT @ 0x11050 RW {
        /// 0 off, 1 16, 2 32, 3 64 virtual functions.
        vt_mode: 1:0,
        apbacd: 4,
        /// Flushes the transmit path while the device is stopped (5.2.5.3.2).
        buffers_clear: 30,
        msix_en: 31,
    }
    /// Revision of the device (8.2.3.4).
    pub MREVID @ 0x11064 RO { eeprom_rev: 7:0, default_rev: 15:8 }
    /// Clears pending MSI-X bits (8.2.3.6).
    pub PBACL @ 0x110C0 + 4 * [8] = 0x11068 + 4 * [1] W1C;
    /// The causes of EICR.pci (8.2.3.4).
    pub PICAUSE @ 0x110B0 W1C { ca: 0, ua: 1, be: 2, to: 3, bmef: 4 }
    /// Which of PICAUSE interrupt (8.2.3.4).
    pub PIENA @ 0x110B8 RW { ca: 0, ua: 1, be: 2, to: 3, bmef: 4 }
    /// Address in a virtual function's configuration space.
    pub CIAA @ 0x11088 RW { address: 11:0, vf: 22:16, lock: 31 }
    /// Data of a virtual function's configuration space.
    pub CIAD @ 0x1108C RW;

    /// Cache and ordering hints of a receive queue's DMA (8.2.3.11.1).
    pub DCA_RXCTRL @ 0x0100C + 0x40 * [64], 0x0D00C + 0x40 * [64] = 0x02200 + 4 * [16] RW {
        desc_dca_en: 5, header_dca_en: 6, payload_dca_en: 7,
        desc_read_ro_en: 9,
        /// Must stay 0.
        desc_write_ro_en: 11,
        /// Reserved, must be written 0 (4.6.7).
        reserved12: 12,
        data_write_ro_en: 13,
        header_write_ro_en: 15,
        cpuid: 31:24,
    }
    /// Cache and ordering hints of a transmit queue's DMA (8.2.3.11.2).
    pub DCA_TXCTRL @ 0x0600C + 0x40 * [128] RW {
        desc_dca_en: 5,
        desc_read_ro_en: 9,
        /// Must be off for head write-back, or a head may overtake an older one (7.2.3.5.2).
        desc_write_ro_en: 11,
        data_read_ro_en: 13,
        cpuid: 31:24,
    }
    /// Who asks for direct cache access (8.2.3.11).
    pub DCA_ID @ 0x11070 RO { function: 2:0, device: 7:3, bus: 15:8 }
    /// Direct cache access control (8.2.3.11).
    pub DCA_CTRL @ 0x11074 RW { disable: 0, mode: 4:1 }
}
