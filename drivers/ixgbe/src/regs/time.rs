//! IEEE 1588 time (datasheet 8.2.3.26, 7.9).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Receive timestamping.
    pub TSYNCRXCTL @ 0x05188 RW {
        /// A timestamp waits; reading RXSTMPH takes it.
        rxtt: 0,
        /// 0 L2 version 2, 1 L4 version 1, 2 L2 and L4 version 2, 4 all, 5 event messages of version 2.
        kind: 3:1,
        en: 4,
    }
    /// Receive timestamp, low.
    pub RXSTMPL @ 0x051E8 RO;
    /// Receive timestamp, high.
    pub RXSTMPH @ 0x051A4 RO;
    /// Source identity of the received packet, low.
    pub RXSATRL @ 0x051A0 RO;
    /// Source identity, high, and sequence number of the received packet.
    pub RXSATRH @ 0x051A8 RO { source_idh: 15:0, sequence_id: 31:16 }
    /// Which messages are timestamped.
    pub RXMTRL @ 0x05120 RW { ctrlt: 7:0, msgt: 15:8, udpt: 31:16 }
    /// Transmit timestamping.
    pub TSYNCTXCTL @ 0x08C00 RW {
        /// A timestamp waits.
        txtt: 0,
        en: 4,
    }
    /// Transmit timestamp.
    pub TXSTMP @ 0x08C04 RO<u32x2>;
    /// System time, in units of what TIMINCA adds.
    pub SYSTIM @ 0x08C0C RW<u32x2>;
    /// What is added to the system time (8.2.3.26).
    pub TIMINCA @ 0x08C14 RW {
        /// Added every `ip` clocks.
        iv: 23:0,
        /// In clocks: 6.4 ns at 10 Gb/s, 64 ns at 1 Gb/s, 640 ns at 100 Mb/s.
        ip: 31:24,
    }
    /// Added to the system time once; bit 63 is the sign.
    pub TIMADJ @ 0x08C18 RW<u32x2>;
    /// Auxiliary functions.
    pub TSAUXC @ 0x08C20 RW {
        en_tt0: 0, en_tt1: 1, en_clk: 2, synclk: 3, st0: 4, sdp0_int: 6, disable_systime: 31,
    }
    /// Target time 0.
    pub TRGTTIM0 @ 0x08C24 RW<u32x2>;
    /// Target time 1.
    pub TRGTTIM1 @ 0x08C2C RW<u32x2>;
    /// Frequency out 0.
    pub FREQOUT0 @ 0x08C34 RW;
    /// Frequency out 1.
    pub FREQOUT1 @ 0x08C38 RW;
    /// Auxiliary timestamp 0.
    pub AUXSTMP0 @ 0x08C3C RO<u32x2>;
    /// Auxiliary timestamp 1.
    pub AUXSTMP1 @ 0x08C44 RO<u32x2>;
}
