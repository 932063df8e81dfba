//! Which queue a packet goes to, and what its descriptor will say (datasheet 7.1.2).
//!
//! Neighbours: the MAC gives good frames; the result goes to [`RxQueue`](super::queue::RxQueue).

use pmd_ixgbe::desc::rx;
use pmd_ixgbe::regs::{MRQC, RXCSUM};

use super::mac::Incoming;
use super::meta::{Meta, status};
use super::rss::Rss;
use super::verify;
use crate::shared::Core;

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
    meta.status = verify::verdict(frame, parsed, core.config.udp_zero_checksum_erratum);
    if incoming.inexact {
        meta.status |= rx::PIF;
    }
    if incoming.bad {
        meta.status |= status::RXE;
    }
    let mut queue = 0;
    let rxcsum = regs.get::<RXCSUM>();
    if regs.get::<MRQC>().mrqe() == 1 {
        let hashed = rss.hash(regs, frame, parsed);
        queue = hashed.index;
        if rxcsum.pcsd() {
            meta.kind |= hashed.kind;
            meta.high = hashed.hash;
        }
    }
    if rxcsum.ippcse()
        && !rxcsum.pcsd()
        && let Some(sum) = verify::fragment(frame, parsed)
    {
        meta.high = sum;
        meta.status |= status::UDPV;
    }
    Target { queue, meta }
}
