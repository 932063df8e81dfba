//! The transmit side of a descriptor ring.
//!
//! [`TxRing`] takes packets from a [`Burst`], asks the device to report every 32 descriptors, and gives what was
//! sent back to a [`Cache`]. A plain packet (one segment, no offloads, of the cache's own pool) is two stores;
//! anything else takes the slow way, which asks the driver's [`TxFormat`] for a [`TxPlan`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use super::coherence::Coherence;
use super::descriptors::{Descriptor, Descriptors, PLACE, RingError, WIDER};
use super::rx::count;
use crate::addr::BusAddr;
use crate::bar::Doorbell;
use crate::device::Lost;
use crate::dma::Quiesced;
use crate::dma::pool::{Buf, Burst, Cache, HEADROOM, MAGAZINE, Packet, Pool, Shared, SharedBuf, TxFlags};

/// How a device is given transmit descriptors. Word 0 of a data descriptor is the buffer's address, which the kit
/// writes; word 1 is what these functions make.
pub trait TxFormat {
    /// The bit of a written-back word 1 that says that the device is done with the descriptor.
    const DONE: u64;
    /// The bit of word 1 that asks the device to write back.
    const REPORT: u64;
    /// The bit of word 1 that says that the packet ends here.
    const END: u64;
    /// The bits of word 1 that tell a context descriptor from one with an address, and their value in a context.
    const KIND: (u64, u64);
    /// The longest segment that one descriptor can carry, in bytes.
    const MAX_SEGMENT: u32;
    /// The most descriptors one packet may take, context included.
    const MAX_DESCRIPTORS: u32;

    /// Returns word 1 for a packet of one segment without offloads, `END` included.
    fn plain(len: u32) -> u64;

    /// Returns what to write for a packet that has offloads or several segments.
    fn plan(packet: &Packet) -> Result<TxPlan, TxError>;

    /// Returns word 1 for a segment of `len` bytes, without `END`.
    fn segment(plan: &TxPlan, len: u32) -> u64;
}

/// What a driver makes of one packet's offload requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxPlan {
    /// A context descriptor to write first; the kit sets the bits of [`TxFormat::KIND`].
    pub context: Option<[u64; 2]>,
    /// What all data descriptors of the packet have in common.
    pub common: u64,
}

/// Why a packet was refused. It stays at the front of the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// The device is gone.
    #[error("the device is gone: it was removed, or the process that served it ended")]
    Lost,
    /// The queue is stopped.
    #[error("the queue is stopped: start it first")]
    Stopped,
    /// The buffer is mapped in another address space than the ring.
    #[error(
        "the packet's buffer belongs to another IOVA space than the queue: copy it, or put both devices in one space"
    )]
    ForeignSpace,
    /// A packet without bytes.
    #[error("the packet has an empty segment")]
    Empty,
    /// Too long for a descriptor or the device.
    #[error("a segment of {len} bytes is longer than the device can send ({max})")]
    TooLong {
        /// Its length in bytes.
        len: u32,
        /// The most the device takes.
        max: u32,
    },
    /// More segments than the device takes.
    #[error("the packet needs {need} descriptors, the device takes {max}: copy it into fewer buffers")]
    TooManySegments {
        /// Descriptors needed.
        need: u32,
        /// The most.
        max: u32,
    },
    /// An offload request that makes no sense.
    #[error("the offload request cannot be met: {reason}")]
    Offload {
        /// Why.
        reason: &'static str,
    },
}

/// What a transmit ring counted. Written by its owner once per burst, readable by anyone.
#[derive(Debug, Default)]
pub struct TxStats {
    packets: AtomicU64,
    bytes: AtomicU64,
    full: AtomicU64,
    refused: AtomicU64,
}

impl TxStats {
    /// Returns the packets given to the device.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Returns their bytes, without the frame check sequence.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many bursts left packets because the ring was full.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Returns how many packets were refused with a [`TxError`].
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// How many descriptors go by between two reports (DPDK's `tx_rs_thresh`): one magazine.
const REPORT_EVERY: u32 = MAGAZINE as u32;

/// One buffer on the ring, or none where a context descriptor is. The lowest bit marks a [`SharedBuf`].
type Slot = *mut Packet;

const SHARED: usize = 1;

/// A run of descriptors that ends with one the device reports.
#[derive(Clone, Copy, Debug)]
struct Batch {
    last: u32,
    /// Every slot holds an unchained packet of the pool.
    plain: bool,
}

/// Batches in the order of their reports. A batch has at least [`REPORT_EVERY`] descriptors, so twice as many
/// places as fit into the ring are always enough.
struct Batches {
    places: Box<[Batch]>,
    first: u32,
    end: u32,
}

impl Batches {
    fn new(size: u32) -> Batches {
        let places = (2 * size / REPORT_EVERY).next_power_of_two();
        Batches { places: (0..places).map(|_| Batch { last: 0, plain: true }).collect(), first: 0, end: 0 }
    }

