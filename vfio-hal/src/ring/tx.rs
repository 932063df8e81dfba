//! The transmit side of a descriptor ring.
//!
//! [`TxRing`] takes packets from a [`Burst`], asks the device to report every 32 descriptors, and gives what was
//! sent back to a [`Cache`]. A plain packet (one segment, no offloads, of the cache's own pool) is two stores;
//! anything else takes the slow way, which asks the driver's [`TxFormat`] for a [`TxPlan`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::coherence::Coherence;
use super::count;
use super::descriptors::{Descriptor, Descriptors, PLACE, RingError, WIDER};
use crate::addr::BusAddr;
use crate::bar::Doorbell;
use crate::device::{DeviceError, Lost};
use crate::dma::Quiesced;
use crate::dma::pool::{Buf, Burst, Cache, HEADROOM, MAGAZINE, Packet, Pool, Shared, TxFlags};

mod batches;
mod format;
mod odd;
mod slot;
mod stats;

use batches::{Batch, Batches};
pub use format::{TxError, TxFormat, TxPlan};
use slot::{SHARED, Slot, leak_slot, take_slot};
pub use stats::TxStats;

/// How many descriptors go by between two reports (DPDK's `tx_rs_thresh`): one magazine.
const REPORT_EVERY: u32 = MAGAZINE as u32;

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
        self.close(want, want - burst.len(), first, bytes, error)
    }

    /// Rings the doorbell for the `sent` of `want` packets that lie on the ring from `first` on, and counts them.
    #[inline(always)]
    fn close(
        &mut self,
        want: usize,
        sent: usize,
        first: u32,
        bytes: u64,
        error: Option<TxError>,
    ) -> Result<usize, TxError> {
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
    /// queue is enabled again and [`post_all`](Self::post_all) called. [`DeviceError::ForeignProof`] if another device
    /// is what stopped: nothing happens then.
    pub fn release(&mut self, stopped: &Quiesced) -> Result<(), DeviceError> {
        stopped.check(&self.lost)?;
        (self.stopped, self.exposed) = (true, false);
        self.empty();
        self.ring.clear();
        (self.next, self.clean, self.free) = (0, 0, self.ring.size() - 1);
        (self.until_report, self.plain, self.context) = (REPORT_EVERY, true, None);
        self.batches.clear();
        Ok(())
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
