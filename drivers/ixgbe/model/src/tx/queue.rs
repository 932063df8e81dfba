//! One transmit queue: its ring, the packet it is gathering or sending, and what it reports back (datasheet 7.2.3.3 to
//! 7.2.3.5).
//!
//! Reports: with TDWBAL bit 0, the head goes to memory when a descriptor with RS is done. Otherwise DD is written into
//! each descriptor with RS: at once with WTHRESH 0, else when WTHRESH of them are done or the queue's interrupt interval
//! is over.
//!
//! Key types: [`TxQueue`], [`Progress`]. Neighbours: [`Tx`](super::Tx) chooses the queue and hands in the way out.

mod state;

use pmd_ixgbe::desc::tx;
use pmd_ixgbe::regs::{EICR, RTTBCNRC, TDWBA};
use pmd_links::{Nanos, Sent};
use vfio_user_kit::{DmaBus, DmaFault, Doorbells};

use super::assemble::{Packet, Ready};
use super::descriptor::{Context, Descriptor, decode};
use super::offload::Tagging;
use crate::rx::queue::words_of;
use crate::shared::{Core, doorbell};

/// Descriptors fetched with one access.
const FETCH: usize = 64;
/// How far a limited queue may catch up when it was idle, or the model not stepped, for a while.
const PACE_SLACK: Nanos = 100_000;

/// What a queue did with its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing to do.
    Idle,
    /// It did something.
    Moved,
    /// The link would not take a frame.
    Blocked,
}

/// The way out: the MAC. Gets a frame and its queue.
pub(crate) type Send<'a> = dyn FnMut(&mut Core, &mut Vec<u8>, bool) -> Sent + 'a;

/// A transmit queue.
pub(crate) struct TxQueue {
    number: usize,
    pub(crate) enabled: bool,
    pub(crate) halted: bool,
    base: u64,
    len: u32,
    /// The next descriptor to look at.
    next: u32,
    /// TDH: the first descriptor that is not done.
    pub(crate) head: u32,
    tail: u32,
    threshold: usize,
    head_address: Option<u64>,
    contexts: [Context; 2],
    packet: Packet,
    ready: Option<Ready>,
    /// A frame of `ready` is in `frame` and waits for the link.
    holding: bool,
    frame: Vec<u8>,
    /// Descriptors with RS of the packet being gathered, of packets done.
    asked: Vec<Report>,
    due: Vec<Report>,
    flush_at: Nanos,
    /// The rate limiter: the link's rate divided by this in units of 2^-14, and when the next frame may go.
    rate_divisor: Option<u32>,
    not_before: Nanos,
    /// Descriptors were reported since this was last looked at.
    pub(crate) reported: bool,
    fetched: Box<[[u64; 2]; FETCH]>,
    fetched_from: usize,
    fetched_to: usize,
}

/// A descriptor to be written back.
#[derive(Clone, Copy)]
struct Report {
    index: u32,
    words: [u64; 2],
}

impl TxQueue {
    pub(crate) fn new(number: usize) -> TxQueue {
        TxQueue {
            number,
            enabled: false,
            halted: false,
            base: 0,
            len: 0,
            next: 0,
            head: 0,
            tail: 0,
            threshold: 0,
            head_address: None,
            contexts: [Context::default(); 2],
            packet: Packet::default(),
            ready: None,
            holding: false,
            frame: Vec::new(),
            asked: Vec::new(),
            due: Vec::new(),
            flush_at: 0,
            rate_divisor: None,
            not_before: 0,
            reported: false,
            fetched: Box::new([[0; 2]; FETCH]),
            fetched_from: 0,
            fetched_to: 0,
        }
    }

    /// The descriptors that the device may still read: the first, and how many.
    pub(crate) fn owned(&self) -> (u32, u32) {
        (
            self.head,
            if self.tail >= self.head { self.tail - self.head } else { self.len + self.tail - self.head },
        )
    }

    /// Takes the ring's place and starts at its beginning.
    pub(crate) fn start(&mut self, base: u64, bytes: u32) {
        *self = TxQueue {
            base,
            len: bytes / 16,
            enabled: true,
            threshold: self.threshold,
            head_address: self.head_address,
            rate_divisor: self.rate_divisor,
            ..TxQueue::new(self.number)
        };
    }