    #[inline]
    fn push(&mut self, batch: Batch) {
        let mask = self.places.len() - 1;
        if let Some(place) = self.places.get_mut(self.end as usize & mask) {
            *place = batch;
            self.end = self.end.wrapping_add(1);
        }
    }

    #[inline]
    fn front(&self) -> Option<Batch> {
        if self.first == self.end {
            return None;
        }
        self.places.get(self.first as usize & (self.places.len() - 1)).copied()
    }

    fn pop(&mut self) {
        self.first = self.first.wrapping_add(1);
    }

    fn clear(&mut self) {
        self.first = self.end;
    }
}

/// A ring of packets that the device sends. `F` is the descriptors' format.
///
/// Dropped while the device may still read (no [`Quiesced`] was shown), it leaks what is on it and the pool counts
/// that; [`release`](Self::release) gives it back.
pub struct TxRing<F: TxFormat> {
    ring: Descriptors,
    tail: Doorbell,
    lost: Lost,
    shadow: Box<[Slot]>,
    /// Where the next descriptor goes.
    next: u32,
    /// The oldest descriptor that was not reaped.
    clean: u32,
    /// Descriptors that may be written; one always stays free, so that full differs from empty.
    free: u32,
    /// Descriptors until the next report.
    until_report: u32,
    /// Whether everything since the last report is plain.
    plain: bool,
    /// Reports asked for and not seen.
    batches: Batches,
    /// The context that the device holds.
    context: Option<[u64; 2]>,
    pool: Pool,
    coherence: Coherence,
    /// No buffer of the pool is longer than a descriptor can carry.
    short: bool,
    stats: Arc<TxStats>,
    stopped: bool,
    exposed: bool,
    format: PhantomData<fn() -> F>,
}

// SAFETY: the packets in `shadow` are owned by the ring alone, or counted.
unsafe impl<F: TxFormat> Send for TxRing<F> {}

impl<F: TxFormat> TxRing<F> {
    /// Makes an empty ring. Packets of `pool` take the fastest way. The device does not have the ring yet: write base
    /// and length, enable the queue, then call [`post_all`](Self::post_all).
    pub fn new(ring: Descriptors, tail: Doorbell, lost: Lost, pool: &Pool) -> Result<TxRing<F>, RingError> {
        if pool.space() != ring.space() {
            return Err(RingError::ForeignSpace);
        }
        let size = ring.size();
        Ok(TxRing {
            shadow: (0..size).map(|_| core::ptr::null_mut()).collect(),
            batches: Batches::new(size),
            free: size - 1,
            ring,
            tail,
            lost,
            next: 0,
            clean: 0,
            until_report: REPORT_EVERY,
            plain: true,
            context: None,
            pool: pool.clone(),
            coherence: Coherence::of(pool.iova_space()),
            short: u32::from(HEADROOM) + pool.data_room() <= F::MAX_SEGMENT,
            stats: Arc::default(),
            stopped: true,
            exposed: false,
            format: PhantomData,
        })
    }

    /// Returns the address and length in bytes for the ring's registers.
    pub fn bus(&self) -> (BusAddr, u32) {
        (self.ring.bus(), self.ring.bytes())
    }

    /// Returns the number of descriptors.
    pub fn size(&self) -> u32 {
        self.ring.size()
    }

    /// Returns how many descriptors are free now, without looking at the device.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Returns the counters, to be read by anyone.
    pub fn stats(&self) -> Arc<TxStats> {
        self.stats.clone()
    }

    /// Starts taking packets: the device has enabled the queue.
    pub fn post_all(&mut self) {
        self.stopped = false;
        self.exposed = true;
    }

