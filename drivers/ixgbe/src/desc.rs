//! Descriptor formats of the 82599 family (datasheet 7.1.6 receive, 7.2.3 transmit).
//!
//! - [`Advanced`] is what the burst path uses both ways: one-buffer receive descriptors (type 001b) and
//!   advanced data and context descriptors.
//! - [`rx`], [`tx`] and [`legacy`] hold the bits, which the model reads too.
//!
//! A descriptor is two little-endian 64-bit words; the kit's rings write the addresses, so nothing here can aim
//! the device anywhere.

use vfio_hal::dma::pool::{HeaderLens, Packet, PacketType, RxFlags, RxInfo, TxFlags};
use vfio_hal::ring::{RxFormat, TxError, TxFormat, TxPlan};

/// Bits of word 1 of an advanced receive descriptor as written back (7.1.6.2), and of word 0.
pub mod rx {
    /// Descriptor done.
    pub const DD: u64 = 1 << 0;
    /// End of packet.
    pub const EOP: u64 = 1 << 1;
    /// Flow director match.
    pub const FLM: u64 = 1 << 2;
    /// VLAN tag stripped and in the VLAN field.
    pub const VP: u64 = 1 << 3;
    /// UDP checksum computed (with PIF, fragments).
    pub const UDPCS: u64 = 1 << 4;
    /// Layer-4 checksum checked.
    pub const L4CS: u64 = 1 << 5;
    /// IPv4 header checksum checked.
    pub const IPCS: u64 = 1 << 6;
    /// Passed an inexact filter.
    pub const PIF: u64 = 1 << 7;
    /// Time stamp of the packet is in the registers.
    pub const TS: u64 = 1 << 16;
    /// Layer-4 checksum wrong.
    pub const L4E: u64 = 1 << 30;
    /// IPv4 header checksum wrong.
    pub const IPE: u64 = 1 << 31;
    /// Shift of the 16-bit packet length.
    pub const LENGTH_SHIFT: u32 = 32;
    /// Shift of the 16-bit VLAN tag.
    pub const VLAN_SHIFT: u32 = 48;
    /// Word 0: bit of the packet type that says UDP.
    pub const TYPE_UDP: u64 = 1 << 9;
    /// Word 0: shift of the RSS hash, the flow director id, or fragment id and checksum.
    pub const HASH_SHIFT: u32 = 32;
}

/// Bits of word 1 of transmit descriptors (7.2.3).
pub mod tx {
    /// Shift of the 16-bit segment length, DTALEN.
    pub const LENGTH_SHIFT: u32 = 0;
    /// Mask of the descriptor type.
    pub const DTYP_MASK: u64 = 0xf << 20;
    /// Advanced context descriptor.
    pub const DTYP_CONTEXT: u64 = 2 << 20;
    /// Advanced data descriptor.
    pub const DTYP_DATA: u64 = 3 << 20;
    /// End of packet.
    pub const EOP: u64 = 1 << 24;
    /// Insert the frame check sequence.
    pub const IFCS: u64 = 1 << 25;
    /// Report status.
    pub const RS: u64 = 1 << 27;
    /// Descriptor extension: an advanced descriptor.
    pub const DEXT: u64 = 1 << 29;
    /// Insert the VLAN tag of the context.
    pub const VLE: u64 = 1 << 30;
    /// TCP segmentation.
    pub const TSE: u64 = 1 << 31;
    /// Descriptor done, as written back.
    pub const DD: u64 = 1 << 32;
    /// Insert the IPv4 header checksum (POPTS.IXSM).
    pub const IXSM: u64 = 1 << 40;
    /// Insert the layer-4 checksum (POPTS.TXSM).
    pub const TXSM: u64 = 1 << 41;
    /// Shift of the 18-bit payload length.
    pub const PAYLEN_SHIFT: u32 = 46;
    /// IEEE 1588 time stamp.
    pub const MAC_1588: u64 = 1 << 19;

    /// Context word 0: shift of the 7-bit MAC header length.
    pub const MACLEN_SHIFT: u32 = 9;
    /// Context word 0: shift of the VLAN tag.
    pub const VLAN_SHIFT: u32 = 16;
    /// Context word 1, TUCMD: the packet is IPv4.
    pub const TUCMD_IPV4: u64 = 1 << 10;
    /// Context word 1, TUCMD: layer 4 is TCP (UDP is 0).
    pub const TUCMD_TCP: u64 = 1 << 11;
    /// Context word 1, TUCMD: layer 4 is SCTP.
    pub const TUCMD_SCTP: u64 = 2 << 11;
    /// Context word 1: shift of the 8-bit layer-4 header length.
    pub const L4LEN_SHIFT: u32 = 40;
    /// Context word 1: shift of the 16-bit maximum segment size.
    pub const MSS_SHIFT: u32 = 48;
}

