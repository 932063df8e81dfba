//! Statistics: every counter clears when it is read (section 8.19).
//!
//! The 32-bit ones stay at their highest value; byte counters of the port have 64 bits, low word first, and clear with
//! the high one. At 1 Gb/s read them at least every 48 minutes.

vfio_hal::registers! {
    in super::Igb;

    /// CRC errors.
    pub CRCERRS @ 0x04000 RC;
    /// Alignment errors.
    pub ALGNERRC @ 0x04004 RC;
    /// Symbol errors.
    pub SYMERRS @ 0x04008 RC;
    /// Receive errors that the PHY tells of.
    pub RXERRC @ 0x0400C RC;
    /// Packets missed for want of packet buffer.
    pub MPC @ 0x04010 RC;
    /// Sent after a single collision.
    pub SCC @ 0x04014 RC;
    /// Given up after 16 collisions.
    pub ECOL @ 0x04018 RC;
    /// Sent after several collisions.
    pub MCC @ 0x0401C RC;
    /// Late collisions.
    pub LATECOL @ 0x04020 RC;
    /// Collisions.
    pub COLC @ 0x04028 RC;
    /// Sendings deferred.
    pub DC @ 0x04030 RC;
    /// Sent without carrier sense.
    pub TNCRS @ 0x04034 RC;
    /// Length errors.
    pub RLEC @ 0x04040 RC;
    /// XON received.
    pub XONRXC @ 0x04048 RC;
    /// XON sent.
    pub XONTXC @ 0x0404C RC;
    /// XOFF received.
    pub XOFFRXC @ 0x04050 RC;
    /// XOFF sent.
    pub XOFFTXC @ 0x04054 RC;
    /// Unsupported MAC control frames received.
    pub FCRUC @ 0x04058 RC;
    /// Received, 64 bytes.
    pub PRC64 @ 0x0405C RC;
    /// Received, 65 to 127 bytes.
    pub PRC127 @ 0x04060 RC;
    /// Received, 128 to 255 bytes.
    pub PRC255 @ 0x04064 RC;
    /// Received, 256 to 511 bytes.
    pub PRC511 @ 0x04068 RC;
    /// Received, 512 to 1,023 bytes.
    pub PRC1023 @ 0x0406C RC;
    /// Received, 1,024 bytes and more.
    pub PRC1522 @ 0x04070 RC;
    /// Good packets received.
    pub GPRC @ 0x04074 RC;
    /// Good broadcast packets received.
    pub BPRC @ 0x04078 RC;
    /// Good multicast packets received.
    pub MPRC @ 0x0407C RC;
    /// Good packets sent.
    pub GPTC @ 0x04080 RC;
    /// Good bytes received.
    pub GORC @ 0x04088 RC<u32x2>;
    /// Good bytes sent.
    pub GOTC @ 0x04090 RC<u32x2>;
    /// Packets that found no free descriptor at first.
    pub RNBC @ 0x040A0 RC;
    /// Undersized packets.
    pub RUC @ 0x040A4 RC;
    /// Fragments.
    pub RFC @ 0x040A8 RC;
    /// Oversized packets.
    pub ROC @ 0x040AC RC;
    /// Jabber.
    pub RJC @ 0x040B0 RC;
    /// Management packets received.
    pub MNGPRC @ 0x040B4 RC;
    /// Management packets dropped.
    pub MPDC @ 0x040B8 RC;
    /// Management packets sent.
    pub MNGPTC @ 0x040BC RC;
    /// All bytes received.
    pub TOR @ 0x040C0 RC<u32x2>;
    /// All bytes sent.
    pub TOT @ 0x040C8 RC<u32x2>;
    /// All packets received.
    pub TPR @ 0x040D0 RC;
    /// All packets sent.
    pub TPT @ 0x040D4 RC;
    /// Sent, 64 bytes.
    pub PTC64 @ 0x040D8 RC;
    /// Sent, 65 to 127 bytes.
    pub PTC127 @ 0x040DC RC;
    /// Sent, 128 to 255 bytes.
    pub PTC255 @ 0x040E0 RC;
    /// Sent, 256 to 511 bytes.
    pub PTC511 @ 0x040E4 RC;
    /// Sent, 512 to 1,023 bytes.
    pub PTC1023 @ 0x040E8 RC;
    /// Sent, 1,024 bytes and more.
    pub PTC1522 @ 0x040EC RC;
    /// Multicast packets sent.
    pub MPTC @ 0x040F0 RC;
    /// Broadcast packets sent.
    pub BPTC @ 0x040F4 RC;
    /// Packets segmented.
    pub TSCTC @ 0x040F8 RC;
    /// Interrupts asserted.
    pub IAC @ 0x04100 RC;
    /// Packets given to the host.
    pub RPTHC @ 0x04104 RC;
    /// Good packets sent by the host.
    pub HGPTC @ 0x04118 RC;
    /// Code violations (SerDes).
    pub SCVPC @ 0x04228 RC;
}