    /// Gives packets from the front of `burst` to the device, with one doorbell; returns how many. What did not fit
    /// stays in the burst.
    ///
    /// # Errors
    /// When the first packet cannot be sent at all: it stays at the front, and `TxError` says why.
    #[inline]
    pub fn burst(&mut self, cache: &mut Cache, burst: &mut Burst) -> Result<usize, TxError> {
        if self.lost.is_lost() || self.stopped {
            return Err(self.why_not());
        }
        let (want, first) = (burst.len(), self.next);
        let need = (want as u32).saturating_add(REPORT_EVERY);
        if self.free < need {
            self.reap_until(cache, need);
        }
        let fast = self.short && cache.shared_ptr() == self.pool.shared_ptr();
        let mut bytes = 0;
        let mut error = None;
        if fast {
            bytes = self.run(burst);
        }
        // More than one round: a report or the ring's end lies within, or something is not plain.
        while !burst.is_empty() && self.free != 0 {
            match self.post_one(cache, burst) {
                Ok(Some(more)) => bytes += more,
                Ok(None) => break,
                Err(why) => {
                    error = Some(why);
                    break;
                }
            }
            if fast {
                bytes += self.run(burst);
            }
        }
        let sent = want - burst.len();
        if sent != 0 {
            if self.coherence.is_needed() {
                self.sync(first);
            }
            self.tail.ring(self.next);
            count(&self.stats.packets, sent as u64);
            count(&self.stats.bytes, bytes);
        }
        if sent == want { Ok(sent) } else { self.left_over(sent, error) }
    }

    /// Hands the payload on the descriptors from `first` to `next` to the device, on a platform that is not coherent.
    #[cold]
    #[inline(never)]
    fn sync(&self, first: u32) {
        let mut index = first;
        while index != self.next {
            let slot = self.shadow.get(index as usize).copied().unwrap_or(core::ptr::null_mut());
            if let Some(packet) = NonNull::new(slot.map_addr(|addr| addr & !SHARED)) {
                // SAFETY: the ring owns what is on these descriptors, or a count of it; it was put there in this burst.
                self.coherence.sent(unsafe { packet.as_ref() });
            }
            index = (index + 1) & self.ring.mask();
        }
    }

    /// Sends plain packets from the front of `burst` while there is room; returns their bytes.
    #[inline(always)]
    fn run(&mut self, burst: &mut Burst) -> u64 {
        let mut bytes = 0;
        loop {
            let first = self.next & self.ring.mask();
            let ahead = (self.ring.size() - first).min(self.until_report).min(self.free);
            let run = burst.len().min(ahead as usize);
            let descriptors = self.ring.from(first);
            // SAFETY: 1. `first` is masked, and the shadow has a place for every descriptor; 2. `run` descriptors follow
            // `first` before the ring's end, each with its place in the shadow; 3. the burst holds `run` packets; 4. the
            // ring owns the packets that were sent, and the burst lets go of them.
            let (sent, more) = unsafe {
                let shadow = self.shadow.as_mut_ptr().add(first as usize);
                let bufs = burst.as_slice().as_ptr();
                let done = write_plain::<F>(descriptors, shadow, bufs, run, self.pool.shared_ptr());
                burst.forget_front(done.0);
                done
            };
            bytes += more;
            let end = first + sent as u32;
            self.next = end & self.ring.mask();
            self.free -= sent as u32;
            self.until_report -= sent as u32;
            if self.until_report == 0 {
                // One was sent: `until_report` is never 0 before.
                self.report(end - 1);
            }
            if sent < run || burst.is_empty() || self.free == 0 {
                return bytes;
            }
        }
    }

    /// Asks for a report on descriptor `last`, which is the last one written, and starts a new batch.
    #[inline]
    fn report(&mut self, last: u32) {
        let word = &self.ring.at(last)[1];
        // The device has not been given the descriptor yet.
        word.store(word.load(Ordering::Relaxed) | F::REPORT.to_le(), Ordering::Relaxed);
        self.batches.push(Batch { last, plain: self.plain });
        self.until_report = REPORT_EVERY;
        self.plain = true;
    }

    #[cold]
    fn why_not(&self) -> TxError {
        if self.lost.is_lost() { TxError::Lost } else { TxError::Stopped }
    }

