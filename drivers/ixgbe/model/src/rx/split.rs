//! Where a packet's header ends, by the headers that PSRTYPE of pool 0 says are to be split off (datasheet 7.1.10.1).

use pmd_ixgbe::regs::PSRTYPE;

use crate::packet::{Ip, L4, Parsed};

/// Bytes up to the end of the innermost header that may be split, 0 if there is none.
pub(crate) fn header(split: PSRTYPE, frame: &[u8], parsed: &Parsed) -> usize {
    let tcp = || parsed.l4_at + usize::from(frame[parsed.l4_at + 12] >> 4) * 4;
    match (parsed.ip, parsed.l4) {
        (_, L4::Tcp) if split.tcp() && tcp() <= parsed.ip_end && tcp() >= parsed.l4_at + 20 => tcp(),
        (_, L4::Udp) if split.udp() => parsed.l4_at + 8,
        (Ip::V4, _) if split.ipv4() => parsed.l4_at,
        (Ip::V6, _) if split.ipv6() => parsed.l4_at,
        _ if split.l2() => parsed.l3_at.min(frame.len()),
        _ => 0,
    }
}
