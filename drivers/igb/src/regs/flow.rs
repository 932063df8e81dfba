//! Packet buffers and flow control (sections 8.3 and 8.5).

vfio_hal::registers! {
    in super::Igb;

    /// Receive packet buffer (8.3): in KiB on the 82576, one of a list of sizes on the I350.
    pub RXPBS @ 0x02404 RW { size: 6:0 }
    /// Transmit packet buffer (8.3).
    pub TXPBS @ 0x03404 RW { size: 5:0 }
    /// The destination of pause frames, bytes 0 to 3 (8.5).
    pub FCAL @ 0x00028 RW;
    /// The destination of pause frames, bytes 4 and 5 (8.5).
    pub FCAH @ 0x0002C RW { fcah: 15:0 }
    /// The EtherType of pause frames (8.5).
    pub FCT @ 0x00030 RW { fct: 15:0 }
    /// How long the partner is told to pause (8.5), in units of 512 bit times.
    pub FCTTV @ 0x00170 RW { ttv: 15:0 }
    /// The partner may go on below this many bytes (8.5).
    pub FCRTL @ 0x02160 RW {
        /// In units of 16 bytes.
        rtl: 15:4,
        /// Says so with a frame.
        xone: 31,
    }
    /// The partner must pause above this many bytes (8.5).
    pub FCRTH @ 0x02168 RW {
        /// In units of 16 bytes.
        rth: 15:4,
    }
    /// When a pause is told again (8.5), in units of 512 bit times.
    pub FCRTV @ 0x02460 RW { refresh: 15:0 }
}
