//! Which queue a packet goes to, and what its descriptor will say (datasheet 7.1.2).
//!
//! Neighbours: the MAC gives good frames; the result goes to [`RxQueue`](super::queue::RxQueue).

use pmd_ixgbe::desc::rx;

use super::mac::Incoming;
use super::meta::{Meta, status};
use super::rss::Rss;
use super::verify;
use crate::regs::Reg;
use crate::shared::Core;

/// RXCSUM bits (8.2.3.7.5).
mod rxcsum {
    /// Sum the payload of UDP fragments.
    pub(super) const IPPCSE: u32 = 1 << 12;
    /// Word 0 holds the RSS hash, not the fragment checksum.
    pub(super) const PCSD: u32 = 1 << 13;
}

/// The end of the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) queue: usize,
    pub(crate) meta: Meta,
}

/// Chooses the queue and fills in the facts, but not those that depend on the queue (the tag).
pub(crate) fn steer(core: &mut Core, rss: &mut Rss, frame: &[u8], incoming: &Incoming) -> Target {
    let parsed = &incoming.parsed;
    let regs = &core.regs;
    let mut meta = Meta { kind: parsed.packet_type(), ..Meta::default() };
    let no_ipv6 = regs.has(Reg::Rfctl, verify::RFCTL_IPV6_XSUM_DIS);
    meta.status = verify::verdict(frame, parsed, no_ipv6, core.config.udp_zero_checksum_erratum);
    if incoming.inexact {
        meta.status |= rx::PIF;
    }
    if incoming.bad {
        meta.status |= status::RXE;
    }
    let mut queue = 0;
    let rxcsum = regs.get(Reg::Rxcsum);
    if regs.get(Reg::Mrqc) & 0xF == 1 {
        let hashed = rss.hash(regs, frame, parsed);
        queue = hashed.index;
        if rxcsum & rxcsum::PCSD != 0 {
            meta.kind |= hashed.kind;
            meta.high = hashed.hash;
        }
    }
    if rxcsum & (rxcsum::PCSD | rxcsum::IPPCSE) == rxcsum::IPPCSE
        && let Some(sum) = verify::fragment(frame, parsed)
    {
        meta.high = sum;
        meta.status |= status::UDPV;
    }
    Target { queue, meta }
}
