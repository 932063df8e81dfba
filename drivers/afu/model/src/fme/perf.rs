//! Performance counters (features 3 and 7).
//!
//! Key types: [`Traffic`], what a port did, and [`Perf`], the registers through which one event at a time is read.
//! Neighbours: ports count; [`fme`](super) owns the registers.

use pmd_afu::regs::fme::perf::*;
use vfio_hal::regs::Register;

use crate::config::{Counters, MAX_PORTS};
use crate::words::{bits, merge};

/// The fabric's clock, which the basic counter counts.
const FABRIC_MHZ: u64 = 200;
/// Pages that a port's device TLB remembers.
const TLB: usize = 16;

/// What a port did since power-on. Lines of 64 bytes, and register accesses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) mmio_reads: u64,
    pub(crate) mmio_writes: u64,
    tlb: [Option<u64>; TLB],
    tlb_next: usize,
    read_hits: u64,
    write_hits: u64,
    fills: u64,
}

impl Traffic {
    /// Counts lines that were moved from or to `iova`.
    pub(crate) fn count(&mut self, iova: u64, lines: u64, write: bool) {
        let (count, hits) = match write {
            false => (&mut self.reads, &mut self.read_hits),
            true => (&mut self.writes, &mut self.write_hits),
        };
        *count += lines;
        let (first, last) =
            (iova >> 12, iova.saturating_add(lines.saturating_mul(64).saturating_sub(1)) >> 12);
        // All lines but the first of a page find it in the TLB.
        *hits += lines;
        for page in first..=last {
            if !self.tlb.contains(&Some(page)) {
                self.tlb[self.tlb_next] = Some(page);
                self.tlb_next = (self.tlb_next + 1) % TLB;
                self.fills += 1;
                *hits = hits.saturating_sub(1);
            }
        }
    }
}

/// One of the four sets of counters.
#[derive(Clone, Copy, Debug, Default)]
struct Select {
    control: u64,
    /// The event that the counter shows until `ready_at`.
    shown: u64,
    ready_at: u64,
}

/// Events that a counter can have.
const EVENTS: usize = 16;
type Values = [u64; EVENTS];

#[derive(Clone, Debug)]
struct Counter {
    select: Select,
    /// What each event had when it was last reset, for all ports together and for each.
    base: [Values; MAX_PORTS + 1],
    frozen: Option<[Values; MAX_PORTS + 1]>,
}

impl Counter {
    fn new() -> Counter {
        Counter { select: Select::default(), base: [[0; EVENTS]; MAX_PORTS + 1], frozen: None }
    }

    fn write(&mut self, value: u64, mask: u64, now: u64, delay: u64, current: &[Values; MAX_PORTS + 1]) {
        let old = self.select.control;
        let new = merge(old, value, mask);
        if bits(new, 0, 0) == 1 {
            self.base = *current;
        }
        match (bits(new, 8, 8) == 1, self.frozen.is_some()) {
            (true, false) => self.frozen = Some(*current),
            // What happened while it was frozen does not count.
            (false, true) => {
                let frozen = self.frozen.take().unwrap_or(*current);
                for (base, (now, then)) in
                    self.base.iter_mut().flatten().zip(current.iter().flatten().zip(frozen.iter().flatten()))
                {
                    *base += now - then;
                }
            }
            _ => {}
        }
        if bits(new, 19, 16) != bits(old, 19, 16) {
            self.select.shown = self.shown(now);
            self.select.ready_at = now.saturating_add(delay);
        }
        self.select.control = new;
    }

    fn shown(&self, now: u64) -> u64 {
        if now >= self.select.ready_at { bits(self.select.control, 19, 16) } else { self.select.shown }
    }

    /// The event that is shown, and its count. `which`: 0 for all ports, n + 1 for port n.
    fn read(&self, now: u64, which: usize, current: &[Values; MAX_PORTS + 1]) -> (u64, u64) {
        let event = self.shown(now);
        let values = self.frozen.as_ref().unwrap_or(current);
        let count = values[which][event as usize].saturating_sub(self.base[which][event as usize]);
        (event, count)
    }
}

pub(crate) struct Perf {
    kind: Counters,
    delay: u64,
    cache: Counter,
    fabric: Counter,
    vtd: Counter,
    sip: Counter,
}

impl Perf {
    pub(crate) fn new(kind: Counters, delay: u64) -> Perf {
        let [cache, fabric, vtd, sip] = [(); 4].map(|()| Counter::new());
        Perf { kind, delay, cache, fabric, vtd, sip }
    }

