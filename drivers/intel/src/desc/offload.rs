//! From what a packet asks for to descriptors (82599 datasheet 7.2.3.2.3 context, 7.2.3.2.4 data; 82576 datasheet 7.2.2).

use vfio_hal::dma::pool::{HeaderLens, Packet, TxFlags};
use vfio_hal::ring::{TxError, TxPlan};

use super::tx;

/// Returns the descriptors for a packet with offloads, on a device that sends packets of up to `max_frame` bytes.
pub(super) fn plan(packet: &Packet, max_frame: u32) -> Result<TxPlan, TxError> {
    const CHECKSUMS: TxFlags =
        TxFlags::TCP_CHECKSUM.union(TxFlags::UDP_CHECKSUM).union(TxFlags::SCTP_CHECKSUM);
    const L4: TxFlags = CHECKSUMS.union(TxFlags::TCP_SEGMENT);
    let flags = packet.tx_flags();
    let wants = |flag| flags.contains(flag);
    let refuse = |reason| Err(TxError::Offload { reason });
    let HeaderLens { l2, l3, l4, outer_l2, outer_l3 } = packet.header_lens();
    if (outer_l2, outer_l3) != (0, 0) {
        return refuse("the device has no offloads inside of tunnels");
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
        if headers + u32::from(packet.mss()) > max_frame {
            return refuse("headers and MSS together are longer than the device can send");
        }
        if wants(TxFlags::IPV4) {
            data |= tx::IXSM;
        }
        second |= u64::from(l4) << tx::L4LEN_SHIFT | u64::from(packet.mss()) << tx::MSS_SHIFT;
        data |= tx::TSE | tx::TXSM;
        // With segmentation, the payload without headers (7.2.3.2.4).
        payload = total - headers;
    } else if total > max_frame {
        return Err(TxError::TooLong { len: total, max: max_frame });
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
