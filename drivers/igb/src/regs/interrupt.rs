//! Interrupts (section 8.8).
//!
//! The extended causes (EICR and its kin) are one bit for each MSI-X vector; the others (ICR and its kin) are events such
//! as a change of the link, and together fire the one vector that IVAR_MISC names.

vfio_hal::registers! {
    in super::Igb;

    /// Causes of the MSI-X vectors; a read clears, a written 1 too.
    pub EICR @ 0x01580 RCW1C { vectors: 24:0 }
    /// Sets causes of the MSI-X vectors.
    pub EICS @ 0x01520 WO { vectors: 24:0 }
    /// Unmasks MSI-X vectors: a 1 sets, a 0 does nothing; reads which are unmasked.
    pub EIMS @ 0x01524 RW { vectors: 24:0 }
    /// Masks MSI-X vectors: a 1 clears the bit in EIMS.
    pub EIMC @ 0x01528 WO { vectors: 24:0 }
    /// Which causes clear when their MSI-X message is sent.
    pub EIAC @ 0x0152C RW { vectors: 24:0 }
    /// Which vectors are masked when they fire, if GPIE.eiame.
    pub EIAM @ 0x01530 RW { vectors: 24:0 }
    /// Events; a read clears, a written 1 too.
    pub ICR @ 0x01500 RCW1C {
        txdw: 0,
        /// The link went up or down.
        lsc: 2,
        rxdmt0: 4, rxo: 6, rxdw: 7, vmmb: 8, time_sync: 19, outsync: 28, drsta: 30, inta: 31,
    }
    /// Unmasks events.
    pub IMS @ 0x01508 RW { lsc: 2, rxo: 6, vmmb: 8, time_sync: 19, outsync: 28, drsta: 30 }
    /// Masks events.
    pub IMC @ 0x0150C WO { lsc: 2, rxo: 6, vmmb: 8, time_sync: 19, outsync: 28, drsta: 30 }
    /// Which events are masked when ICR is read.
    pub IAM @ 0x01510 RW;
    /// Throttling of a vector.
    pub EITR @ 0x01680 + 4 * [25] RW {
        /// The least time between two interrupts, in µs.
        interval: 14:2,
        /// Writes leave the counter alone.
        cnt_ingr: 31,
    }
    /// Which vector queues fire: n and n + 8 on the 82576, 2n and 2n + 1 on the I350.
    pub IVAR @ 0x01700 + 4 * [8] RW {
        rx_low: 4:0, rx_low_valid: 7,
        tx_low: 12:8, tx_low_valid: 15,
        rx_high: 20:16, rx_high_valid: 23,
        tx_high: 28:24, tx_high_valid: 31,
    }
    /// Which vector the TCP timer and all events fire.
    pub IVAR_MISC @ 0x01740 RW { tcp_timer: 4:0, tcp_timer_valid: 7, other: 12:8, other_valid: 15 }
    /// General interrupt behaviour.
    pub GPIE @ 0x01514 RW {
        /// A read of ICR clears it in any case.
        nsicr: 0,
        /// Several MSI-X vectors.
        multiple_msix: 4,
        ll_interval: 11:7,
        /// EIAM is in force.
        eiame: 30,
        pba: 31,
    }
}
