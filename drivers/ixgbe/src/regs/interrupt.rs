//! Interrupts (datasheet 8.2.3.5, 7.3).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Interrupt causes (8.2.3.5.1). Reading clears them all, or bits 29:16 only if GPIE.ocd is set.
    pub EICR @ 0x00800 RCW1C {
        /// Queues, as IVAR maps them.
        rtx_queue: 15:0,
        flow_director: 16, rx_miss: 17, pci_exception: 18, mailbox: 19,
        /// Link status change.
        lsc: 20,
        linksec: 21, mng: 22, thermal_sensor: 23,
        gpi_sdp0: 24, gpi_sdp1: 25, gpi_sdp2: 26, gpi_sdp3: 27,
        ecc: 28,
        tcp_timer: 30,
        other: 31,
    }
    /// Sets causes from software (8.2.3.5.2).
    pub EICS @ 0x00808 WO {
        rtx_queue: 15:0, flow_director: 16, rx_miss: 17, pci_exception: 18, mailbox: 19, lsc: 20, linksec: 21,
        mng: 22, thermal_sensor: 23, gpi_sdp0: 24, gpi_sdp1: 25, gpi_sdp2: 26, gpi_sdp3: 27, ecc: 28, tcp_timer: 30,
        other: 31,
    }
    /// Unmasks: a 1 sets, a 0 does nothing; reads which are unmasked (8.2.3.5.3).
    pub EIMS @ 0x00880 RW {
        rtx_queue: 15:0, flow_director: 16, rx_miss: 17, pci_exception: 18, mailbox: 19, lsc: 20, linksec: 21,
        mng: 22, thermal_sensor: 23, gpi_sdp0: 24, gpi_sdp1: 25, gpi_sdp2: 26, gpi_sdp3: 27, ecc: 28, tcp_timer: 30,
        other: 31,
    }
    /// Masks: a 1 clears the bit in EIMS (8.2.3.5.4).
    pub EIMC @ 0x00888 WO {
        rtx_queue: 15:0, flow_director: 16, rx_miss: 17, pci_exception: 18, mailbox: 19, lsc: 20, linksec: 21,
        mng: 22, thermal_sensor: 23, gpi_sdp0: 24, gpi_sdp1: 25, gpi_sdp2: 26, gpi_sdp3: 27, ecc: 28, tcp_timer: 30,
        other: 31,
    }
    /// Which causes clear when their MSI-X message is sent (8.2.3.5.5).
    pub EIAC @ 0x00810 RW { rtx_queue: 15:0, tcp_timer: 30 }
    /// Which causes are masked when their interrupt is sent, if GPIE.eiame (8.2.3.5.6).
    pub EIAM @ 0x00890 RW { causes: 30:0 }
    /// Causes of the MSI-X vectors 0 to 63 (8.2.3.5): one bit each, a 1 clears.
    pub EICR_EX @ 0x00A80 + 4 * [2] W1C;
    /// Sets causes of the MSI-X vectors (8.2.3.5.7).
    pub EICS_EX @ 0x00A90 + 4 * [2] WO;
    /// Unmasks MSI-X vectors (8.2.3.5.8).
    pub EIMS_EX @ 0x00AA0 + 4 * [2] RW;
    /// Masks MSI-X vectors (8.2.3.5.9).
    pub EIMC_EX @ 0x00AB0 + 4 * [2] WO;
    /// Which MSI-X vectors are masked when they fire (8.2.3.5.10).
    pub EIAM_EX @ 0x00AD0 + 4 * [2] RW;
    /// Whether vectors 1 to 15 share the throttling of RX queues' vectors (8.2.3.5.11).
    pub EITRSEL @ 0x00894 RW;
    /// Throttling of a vector (8.2.3.5.12).
    pub EITR @ 0x00820 + 4 * [24], 0x12300 + 4 * [105] RW {
        /// The least time between two interrupts: 2.048 µs each at 10 Gb/s and 1 Gb/s, 20.48 µs at 100 Mb/s.
        itr_interval: 11:3,
        lli_moderation: 15,
        lli_credit: 20:16,
        itr_counter: 27:21,
        /// Writes leave the counter alone.
        cnt_wdis: 31,
    }
    /// Low-latency interrupt threshold (8.2.3.5.14).
    pub LLITHRESH @ 0x0EC90 RW { sizethresh: 11:0, credit_interval: 31:26 }
    /// Which cause or vector the queues 2n and 2n+1 fire (8.2.3.5.16).
    pub IVAR @ 0x00900 + 4 * [64] RW {
        rx0: 5:0, rx0_valid: 7,
        tx0: 13:8, tx0_valid: 15,
        rx1: 21:16, rx1_valid: 23,
        tx1: 29:24, tx1_valid: 31,
    }
    /// Which vector the TCP timer and all other causes fire (8.2.3.5.17).
    pub IVAR_MISC @ 0x00A00 RW { tcp_timer: 6:0, tcp_timer_valid: 7, other: 14:8, other_valid: 15 }
    /// General interrupt behaviour (8.2.3.5.18).
    pub GPIE @ 0x00898 RW {
        sdp0_gpien: 0, sdp1_gpien: 1, sdp2_gpien: 2, sdp3_gpien: 3,
        /// Several MSI-X vectors.
        multiple_msix: 4,
        /// Reading EICR clears only the other causes.
        ocd: 5,
        /// EICS interrupts at once.
        eimen: 6,
        ll_interval: 10:7,
        rsc_delay: 13:11,
        vt_mode: 15:14,
        /// EIAM is in force.
        eiame: 30,
        pba_support: 31,
    }
}