    /// Accounts for packets that stayed in the burst. An error is reported once its packet is at the front.
    #[cold]
    #[inline(never)]
    fn left_over(&mut self, sent: usize, error: Option<TxError>) -> Result<usize, TxError> {
        match error {
            Some(error) if sent == 0 => {
                count(&self.stats.refused, 1);
                Err(error)
            }
            Some(_) => Ok(sent),
            None => {
                count(&self.stats.full, 1);
                Ok(sent)
            }
        }
    }

    /// Sends the first packet of `burst` whatever it needs; `Ok(None)` if the ring is too full for it, else its bytes.
    #[cold]
    #[inline(never)]
    fn post_one(&mut self, cache: &mut Cache, burst: &mut Burst) -> Result<Option<u64>, TxError> {
        let Some(first) = burst.as_slice().first() else { return Ok(None) };
        let plan = self.check(first)?;
        let Some(context) = self.make_room(cache, first, &plan) else { return Ok(None) };
        let bytes = first.packet_len() as u64;
        let Some(buf) = burst.take() else { return Ok(None) };
        self.plain &= !context && buf.pool == self.pool.shared_ptr() && !buf.is_segmented();
        self.context_for(&plan);
        // Each segment gets its own place on the ring, and so is freed by itself, to its own pool.
        let mut rest = Some(buf);
        while let Some(mut buf) = rest.take() {
            rest = buf.unchain();
            self.put(&buf, &plan, rest.is_none());
            self.shadow_put(buf.into_raw().as_ptr());
        }
        self.finish();
        Ok(Some(bytes))
    }

    /// Sends read-only clones, as [`burst`](Self::burst) does with packets of one owner. The slow way.
    pub fn burst_shared(
        &mut self,
        cache: &mut Cache,
        burst: &mut Burst<SharedBuf>,
    ) -> Result<usize, TxError> {
        if self.lost.is_lost() || self.stopped {
            return Err(self.why_not());
        }
        let (want, first) = (burst.len(), self.next);
        self.reap_for(cache, (want as u32).saturating_add(REPORT_EVERY));
        let mut bytes = 0;
        let mut error = None;
        while let Some(packet) = burst.as_slice().first() {
            let plan = match self.check(packet) {
                Ok(plan) => plan,
                Err(why) => {
                    error = Some(why);
                    break;
                }
            };
            if self.make_room(cache, packet, &plan).is_none() {
                break;
            }
            let Some(shared) = burst.take() else { break };
            bytes += shared.packet_len() as u64;
            self.plain = false;
            self.context_for(&plan);
            for segment in shared.segments() {
                self.put(segment, &plan, !segment.is_segmented());
                self.shadow_put(core::ptr::null_mut());
            }
            // The clone is let go with the packet's last descriptor.
            let last = self.next.wrapping_sub(1) & self.ring.mask();
            if let Some(slot) = self.shadow.get_mut(last as usize) {
                *slot = shared.into_raw().as_ptr().map_addr(|addr| addr | SHARED);
            }
            self.finish();
        }
        let sent = want - burst.len();
        if sent != 0 {
            if self.coherence.is_needed() {
                self.sync(first);
            }
            self.tail.ring(self.next);
            count(&self.stats.packets, sent as u64);
            count(&self.stats.bytes, bytes);
        }
        if sent != want { self.left_over(sent, error) } else { Ok(sent) }
    }

    /// Returns what to write for a packet that can be sent on this ring.
    fn check(&self, packet: &Packet) -> Result<TxPlan, TxError> {
        for segment in packet.segments() {
            // SAFETY: a packet that is out of its pool keeps the pool alive.
            if unsafe { segment.pool.as_ref() }.space() != self.ring.space() {
                return Err(TxError::ForeignSpace);
            }
            if segment.len == 0 {
                return Err(TxError::Empty);
            }
            if segment.len > F::MAX_SEGMENT {
                return Err(TxError::TooLong { len: segment.len, max: F::MAX_SEGMENT });
            }
        }
        let plan = F::plan(packet)?;
        let need = packet.segment_count() as u32 + u32::from(plan.context.is_some());
        // Descriptors that wait for a report to be due, fewer than `REPORT_EVERY`, may never be reaped: a packet must
        // fit beside them, or it would wait for good.
        let max = F::MAX_DESCRIPTORS.min(self.size() - REPORT_EVERY);
        if need > max { Err(TxError::TooManySegments { need, max }) } else { Ok(plan) }
    }