    pub(crate) fn read(&self, at: u64, now: u64, traffic: &[Traffic; MAX_PORTS]) -> u64 {
        let short = |(event, count): (u64, u64)| event << 60 | count & ((1 << 48) - 1);
        let integrated = self.kind == Counters::Integrated;
        match at {
            FAB_CTRL::OFFSET => self.fabric.select.control & !1,
            FAB_CNTR::OFFSET => {
                let control = FAB_CTRL::new(self.fabric.select.control);
                let which = if control.port_filter() { control.port() as usize + 1 } else { 0 };
                let (event, count) = self.fabric.read(now, which, &fabric(traffic));
                event << 60 | count & ((1 << 60) - 1)
            }
            CLK_CNTR::OFFSET => now.saturating_mul(FABRIC_MHZ) / 1_000,
            CACHE_CTRL::OFFSET if integrated => self.cache.select.control & !1,
            CACHE_CNTR0::OFFSET if integrated => short(self.cache.read(now, 0, &cache(traffic))),
            // One channel does all.
            CACHE_CNTR1::OFFSET if integrated => self.cache.shown(now) << 60,
            VTD_CTRL::OFFSET if integrated => self.vtd.select.control & !1,
            VTD_CNTR::OFFSET if integrated => short(self.vtd.read(now, 0, &vtd(traffic))),
            VTD_SIP_CTRL::OFFSET if integrated => self.sip.select.control & !1,
            VTD_SIP_CNTR::OFFSET if integrated => short(self.sip.read(now, 0, &sip(traffic))),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, at: u64, value: u64, mask: u64, now: u64, traffic: &[Traffic; MAX_PORTS]) {
        let (counter, current) = match at {
            FAB_CTRL::OFFSET => (&mut self.fabric, fabric(traffic)),
            _ if self.kind == Counters::Discrete => return,
            CACHE_CTRL::OFFSET => (&mut self.cache, cache(traffic)),
            VTD_CTRL::OFFSET => (&mut self.vtd, vtd(traffic)),
            VTD_SIP_CTRL::OFFSET => (&mut self.sip, sip(traffic)),
            _ => return,
        };
        counter.write(value, mask, now, self.delay, &current);
    }
}

/// Makes the values of each port, and of all of them.
fn values(traffic: &[Traffic; MAX_PORTS], of: impl Fn(&Traffic) -> Values) -> [Values; MAX_PORTS + 1] {
    let mut all = [[0; EVENTS]; MAX_PORTS + 1];
    for (port, traffic) in traffic.iter().enumerate() {
        let own = of(traffic);
        all[port + 1] = own;
        all[0].iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    all
}

/// PCIe 0 read and write, PCIe 1, UPI, registers read and written.
fn fabric(traffic: &[Traffic; MAX_PORTS]) -> [Values; MAX_PORTS + 1] {
    values(traffic, |port| {
        let mut values = [0; EVENTS];
        (values[0], values[1]) = (port.reads, port.writes);
        (values[6], values[7]) = (port.mmio_reads, port.mmio_writes);
        values
    })
}

/// The model has no cache: everything misses.
fn cache(traffic: &[Traffic; MAX_PORTS]) -> [Values; MAX_PORTS + 1] {
    values(traffic, |port| {
        let mut values = [0; EVENTS];
        (values[2], values[3]) = (port.reads, port.writes);
        values
    })
}

/// Transactions, hits in the device TLB, fills of 4 KiB. The events of port n follow those of port n - 1, seven each; as
/// many as the event field reaches.
fn vtd(traffic: &[Traffic; MAX_PORTS]) -> [Values; MAX_PORTS + 1] {
    let mut all = [[0; EVENTS]; MAX_PORTS + 1];
    for (port, traffic) in traffic.iter().enumerate() {
        let events = [traffic.reads, traffic.writes, traffic.read_hits, traffic.write_hits, traffic.fills];
        for (event, value) in events.into_iter().enumerate() {
            if let Some(slot) = all[0].get_mut(7 * port + event) {
                *slot = value;
            }
        }
    }
    all
}

/// Each fill of the device TLB misses the IOTLB once; the caches of the walk hit.
fn sip(traffic: &[Traffic; MAX_PORTS]) -> [Values; MAX_PORTS + 1] {
    values(traffic, |port| {
        let mut values = [0; EVENTS];
        values[6] = port.fills;
        (values[3], values[4], values[5]) = (port.fills, port.fills, port.fills);
        values
    })
}