    /// Stops; a packet that was not sent in full is lost.
    pub(crate) fn stop(&mut self) {
        self.enabled = false;
        self.ready = None;
        self.holding = false;
        self.packet.clear();
        self.asked.clear();
        self.due.clear();
    }

    /// TXDCTL.WTHRESH.
    pub(crate) fn set_threshold(&mut self, descriptors: u32) {
        self.threshold = descriptors as usize;
    }

    /// TDWBA was written.
    pub(crate) fn set_head_address(&mut self, value: TDWBA) {
        self.head_address = value.head_wb_en().then_some(value.bits() & !0xF);
    }

    /// RTTBCNRC was written for this queue.
    pub(crate) fn set_rate(&mut self, value: RTTBCNRC) {
        let divisor = value.rf_int() << 14 | value.rf_dec();
        self.rate_divisor = (value.rs_ena() && divisor > 1 << 14).then_some(divisor);
    }

    /// A frame of `bytes` went out: the next one waits until the limited rate has sent it.
    fn pace(&mut self, core: &Core, bytes: usize) {
        if let Some(divisor) = self.rate_divisor {
            // Preamble, FCS and gap are 24 bytes more.
            let bits = (bytes as u64 + 24) * 8;
            let speed = u64::from(core.speed_mbps.max(1));
            let time = bits * 1_000 * u64::from(divisor) / (speed << 14);
            self.not_before = self.not_before.max(core.now.saturating_sub(PACE_SLACK)).saturating_add(time);
        }
    }