    /// Returns whether a context has to be written for `plan`; `None` if the ring is too full for the packet.
    fn make_room(&mut self, cache: &mut Cache, packet: &Packet, plan: &TxPlan) -> Option<bool> {
        let context = plan.context.is_some() && plan.context != self.context;
        let need = packet.segment_count() as u32 + u32::from(context);
        // A burst made room for packets of one descriptor each: enough for those, it may never reap for this one.
        if need > self.free {
            self.reap_for(cache, need);
        }
        (need <= self.free).then_some(context)
    }

    /// Writes the context descriptor that `plan` needs, unless the device holds it already.
    fn context_for(&mut self, plan: &TxPlan) {
        let (mask, kind) = F::KIND;
        if let Some(words) = plan.context.filter(|_| plan.context != self.context) {
            let cell = self.ring.at(self.next);
            cell[0].store(words[0].to_le(), Ordering::Relaxed);
            cell[1].store(((words[1] & !mask) | kind).to_le(), Ordering::Relaxed);
            self.context = plan.context;
            self.shadow_put(core::ptr::null_mut());
        }
    }

    /// Writes one segment's descriptor.
    fn put(&self, segment: &Packet, plan: &TxPlan, last: bool) {
        let (mask, kind) = F::KIND;
        let mut word = F::segment(plan, segment.len);
        // A data descriptor must not pass for a context, whose words are not addresses of ours.
        debug_assert!(word & mask != kind);
        if last {
            word |= F::END;
        }
        let cell = self.ring.at(self.next);
        cell[0].store((segment.iova + u64::from(segment.head.off)).to_le(), Ordering::Relaxed);
        cell[1].store(word.to_le(), Ordering::Relaxed);
    }

    /// Remembers what is on the descriptor just written, and goes on to the next.
    fn shadow_put(&mut self, slot: Slot) {
        if let Some(place) = self.shadow.get_mut(self.next as usize) {
            *place = slot;
        }
        self.next = (self.next + 1) & self.ring.mask();
        self.free -= 1;
        self.until_report = self.until_report.saturating_sub(1);
    }

    /// Ends a packet: a report is asked for on the END descriptor at or after the threshold, never inside of a packet.
    fn finish(&mut self) {
        if self.until_report == 0 {
            self.report(self.next.wrapping_sub(1) & self.ring.mask());
        }
    }

    /// Frees what the device reported as sent into `cache`; returns how many descriptors (DPDK's
    /// `tx_done_cleanup`). [`burst`](Self::burst) does it by itself when the ring runs full.
    pub fn reap(&mut self, cache: &mut Cache) -> u32 {
        let before = self.free;
        self.reap_for(cache, self.ring.size());
        self.free - before
    }

    /// Does what [`reap_until`](Self::reap_until) does, for everybody but the plain burst.
    #[cold]
    #[inline(never)]
    fn reap_for(&mut self, cache: &mut Cache, enough: u32) {
        self.reap_until(cache, enough);
    }

    /// Frees batches that the device reported until `enough` descriptors are free: in steady state one per burst, so
    /// that buffers come back as fast as they go and the cache neither overflows nor runs dry.
    #[inline(always)]
    fn reap_until(&mut self, cache: &mut Cache, enough: u32) {
        while self.free < enough {
            let Some(batch) = self.batches.front() else { break };
            if self.ring.at(batch.last)[1].load(Ordering::Acquire) & F::DONE.to_le() == 0 {
                break;
            }
            self.batches.pop();
            let size = (batch.last.wrapping_sub(self.clean) & self.ring.mask()) + 1;
            let own = cache.shared_ptr() == self.pool.shared_ptr();
            let run = self.shadow.get(self.clean as usize..=batch.last as usize);
            match run {
                // SAFETY: a plain batch is `REPORT_EVERY` unchained packets of the cache's pool; they leave the ring here, for
                // `clean` moves past them, and the device is done with them.
                Some(run) if batch.plain && own && run.len() == MAGAZINE => unsafe {
                    cache.put(core::slice::from_raw_parts(run.as_ptr().cast::<NonNull<Packet>>(), MAGAZINE));
                },
                _ => self.free_range(cache, self.clean, size),
            }
            self.clean = (batch.last + 1) & self.ring.mask();
            self.free += size;
        }
    }