/// Bits of word 1 of legacy descriptors, receive (7.1.5) and transmit (7.2.3.2.1). Both have the length in 15:0
/// and the done bit in 32.
pub mod legacy {
    /// Mask of the length.
    pub const LENGTH_MASK: u64 = 0xffff;
    /// Transmit: end of packet.
    pub const TX_EOP: u64 = 1 << 24;
    /// Transmit: insert the frame check sequence.
    pub const TX_IFCS: u64 = 1 << 25;
    /// Transmit: insert the checksum at CSO over what starts at CSS.
    pub const TX_IC: u64 = 1 << 26;
    /// Transmit: report status.
    pub const TX_RS: u64 = 1 << 27;
    /// Transmit: insert the VLAN tag of the descriptor.
    pub const TX_VLE: u64 = 1 << 30;
    /// Descriptor done, both ways.
    pub const DD: u64 = 1 << 32;
    /// Receive: end of packet.
    pub const RX_EOP: u64 = 1 << 33;
    /// Receive: VLAN tag stripped.
    pub const RX_VP: u64 = 1 << 35;
    /// Shift of the VLAN tag.
    pub const VLAN_SHIFT: u32 = 48;
}

/// The longest packet that the device sends, in bytes (82599 datasheet 7.2.1: 15.5 KB).
pub const MAX_FRAME: u32 = 15_872;

/// The most descriptors one packet may take (DPDK's `IXGBE_TX_MAX_SEG`, a context included).
const MAX_DESCRIPTORS: u32 = 40;

/// Advanced descriptors, both ways.
#[derive(Debug)]
pub struct Advanced;

impl RxFormat for Advanced {
    const DONE: u64 = rx::DD;
    const END: u64 = rx::EOP;
    const RARE: u64 = rx::FLM | rx::TS | rx::L4E;

    #[inline(always)]
    fn len(words: [u64; 2]) -> u32 {
        (words[1] >> rx::LENGTH_SHIFT) as u32 & 0xffff
    }

    #[inline(always)]
    fn info(words: [u64; 2]) -> RxInfo {
        // The kit's layout is this device's.
        RxInfo(words)
    }

    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32 {
        let (mut flags, mut packet_type) = (info.flags(), info.packet_type());
        // Erratum 44: a UDP packet without a checksum (0) is reported as wrong. It may also really be wrong; what is
        // left is that nobody knows.
        if words[1] & rx::L4E != 0 && words[0] & rx::TYPE_UDP != 0 {
            flags = flags.without(RxFlags::L4_CHECKED.union(RxFlags::L4_BAD));
        }
        // The time stamp is in registers, not in the packet.
        flags = flags.without(RxFlags::TIMESTAMP);
        let mark = info.hash();
        if words[1] & rx::FLM != 0 {
            // With a match, the hash field holds the filter's software index.
            packet_type = PacketType(packet_type.0 & !0xf);
        }
        *info = RxInfo::new(flags, packet_type, info.hash(), info.vlan());
        mark
    }
}

impl TxFormat for Advanced {
    const DONE: u64 = tx::DD;
    const REPORT: u64 = tx::RS;
    const END: u64 = tx::EOP;
    const KIND: (u64, u64) = (tx::DTYP_MASK | tx::DEXT, tx::DTYP_CONTEXT | tx::DEXT);
    const MAX_SEGMENT: u32 = MAX_FRAME;
    const MAX_DESCRIPTORS: u32 = MAX_DESCRIPTORS;

    #[inline(always)]
    fn plain(len: u32) -> u64 {
        const FIXED: u64 = tx::DTYP_DATA | tx::DEXT | tx::IFCS | tx::EOP;
        u64::from(len) | u64::from(len) << tx::PAYLEN_SHIFT | FIXED
    }

    fn plan(packet: &Packet) -> Result<TxPlan, TxError> {
        plan(packet)
    }

    #[inline(always)]
    fn segment(plan: &TxPlan, len: u32) -> u64 {
        plan.common | u64::from(len & 0xffff)
    }
}

