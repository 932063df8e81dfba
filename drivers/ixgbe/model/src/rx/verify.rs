//! Checksums of received packets and the verdict bits (datasheet 7.1.11).
//!
//! IPv4 headers, TCP and UDP over either IP, SCTP. Fragments have no layer-4 verdict; with RXCSUM.IPPCSE a fragment of
//! UDP gets the sum of its payload instead. A UDP packet without a checksum is reported as bad (specification update,
//! erratum 44) unless the model is told otherwise.
//!
//! Neighbours: called by [`steer`](super::steer) for each packet that goes to a queue.

use pmd_ixgbe::desc::rx;

use crate::checksum::{crc32c, fold, ones_sum};
use crate::packet::{Ip, L4, Parsed, proto};

/// Returns the status and error bits.
#[inline]
pub(crate) fn verdict(frame: &[u8], parsed: &Parsed, zero_is_bad: bool) -> u64 {
    let mut bits = 0;
    match parsed.ip {
        Ip::None => return 0,
        Ip::V4 => {
            bits |= rx::IPCS;
            if ones_sum(&frame[parsed.l3_at..parsed.l4_at], 0) != 0xFFFF {
                bits |= rx::IPE;
            }
        }
        Ip::V6 => {}
    }
    let segment = || &frame[parsed.l4_at..parsed.ip_end];
    match parsed.l4 {
        L4::None => {}
        L4::Sctp => {
            let segment = segment();
            let stored = u32::from_le_bytes([segment[8], segment[9], segment[10], segment[11]]);
            let mut copy = segment.to_vec();
            copy[8..12].fill(0);
            bits |= rx::L4CS | if crc32c(&copy) == stored { 0 } else { rx::L4E };
        }
        L4::Tcp => {
            let good = ones_sum(segment(), pseudo_header(frame, parsed)) == 0xFFFF;
            bits |= rx::L4CS | if good { 0 } else { rx::L4E };
        }
        L4::Udp => {
            let segment = segment();
            let absent = segment[6..8] == [0, 0];
            // The UDP length says how much is summed; what lies behind it inside of the IP packet is not UDP.
            let len = usize::from(u16::from_be_bytes([segment[4], segment[5]]));
            let good = match segment.get(..len.max(8)) {
                _ if absent => !zero_is_bad,
                Some(part) if len >= 8 => ones_sum(part, pseudo_header_len(frame, parsed, len)) == 0xFFFF,
                _ => false,
            };
            if absent && !zero_is_bad {
                return bits;
            }
            bits |= rx::L4CS | rx::UDPCS | if good { 0 } else { rx::L4E };
        }
    }
    bits
}

fn pseudo_header(frame: &[u8], parsed: &Parsed) -> u32 {
    pseudo_header_len(frame, parsed, parsed.ip_end - parsed.l4_at)
}

fn pseudo_header_len(frame: &[u8], parsed: &Parsed, len: usize) -> u32 {
    u32::from(ones_sum(parsed.addresses(frame), len as u32 + u32::from(parsed.protocol)))
}

/// Of an IPv4 fragment that carries UDP: the IP id and the sum of the payload, as word 0 takes them (7.1.6.2).
pub(crate) fn fragment(frame: &[u8], parsed: &Parsed) -> Option<u32> {
    if parsed.ip != Ip::V4 || !parsed.fragment || parsed.protocol != proto::UDP {
        return None;
    }
    let id = u16::from_be_bytes([frame[parsed.l3_at + 4], frame[parsed.l3_at + 5]]);
    let sum = fold(u64::from(ones_sum(&frame[parsed.l4_at..parsed.ip_end], 0)));
    Some(u32::from(sum) << 16 | u32::from(id))
}