    /// Frees what is on `size` descriptors from `first` on, one by one.
    #[cold]
    #[inline(never)]
    fn free_range(&mut self, cache: &mut Cache, first: u32, size: u32) {
        for index in 0..size {
            let index = first.wrapping_add(index) & self.ring.mask();
            let Some(slot) = self.shadow.get_mut(index as usize) else { continue };
            let slot = core::mem::replace(slot, core::ptr::null_mut());
            if let Some(buf) = take_slot(slot) {
                cache.free(buf);
            }
        }
    }

    /// Gives everything on the ring, sent or not, back to its pools. The ring is as new: it sends nothing until the
    /// queue is enabled again and [`post_all`](Self::post_all) called.
    pub fn release(&mut self, _stopped: &Quiesced) {
        (self.stopped, self.exposed) = (true, false);
        self.empty();
        self.ring.clear();
        (self.next, self.clean, self.free) = (0, 0, self.ring.size() - 1);
        (self.until_report, self.plain, self.context) = (REPORT_EVERY, true, None);
        self.batches.clear();
    }

    fn empty(&mut self) {
        while self.clean != self.next {
            if let Some(slot) = self.shadow.get_mut(self.clean as usize) {
                drop(take_slot(core::mem::replace(slot, core::ptr::null_mut())));
            }
            self.clean = (self.clean + 1) & self.ring.mask();
        }
    }
}

/// Writes the descriptors of up to `run` plain packets of `pool` and remembers them; stops before the first that is
/// not plain. Returns the packets and their bytes. A function by itself, for its loop needs every register.
///
/// # Safety
/// For each of `run` packets there is a descriptor, a place in `shadow` and an initialised `buf`. The caller takes over
/// as many packets as are returned.
#[inline(never)]
unsafe fn write_plain<F: TxFormat>(
    descriptors: *const Descriptor,
    shadow: *mut Slot,
    bufs: *const Buf,
    run: usize,
    pool: NonNull<Shared>,
) -> (usize, u64) {
    let (mut at, mut bytes) = (0, 0);
    while at < run * PLACE {
        // SAFETY: `at` is below `run` places, for which the caller vouches.
        unsafe {
            let packet_ptr = (*bufs.byte_add(at)).raw();
            let packet = packet_ptr.as_ref();
            let len = packet.len;
            if packet.pool != pool || packet.head.tx_flags != TxFlags::NONE || len == 0 {
                break;
            }
            let cell = &*descriptors.byte_add(WIDER * at);
            cell[0].store((packet.iova + u64::from(packet.head.off)).to_le(), Ordering::Relaxed);
            cell[1].store(F::plain(len).to_le(), Ordering::Relaxed);
            shadow.byte_add(at).write(packet_ptr.as_ptr());
            bytes += u64::from(len);
        }
        at += PLACE;
    }
    (at / PLACE, bytes)
}

/// Takes what is on a descriptor off it: a packet with one owner, nothing, or a clone, which is let go here.
fn take_slot(slot: Slot) -> Option<Buf> {
    let shared = slot.addr() & SHARED != 0;
    let packet = NonNull::new(slot.map_addr(|addr| addr & !SHARED))?;
    if shared {
        // SAFETY: `burst_shared` put the clone's count here, and the slot is empty now.
        drop(unsafe { SharedBuf::from_raw(packet) });
        return None;
    }
    // SAFETY: the ring owned the packet, and the slot is empty now; the device is done with it, or stopped.
    Some(unsafe { Buf::from_raw(packet) })
}

/// Counts what is on a descriptor as left to a device that may still read it.
fn leak_slot(slot: Slot) {
    // SAFETY: the ring owns what is on a descriptor, or a count of it, and never gives it up.
    let packet = NonNull::new(slot.map_addr(|addr| addr & !SHARED)).map(|packet| unsafe { packet.as_ref() });
    for segment in packet.iter().flat_map(|packet| packet.segments()) {
        // SAFETY: a packet that is out of its pool keeps the pool alive.
        unsafe { segment.pool.as_ref() }.count_leaked(1);
    }
}

impl<F: TxFormat> Drop for TxRing<F> {
    fn drop(&mut self) {
        if !self.exposed {
            return self.empty();
        }
        while self.clean != self.next {
            if let Some(slot) = self.shadow.get(self.clean as usize) {
                leak_slot(*slot);
            }
            self.clean = (self.clean + 1) & self.ring.mask();
        }
    }
}
