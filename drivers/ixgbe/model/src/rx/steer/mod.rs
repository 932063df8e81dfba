//! Which queue a packet goes to, and what its descriptor will say (datasheet 7.1.2).
//!
//! Asked in this order, the first that answers decides:
//!
//! 1. [`ethertype`]: by EtherType.
//! 2. [`tuple`](mod@tuple): the SYN filter and the 5-tuple filters.
//! 3. [`flow_director`] with its [`fields`].
//! 4. [`rss`] with the [`toeplitz`] hash, the traffic class, the pool ([`pools`]).
//!
//! Key types: [`Steering`], [`Target`]. Neighbours: the MAC gives good frames; the result goes to
//! [`RxQueue`](super::queue::RxQueue).

mod ethertype;
mod fields;
mod flow_director;
mod pools;
mod rss;
mod toeplitz;
mod tuple;

use pmd_ixgbe::desc::rx;
use pmd_ixgbe::regs::{FDIRCTRL, MRQC, PFVTCTL, RTRUP2TC, RXCSUM, XEC};

use super::mac::Incoming;
use super::meta::{Meta, kind, status};
use super::verify;
use crate::classes;
use crate::packet::Parsed;
use crate::regs::RegisterFile;
use crate::shared::Core;
use crate::state::state;
use ethertype::EtherTypes;
use flow_director::FlowDirector;
use rss::Rss;
use tuple::Tuples;

/// The end of the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) queue: usize,
    /// The traffic class, which is the packet buffer.
    pub(crate) class: usize,
    pub(crate) meta: Meta,
    /// The packet asks for an interrupt at once.
    pub(crate) immediate: bool,
    /// An EtherType filter says that it is an IEEE 1588 packet.
    pub(crate) ieee1588: bool,
}

state!(Target { queue, class, meta, immediate, ieee1588 });

/// All that chooses queues.
#[derive(Default)]
pub(crate) struct Steering {
    pub(crate) ethertypes: EtherTypes,
    pub(crate) tuples: Tuples,
    pub(crate) flow_director: FlowDirector,
    pub(crate) rss: Rss,
}

state!(Steering { flow_director } without {
    ethertypes: EtherTypes::default(),
    tuples: Tuples::default(),
    rss: Rss::default(),
});

impl Steering {
    /// Reads anew what only the registers hold.
    pub(crate) fn arrive(&mut self, regs: &RegisterFile) {
        self.ethertypes.reload(regs);
        self.tuples.invalidate();
        self.rss.rekey();
    }

    /// Back to power-on.
    pub(crate) fn reset(&mut self) {
        *self = Steering::default();
        self.tuples.invalidate();
    }

    /// Chooses the queue and fills in the facts, but not those that depend on the queue (the tag). `None` if a filter
    /// drops the packet. Also returns further pools that get a copy, a bit each.
    pub(crate) fn steer(
        &mut self,
        core: &mut Core,
        frame: &[u8],
        incoming: &Incoming,
    ) -> Option<(Target, u64)> {
        let parsed = &incoming.parsed;
        let class = classes::received(&core.regs, parsed.vlan);
        let mut target = Target { queue: 0, class, meta: Meta::default(), immediate: false, ieee1588: false };
        let meta = &mut target.meta;
        meta.kind = parsed.packet_type();
        meta.status = verify::verdict(frame, parsed, core.config.udp_zero_checksum_erratum);
        if incoming.inexact {
            meta.status |= rx::PIF;
        }
        if parsed.outer {
            meta.status |= status::VEXT;
        }
        if incoming.bad {
            meta.status |= status::RXE;
        } else if meta.status & (rx::IPE | rx::L4E) != 0 {
            core.regs.count::<XEC>();
        }
        let rxcsum = core.regs.get::<RXCSUM>();
        if rxcsum.ippcse()
            && !rxcsum.pcsd()
            && let Some(sum) = verify::fragment(frame, parsed)
        {
            meta.high = sum;
            meta.status |= status::UDPV;
        }
        let copies = self.choose(core, frame, incoming, &mut target)?;
        if target.immediate {
            target.meta.status |= status::LLINT;
        }
        Some((target, copies))
    }

    /// The same packet for another pool.
    pub(crate) fn copy(
        &mut self,
        core: &Core,
        frame: &[u8],
        parsed: &Parsed,
        pool: usize,
        of: &Target,
    ) -> Target {
        let mut target = *of;
        target.queue = self.scale(core, frame, parsed, pool, &mut target);
        target
    }

    /// Sets the queue, `None` to drop; returns further pools.
    fn choose(
        &mut self,
        core: &mut Core,
        frame: &[u8],
        incoming: &Incoming,
        target: &mut Target,
    ) -> Option<u64> {
        let parsed = &incoming.parsed;
        let pools = if core.regs.get::<PFVTCTL>().vt_ena() {
            pools::find(&core.regs, frame, parsed, incoming.entry)
        } else {
            1
        };
        if pools == 0 {
            return None;
        }
        let copies = pools & (pools - 1);
        target.queue = self.scale(core, frame, parsed, pools.trailing_zeros() as usize, target);
        if let Some(found) = self.ethertypes.find(&core.regs, parsed) {
            target.meta.kind = kind::ETHERTYPE | (found.index as u32) << 4;
            target.immediate = found.immediate;
            target.ieee1588 = found.ieee1588;
            if let Some(queue) = found.queue {
                target.queue = queue;
                return Some(copies);
            }
        }
        if let Some(found) = self.tuples.find(&core.regs, frame, parsed) {
            target.queue = found.queue;
            target.immediate |= found.immediate;
            return Some(copies);
        }
        if let Some(found) = self.flow_director.find(core, frame, parsed) {
            let control = core.regs.get::<FDIRCTRL>();
            target.meta.status |= rx::FLM;
            if control.report_status() || control.report_status_always() {
                target.meta.kind = target.meta.kind & !kind::RSS_MASK | kind::FLOW_DIRECTOR;
                target.meta.high = found.report;
            }
            target.immediate |= found.action.interrupt;
            if found.action.drop {
                return None;
            }
            if let Some(queue) = found.action.queue {
                target.queue = queue;
            }
        }
        Some(copies)
    }

    /// Pools, traffic classes, RSS (7.1.2.1, table 7-3): the queue where no filter says otherwise.
    fn scale(
        &mut self,
        core: &Core,
        frame: &[u8],
        parsed: &Parsed,
        pool: usize,
        target: &mut Target,
    ) -> usize {
        let regs = &core.regs;
        let priority = parsed.vlan.map_or(0, |tag| tag >> 13);
        let class = (regs.get::<RTRUP2TC>().bits() >> (3 * priority) & 7) as usize;
        // The first queue, and of how many RSS may choose (1: it is off).
        let (first, queues) = match regs.get::<MRQC>().mrqe() {
            1 => (0, 16),
            2 => (class * 16, 1),
            3 => (class * 32, 1),
            4 => (class * 16, 16),
            5 => (class * 32, 16),
            8 => (pool * 2, 1),
            10 => (pool * 4, 4),
            11 => (pool * 2, 2),
            12 => (pool * 8 + class, 1),
            13 => (pool * 4 + class % 4, 1),
            _ => (0, 1),
        };
        let mut index = 0;
        if queues > 1 {
            let hashed = self.rss.hash(regs, frame, parsed);
            if regs.get::<RXCSUM>().pcsd() {
                target.meta.kind |= hashed.kind;
                target.meta.high = hashed.hash;
            }
            index = hashed.index % queues;
        }
        (first + index) % crate::shared::QUEUES
    }
}
