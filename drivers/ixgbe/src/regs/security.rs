//! Security blocks: both paths run through them also when they do nothing (datasheet 8.2.3.12, 8.2.3.13).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Transmit security control (8.2.3.12.1).
    pub SECTXCTRL @ 0x08800 RW {
        sectx_dis: 0,
        /// Stops the transmit path; SECTXSTAT says when it is empty.
        tx_dis: 1,
        store_forward: 2,
    }
    /// Transmit security status (8.2.3.12.2).
    pub SECTXSTAT @ 0x08804 RO { sectx_rdy: 0, sectx_off_dis: 1, ecc_txerr: 2 }
    /// When the transmit security buffer is almost full (8.2.3.12.3).
    pub SECTXBUFFAF @ 0x08808 RW { fullthresh: 9:0 }
    /// Gap between packets of the transmit security block (8.2.3.12.4).
    pub SECTXMINIFG @ 0x08810 RW { minsecifg: 3:0, mrksdp: 18:8 }
    /// Receive security control (8.2.3.12.5).
    pub SECRXCTRL @ 0x08D00 RW {
        secrx_dis: 0,
        /// Stops the receive path; SECRXSTAT says when it is empty.
        rx_dis: 1,
    }
    /// Receive security status (8.2.3.12.6).
    pub SECRXSTAT @ 0x08D04 RO { secrx_rdy: 0, secrx_off_dis: 1, ecc_rxerr: 2 }

    /// LinkSec transmit capabilities and control (8.2.3.13).
    pub LSECTXCTRL @ 0x08A04 RW { en: 1:0, aisci: 5, pnthrsh: 31:8 }
    /// LinkSec receive control (8.2.3.13).
    pub LSECRXCTRL @ 0x08F04 RW { en: 3:2, plsh: 6, rp: 7 }
}