    /// When the queue goes on by itself.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        let flush = (!self.due.is_empty()).then_some(self.flush_at);
        let paced = self.rate_divisor.map(|_| self.not_before);
        (!self.halted).then_some([flush, paced]).into_iter().flatten().flatten().min()
    }

    /// Handles up to `budget` packets.
    pub(crate) fn run(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        send: &mut Send<'_>,
        budget: usize,
    ) -> Progress {
        match self.try_run(core, dma, doorbells, send, budget) {
            Ok(progress) => progress,
            Err(fault) => {
                self.halted = true;
                core.events.dma_fault(fault);
                core.irq.raise(EICR::default().with_pci_exception(true));
                Progress::Moved
            }
        }
    }

    fn try_run(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        send: &mut Send<'_>,
        budget: usize,
    ) -> Result<Progress, DmaFault> {
        let mut progress = Progress::Idle;
        for _ in 0..budget {
            if core.now < self.not_before {
                break;
            }
            if self.ready.is_none() && !self.gather(core, dma, doorbells, &mut progress)? {
                break;
            }
            if !self.send(core, send) {
                progress = Progress::Blocked;
                break;
            }
            progress = Progress::Moved;
            self.complete(core);
            if self.due.len() > self.threshold.saturating_sub(1) {
                self.report(dma)?;
            }
        }
        if !self.due.is_empty() && core.now >= self.flush_at {
            self.report(dma)?;
            progress = Progress::Moved;
        }
        Ok(progress)
    }

    /// Reads descriptors until a packet is complete; `false` if the ring ends before.
    fn gather(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        progress: &mut Progress,
    ) -> Result<bool, DmaFault> {
        loop {
            let Some((index, words)) = self.fetch(dma, doorbells)? else { return Ok(false) };
            *progress = Progress::Moved;
            match decode(words) {
                Descriptor::Context { slot, context } => {
                    match self.contexts.get_mut(slot) {
                        Some(place) => *place = context,
                        None => core.events.tx_malformed(self.number, index, "a context index above 1"),
                    }
                    if self.packet.is_fresh() {
                        self.head = self.next;
                    }
                }
                Descriptor::Unknown => {
                    core.events.tx_malformed(self.number, index, "a descriptor type that there is not");
                    if self.packet.is_fresh() {
                        self.head = self.next;
                    }
                }
                Descriptor::Data(data) => {
                    if let Some(place) = self.packet.extend(&data) {
                        dma.read(data.address, place)?;
                    }
                    if data.report {
                        self.asked.push(Report { index, words });
                    }
                    if data.end {
                        let ready = self
                            .packet
                            .finish(&core.regs, self.number, &self.contexts)
                            .unwrap_or_else(|reason| {
                                core.events.tx_malformed(self.number, index, reason);
                                Ready::Nothing
                            });
                        self.ready = Some(ready);
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Offers what is ready to the MAC; `false` if it is not all taken.
    fn send(&mut self, core: &mut Core, send: &mut Send<'_>) -> bool {
        let stamp = self.packet.wants_stamp();
        match self.ready {
            Some(Ready::Frame) => {
                if send(core, &mut self.packet.bytes, stamp) == Sent::Busy {
                    return false;
                }
                self.pace(core, self.packet.bytes.len());
                core.events.counters.tx_packets += 1;
                true
            }
            Some(Ready::Segments { mut segments, tag }) => loop {
                if !self.holding {
                    match segments.next(&self.packet.bytes, &mut self.frame) {
                        Ok(true) => {}
                        Ok(false) => {
                            core.events.counters.tx_packets += 1;
                            return true;
                        }
                        Err(reason) => {
                            core.events.tx_malformed(self.number, self.head, reason);
                            return true;
                        }
                    }
                    if let Some(tag) = tag {
                        Tagging::new(&core.regs).insert(&mut self.frame, tag);
                    }
                    self.holding = true;
                }
                if send(core, &mut self.frame, stamp) == Sent::Busy {
                    self.ready = Some(Ready::Segments { segments, tag });
                    return false;
                }
                self.pace(core, self.frame.len());
                self.holding = false;
            },
            Some(Ready::Nothing) | None => true,
        }
    }

    /// The packet is out: its descriptors are done.
    fn complete(&mut self, core: &Core) {
        self.ready = None;
        self.packet.clear();
        self.head = self.next;
        if !self.asked.is_empty() {
            if self.due.is_empty() {
                self.flush_at = core.now.saturating_add(core.irq.tx_interval(&core.regs, self.number));
            }
            self.due.append(&mut self.asked);
        }
    }

    /// Tells software.
    fn report(&mut self, dma: &dyn DmaBus) -> Result<(), DmaFault> {
        self.reported = true;
        if let Some(address) = self.head_address {
            self.due.clear();
            return dma.store32(address, self.head);
        }
        for report in self.due.drain(..) {
            let at = self.base.wrapping_add(u64::from(report.index) * 16);
            if report.words[1] & tx::DEXT == 0 {
                // A legacy descriptor keeps all but the status (7.2.3.2.2).
                dma.store(at.wrapping_add(8), report.words[1] & !(0xF << 32) | tx::DD)?;
            } else {
                // An advanced one holds nothing but the status (7.2.3.2.5).
                dma.store(at, 0)?;
                dma.store(at.wrapping_add(8), tx::DD)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn fetch(
        &mut self,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
    ) -> Result<Option<(u32, [u64; 2])>, DmaFault> {
        if self.fetched_from == self.fetched_to && !self.prefetch(dma, doorbells)? {
            return Ok(None);
        }
        let words = self.fetched[self.fetched_from];
        self.fetched_from += 1;
        let index = self.next;
        self.next = if self.next + 1 == self.len { 0 } else { self.next + 1 };
        Ok(Some((index, words)))
    }

    fn prefetch(&mut self, dma: &dyn DmaBus, doorbells: &dyn Doorbells) -> Result<bool, DmaFault> {
        if self.len == 0 {
            return Ok(false);
        }
        if self.next == self.tail {
            let tail = doorbells.load(doorbell::tx(self.number)) & 0xFFFF;
            // A tail beyond the end is no place in the ring; the device stays with the last good one.
            if tail >= self.len || tail == self.next {
                return Ok(false);
            }
            self.tail = tail;
        }
        let end = if self.tail > self.next { self.tail } else { self.len };
        let count = ((end - self.next) as usize).min(FETCH);
        let mut bytes = [0u8; FETCH * 16];
        let bytes = &mut bytes[..count * 16];
        dma.read(self.base.wrapping_add(u64::from(self.next) * 16), bytes)?;
        for (words, bytes) in self.fetched.iter_mut().zip(bytes.chunks_exact(16)) {
            *words = words_of(bytes);
        }
        self.fetched_from = 0;
        self.fetched_to = count;
        Ok(true)
    }
}
