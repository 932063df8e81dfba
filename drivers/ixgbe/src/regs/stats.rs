//! Statistics: every counter clears when it is read (datasheet 8.2.3.23).
//!
//! The 32-bit ones stick or wrap; byte counters of queues and port have 36 bits, low word first. At 10 Gb/s 32 bits of
//! the shortest packets are full after 4 min 48 s, 36 bits of bytes after 55 s.

vfio_hal::registers! {
    in super::Ixgbe;

    /// CRC errors (8.2.3.23.1).
    pub CRCERRS @ 0x04000 RC;
    /// Illegal bytes.
    pub ILLERRC @ 0x04004 RC;
    /// Error bytes.
    pub ERRBC @ 0x04008 RC;
    /// Short packets discarded by the MAC.
    pub MSPDC @ 0x04010 RC;
    /// Packets missed for want of packet buffer, per class.
    pub MPC @ 0x03FA0 + 4 * [8] RC;
    /// Local faults.
    pub MLFC @ 0x04034 RC;
    /// Remote faults.
    pub MRFC @ 0x04038 RC;
    /// Length errors.
    pub RLEC @ 0x04040 RC;
    /// Switch security violations.
    pub SSVPC @ 0x08780 RC;
    /// XON sent.
    pub LXONTXC @ 0x03F60 RC;
    /// XOFF sent.
    pub LXOFFTXC @ 0x03F68 RC;
    /// XON received.
    pub LXONRXCNT @ 0x041A4 RC;
    /// XOFF received.
    pub LXOFFRXCNT @ 0x041A8 RC;
    /// XON sent, per class.
    pub PXONTXC @ 0x03F00 + 4 * [8] RC;
    /// XON received, per class.
    pub PXONRXCNT @ 0x04140 + 4 * [8] RC;
    /// XOFF sent, per class.
    pub PXOFFTXC @ 0x03F20 + 4 * [8] RC;
    /// XOFF received, per class.
    pub PXOFFRXCNT @ 0x04160 + 4 * [8] RC;
    /// Changes from XON to XOFF, per class.
    pub PXON2OFFCNT @ 0x03240 + 4 * [8] RC;
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
    /// Good packets received (8.2.3.23.26).
    pub GPRC @ 0x04074 RC;
    /// Good broadcast packets received.
    pub BPRC @ 0x04078 RC;
    /// Good multicast packets received.
    pub MPRC @ 0x0407C RC;
    /// Good packets sent.
    pub GPTC @ 0x04080 RC;
    /// Good bytes received.
    pub GORC @ 0x04088 RC<u32x2> { gorc: 35:0 }
    /// Good bytes sent.
    pub GOTC @ 0x04090 RC<u32x2> { gotc: 35:0 }
    /// Good packets before the filters.
    pub RXNFGPC @ 0x041B0 RC;
    /// Good bytes before the filters.
    pub RXNFGBC @ 0x041B4 RC<u32x2> { gbc: 35:0 }
    /// Packets that receive DMA passed on.
    pub RXDGPC @ 0x02F50 RC;
    /// Bytes that receive DMA passed on.
    pub RXDGBC @ 0x02F54 RC<u32x2> { gbc: 35:0 }
    /// Duplicates that receive DMA passed on.
    pub RXDDPC @ 0x02F5C RC;
    /// Bytes of those duplicates.
    pub RXDDBC @ 0x02F60 RC<u32x2> { gbc: 35:0 }
    /// Packets looped back between pools.
    pub RXLPBKPC @ 0x02F68 RC;
    /// Bytes looped back between pools.
    pub RXLPBKBC @ 0x02F6C RC<u32x2> { gbc: 35:0 }
    /// Duplicates looped back between pools.
    pub RXDLPBKPC @ 0x02F74 RC;
    /// Bytes of those duplicates.
    pub RXDLPBKBC @ 0x02F78 RC<u32x2> { gbc: 35:0 }
    /// Packets that transmit DMA took.
    pub TXDGPC @ 0x087A0 RC;
    /// Bytes that transmit DMA took.
    pub TXDGBC @ 0x087A4 RC<u32x2> { gbc: 35:0 }
    /// Packets without a receive buffer, per class (82598; RXDDPC and QPRDC here).
    pub RNBC @ 0x03FC0 + 4 * [8] RC;
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
    pub MNGPDC @ 0x040B8 RC;
    /// Management packets sent.
    pub MNGPTC @ 0x0CF90 RC;
    /// All bytes received.
    pub TOR @ 0x040C0 RC<u32x2> { tor: 35:0 }
    /// All packets received (8.2.3.23.59).
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
    /// Receive checksum errors.
    pub XEC @ 0x04120 RC;
    /// Which of the 16 counters a receive queue counts into, four queues each (8.2.3.23.71).
    pub RQSMR @ 0x02300 + 4 * [32] RW { q_map0: 3:0, q_map1: 11:8, q_map2: 19:16, q_map3: 27:24 }
    /// Which of the 16 counters a transmit queue counts into, four queues each (8.2.3.23.73).
    pub TQSM @ 0x08600 + 4 * [32] RW { q_map0: 3:0, q_map1: 11:8, q_map2: 19:16, q_map3: 27:24 }
    /// Packets received, per counter.
    pub QPRC @ 0x01030 + 0x40 * [16] RC;
    /// Packets dropped for want of a descriptor, per counter (8.2.3.23.75).
    pub QPRDC @ 0x01430 + 0x40 * [16] RC;
    /// Bytes received, per counter.
    pub QBRC @ 0x01034 + 0x40 * [16] RC<u32x2> { qbrc: 35:0 }
    /// Packets sent, per counter.
    pub QPTC @ 0x06030 + 0x40 * [16] RC;
    /// Bytes sent, per counter.
    pub QBTC @ 0x08700 + 8 * [16] RC<u32x2> { qbtc: 35:0 }
    /// FCoE CRC errors.
    pub FCCRC @ 0x05118 RC { crc_cnt: 15:0 }
    /// FCoE packets dropped.
    pub FCOERPDC @ 0x0241C RC;
    /// FCoE last errors.
    pub FCLAST @ 0x02424 RC { last_cnt: 15:0 }
    /// FCoE packets received.
    pub FCOEPRC @ 0x02428 RC;
    /// FCoE double words received.
    pub FCOEDWRC @ 0x0242C RC;
    /// FCoE packets sent.
    pub FCOEPTC @ 0x08784 RC;
    /// FCoE double words sent.
    pub FCOEDWTC @ 0x08788 RC;
}