/// Returns the descriptors for a packet with offloads (7.2.3.2.3 context, 7.2.3.2.4 data).
fn plan(packet: &Packet) -> Result<TxPlan, TxError> {
    const CHECKSUMS: TxFlags =
        TxFlags::TCP_CHECKSUM.union(TxFlags::UDP_CHECKSUM).union(TxFlags::SCTP_CHECKSUM);
    const L4: TxFlags = CHECKSUMS.union(TxFlags::TCP_SEGMENT);
    let flags = packet.tx_flags();
    let wants = |flag| flags.contains(flag);
    let refuse = |reason| Err(TxError::Offload { reason });
    let HeaderLens { l2, l3, l4, outer_l2, outer_l3 } = packet.header_lens();
    if (outer_l2, outer_l3) != (0, 0) {
        return refuse("the 82599 has no offloads inside of tunnels");
    }
    let total = packet.packet_len() as u32;
    let (mut payload, mut data) = (total, tx::DTYP_DATA | tx::DEXT | tx::IFCS);
    let (mut first, mut second) = (0, 0);
    if flags.intersects(L4.union(TxFlags::IP_CHECKSUM)) {
        if !(14..=127).contains(&l2) || l3 == 0 || l3 > 511 {
            return refuse(
                "checksum offload needs the lengths of layer 2 (14 to 127 bytes) and layer 3 (1 to 511)",
            );
        }
        if u32::from(l2) + u32::from(l3) > total {
            return refuse("the header lengths are longer than the packet");
        }
        first |= u64::from(l2) << tx::MACLEN_SHIFT | u64::from(l3);
    }
    if wants(TxFlags::IP_CHECKSUM) {
        if !wants(TxFlags::IPV4) {
            return refuse("an IP header checksum exists in IPv4 only: set TxFlags::IPV4");
        }
        data |= tx::IXSM;
    }
    if wants(TxFlags::IPV4) {
        second |= tx::TUCMD_IPV4;
    }
    match (flags.0 & CHECKSUMS.0).count_ones() {
        0 => {}
        1 => data |= tx::TXSM,
        _ => return refuse("one packet has one layer-4 checksum"),
    }
    if wants(TxFlags::TCP_CHECKSUM) || wants(TxFlags::TCP_SEGMENT) {
        second |= tx::TUCMD_TCP;
    } else if wants(TxFlags::SCTP_CHECKSUM) {
        second |= tx::TUCMD_SCTP;
    }
    if wants(TxFlags::TCP_SEGMENT) {
        let headers = u32::from(l2) + u32::from(l3) + u32::from(l4);
        if l4 < 20 || packet.mss() == 0 || headers >= total {
            return refuse(
                "TCP segmentation needs the TCP header's length (at least 20 bytes), an MSS and payload",
            );
        }
        if headers + u32::from(packet.mss()) > MAX_FRAME {
            return refuse("headers and MSS together are longer than the device can send");
        }
        if wants(TxFlags::IPV4) {
            data |= tx::IXSM;
        }
        second |= u64::from(l4) << tx::L4LEN_SHIFT | u64::from(packet.mss()) << tx::MSS_SHIFT;
        data |= tx::TSE | tx::TXSM;
        // With segmentation, the payload without headers (7.2.3.2.4).
        payload = total - headers;
    } else if total > MAX_FRAME {
        return Err(TxError::TooLong { len: total, max: MAX_FRAME });
    }
    if payload >= 1 << 18 {
        return Err(TxError::TooLong { len: total, max: (1 << 18) - 1 });
    }
    if wants(TxFlags::VLAN_INSERT) {
        first |= u64::from(packet.tx_vlan().unwrap_or(0)) << tx::VLAN_SHIFT;
        // MACLEN must hold for a VLAN-only context too.
        first |= if first & (0x7f << tx::MACLEN_SHIFT) == 0 { 14 << tx::MACLEN_SHIFT } else { 0 };
        data |= tx::VLE;
    }
    if wants(TxFlags::TIMESTAMP) {
        data |= tx::MAC_1588;
    }
    let context = (first, second) != (0, 0);
    if context {
        second |= tx::DTYP_CONTEXT | tx::DEXT;
    }
    Ok(TxPlan {
        context: context.then_some([first, second]),
        common: data | u64::from(payload) << tx::PAYLEN_SHIFT,
    })
}
