//! Flow control thresholds and timers (datasheet 8.2.3.3, and 8.2.3.22.34 for what is received).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Opcode and type of priority flow control frames (8.2.3.3.1).
    pub PFCTOP @ 0x03008 RW { fct: 15:0, fcop: 31:16 }
    /// Pause time of two traffic classes each (8.2.3.3.2), in units of 512 bit times.
    pub FCTTV @ 0x03200 + 4 * [4] RW { ttv0: 15:0, ttv1: 31:16 }
    /// Below this much in the packet buffer, XON is sent (8.2.3.3.3). In units of 32 bytes.
    pub FCRTL @ 0x03220 + 4 * [8] RW { rtl: 18:5, xone: 31 }
    /// Above this much in the packet buffer, XOFF is sent (8.2.3.3.4). In units of 32 bytes.
    pub FCRTH @ 0x03260 + 4 * [8] RW { rth: 18:5, fcen: 31 }
    /// When XOFF is sent again (8.2.3.3.5), in units of 512 bit times.
    pub FCRTV @ 0x032A0 RW { refresh: 15:0 }
    /// Which classes are paused by the link partner (8.2.3.3.6).
    pub TFCS @ 0x0CE00 RO { txoff: 0, txoff_tc: 15:8 }
    /// Which flow control is sent (8.2.3.3.7): 0 none, 1 link, 2 priority.
    pub FCCFG @ 0x03D00 RW { tfce: 4:3 }
    /// What is done with received flow control (8.2.3.22.34).
    pub MFLCN @ 0x04294 RW {
        /// Passes MAC control frames on to the host.
        pmcf: 0,
        /// Discards pause frames.
        dpf: 1,
        /// Obeys priority flow control. Not together with `rfce`.
        rpfce: 2,
        /// Obeys link flow control.
        rfce: 3,
        /// X540 and X550: the classes that obey priority flow control.
        rpfce_tc: 11:4,
    }
}
