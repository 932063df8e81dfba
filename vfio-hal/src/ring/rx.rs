//! The receive side of a descriptor ring.
//!
//! [`RxRing`] keeps one buffer on every descriptor. A packet is taken off only when its replacement is in hand;
//! otherwise it stays, and the hardware counts what it drops. [`RxFormat`] is how a driver describes its
//! descriptors. The driver's queue type owns a ring and hands it a [`Cache`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::coherence::Coherence;
use super::count;
use super::descriptors::{Descriptors, PLACE, RingError, WIDER};
use crate::addr::{BusAddr, Iova};
use crate::bar::Doorbell;
use crate::device::{DeviceError, Lost};
use crate::dma::pool::{Buf, Burst, Cache, HEADROOM, Head, MAGAZINE, Packet, Pool, TxFlags};
use crate::dma::{DmaError, Quiesced};

mod format;
mod odd;
mod partial;
mod stats;

pub use format::{RxError, RxFormat};
use partial::Partials;
pub use stats::RxStats;

/// A ring of buffers that the device fills. `F` is the descriptors' format.
///
/// Dropped while the device may still write (no [`Quiesced`] was shown), it leaks its buffers and the pool counts
/// them; [`release`](Self::release) gives them back.
pub struct RxRing<F: RxFormat> {
    ring: Descriptors,
    tail: Doorbell,
    lost: Lost,
    /// The packet of each descriptor: `size` of them, or none after `release`.
    shadow: Box<[NonNull<Packet>]>,
    next: u32,
    /// Descriptors renewed since the doorbell was rung.
    unposted: u32,
    post_at: u32,
    /// What the device was told to fill of a buffer, in bytes.
    room: u32,
    head: Head,
    partials: Partials,
    stats: Arc<RxStats>,
    pool: Pool,
    coherence: Coherence,
    /// The device was given the ring and has not been shown to have stopped. If so, `shadow` is full.
    exposed: bool,
    format: PhantomData<fn() -> F>,
}

// SAFETY: the packets in `shadow` are owned by the ring alone.
unsafe impl<F: RxFormat> Send for RxRing<F> {}

/// Packets on their way from the ring to a burst, and from a cache to the ring. All three are told when it ends, also
/// if it ends by a panic in a driver's format.
struct Run<'a> {
    next: &'a mut u32,
    first: u32,
    mask: u32,
    cache: &'a mut Cache,
    out: &'a mut Burst,
    /// How many, times [`PLACE`].
    taken: usize,
}

impl Drop for Run<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let taken = self.taken / PLACE;
        *self.next = (self.first + taken as u32) & self.mask;
        // SAFETY: as many were read out of the cache and written to the burst.
        unsafe {
            self.cache.drop_top(taken);
            self.out.grow(taken);
        }
    }
}

impl<F: RxFormat> RxRing<F> {
    /// Puts a buffer on every descriptor. `room` is how much of a buffer the device is told to fill, in bytes;
    /// `port` is stored into every packet. The device does not have the ring yet: write base and length, enable the
    /// queue, then call [`post_all`](Self::post_all).
    pub fn new(
        ring: Descriptors,
        tail: Doorbell,
        lost: Lost,
        pool: &Pool,
        room: u32,
        port: u16,
    ) -> Result<RxRing<F>, RingError> {
        if pool.space() != ring.space() {
            return Err(RingError::ForeignSpace);
        }
        let mut ring = RxRing {
            room: room.min(pool.data_room()),
            post_at: if ring.size() >= 256 { 64 } else { 32 },
            ring,
            tail,
            lost,
            shadow: Box::new([]),
            next: 0,
            unposted: 0,
            head: Head { off: HEADROOM, port, tx_flags: TxFlags::NONE },
            partials: Partials::new(),
            stats: Arc::default(),
            pool: pool.clone(),
            coherence: Coherence::of(pool.iova_space()),
            exposed: false,
            format: PhantomData,
        };
        ring.fill()?;
        Ok(ring)
    }

    /// Returns the address and length in bytes for the ring's registers.
    pub fn bus(&self) -> (BusAddr, u32) {
        (self.ring.bus(), self.ring.bytes())
    }

    /// Returns the number of descriptors.
    pub fn size(&self) -> u32 {
        self.ring.size()
    }

    /// Returns the counters, to be read by anyone.
    pub fn stats(&self) -> Arc<RxStats> {
        self.stats.clone()
    }

    /// Says that the device may use the ring from now on, whatever it answers when the queue is enabled: buffers return
    /// only against a [`Quiesced`]. Nothing on a ring that was [released](Self::release) and not refilled.
    pub fn expose(&mut self) {
        self.exposed = !self.shadow.is_empty();
    }

    /// Gives the whole ring to the device, which has enabled the queue. One descriptor stays back, so that a full
    /// ring differs from an empty one. Nothing on a ring that was [released](Self::release) and not refilled: it has
    /// no buffers to give.
    pub fn post_all(&mut self) {
        self.expose();
        if self.exposed {
            self.post();
        }
    }

    /// Returns how many received descriptors wait, looking at most `limit` ahead (DPDK's `rx_queue_count`).
    pub fn pending(&self, limit: u32) -> u32 {
        let done = |ahead: &u32| self.ring.read(self.next.wrapping_add(*ahead))[1] & F::DONE != 0;
        (0..limit.min(self.size())).take_while(done).count() as u32
    }

    /// Takes received packets off the ring into `out`, at most as many as fit and one [`MAGAZINE`] of descriptors;
    /// returns how many were added. Replacements come from `cache`; without them, packets stay on the ring.
    ///
    /// # Errors
    /// When there can be none: the device is gone, the queue is stopped, or `cache` is of another pool.
    #[inline]
    pub fn burst(&mut self, cache: &mut Cache, out: &mut Burst) -> Result<usize, RxError> {
        if self.lost.is_lost() || !self.exposed || cache.shared_ptr() != self.pool.shared_ptr() {
            return Err(self.why_not());
        }
        let limit = out.room().min(MAGAZINE);
        if limit == 0 || !self.is_done(self.next) {
            return Ok(0);
        }
        let fresh = cache.reserve(limit);
        if fresh == 0 {
            count(&self.stats.no_buffer, 1);
            return Ok(0);
        }
        let before = out.len();
        let mut bytes = 0u64;
        let mut left = fresh;
        loop {
            // While a packet is being put together, all take the slow way.
            let run = if self.partials.is_empty() { left } else { 0 };
            let taken = self.run(cache, out, run, &mut bytes);
            left -= taken;
            if left == 0 || !self.is_done(self.next) {
                break;
            }
            if taken < run || run == 0 {
                left -= 1;
                if let Some(buf) = self.take_odd(cache) {
                    bytes += buf.packet_len() as u64;
                    // SAFETY: `limit` was what `out` had room for, and at most one packet is added per descriptor.
                    unsafe { out.push_unchecked(buf) };
                }
            }
        }
        if self.coherence.is_needed() {
            self.sync(out, before, (fresh - left) as u32);
        }
        self.unposted += (fresh - left) as u32;
        if self.unposted >= self.post_at {
            self.post();
        }
        let added = out.len() - before;
        count(&self.stats.packets, added as u64);
        count(&self.stats.bytes, bytes);
        Ok(added)
    }

    /// Hands payload over on a platform that is not coherent: the packets of `out` from `before` on to the processor, the
    /// buffers on the last `renewed` descriptors to the device.
    #[cold]
    #[inline(never)]
    fn sync(&self, out: &Burst, before: usize, renewed: u32) {
        for buf in out.iter().skip(before) {
            self.coherence.received(buf);
        }
        for back in 1..=renewed {
            let index = self.next.wrapping_sub(back) & self.ring.mask();
            if let Some(packet) = self.shadow.get(index as usize) {
                self.sync_fresh(*packet);
            }
        }
    }

    /// Hands a buffer to the device that is to be written to.
    fn sync_fresh(&self, packet: NonNull<Packet>) {
        // SAFETY: the ring owns the packet.
        let fill = unsafe { packet.as_ref() }.fill;
        self.coherence.for_device(Iova(fill), self.room.into());
    }

    /// Returns whether the device is done with descriptor `index`.
    #[inline(always)]
    fn is_done(&self, index: u32) -> bool {
        self.ring.at(index)[1].load(Ordering::Acquire) & F::DONE.to_le() != 0
    }

    /// Takes up to `limit` whole plain packets; stops at the first descriptor that is not done or not plain, and at
    /// the ring's end. The caller has reserved as many packets in `cache`, and `out` has as much room.
    #[inline(always)]
    fn run(&mut self, cache: &mut Cache, out: &mut Burst, limit: usize, bytes: &mut u64) -> usize {
        // Everything that the loop needs is in locals: a store to a packet could change a field, for all the compiler
        // knows, and it would load each of them again for every packet.
        let mask = self.ring.mask();
        let first = self.next & mask;
        let limit = limit.min((self.ring.size() - first) as usize);
        let (head, room) = (self.head, self.room);
        let descriptors = self.ring.from(first);
        // SAFETY: `first` is masked, and a ring that is exposed has a packet for every descriptor.
        let shadow = unsafe { self.shadow.as_mut_ptr().add(first as usize) };
        let (fresh, place) = (cache.top(), out.end());
        // At most a magazine of buffers shorter than 2^16: 32 bits are enough, and cost less.
        let mut sum = 0u32;
        let mut run = Run { next: &mut self.next, first, mask, cache, out, taken: 0 };
        while run.taken < limit * PLACE {
            // SAFETY: `limit` descriptors follow `first` before the ring's end.
            let cell = unsafe { &*descriptors.byte_add(WIDER * run.taken) };
            let second = u64::from_le(cell[1].load(Ordering::Acquire));
            let words = [u64::from_le(cell[0].load(Ordering::Relaxed)), second];
            let len = F::len(words);
            if second & (F::DONE | F::END | F::RARE) != F::DONE | F::END || len > room {
                break;
            }
            // The last call of the driver for this packet: from here on nothing can panic until it is taken.
            let info = F::info(words);
            // SAFETY: 1. the caller reserved `limit` packets in the cache, and `fresh` is the first; 2. the shadow has a
            // packet for each of these descriptors; 3. `place` has room for `limit`. The packets are distinct, each has
            // one owner before and after: what the cache gives, the ring takes, and what the ring gives (the device says
            // that it is done with it) the burst takes. `run` tells both.
            unsafe {
                let new = *fresh.byte_add(run.taken);
                let mut old = core::mem::replace(&mut *shadow.byte_add(run.taken), new);
                cell[0].store(new.as_ref().fill.to_le(), Ordering::Relaxed);
                cell[1].store(0, Ordering::Release);
                let packet = old.as_mut();
                packet.head = head;
                packet.rx = info;
                packet.len = len;
                place.byte_add(run.taken).write(Buf::from_raw(old));
            }
            sum = sum.wrapping_add(len);
            run.taken += PLACE;
        }
        *bytes += u64::from(sum);
        run.taken / PLACE
    }

    /// Writes descriptor `index` for the device to fill `packet`'s buffer.
    fn renew(&self, index: u32, packet: NonNull<Packet>) {
        let cell = self.ring.at(index);
        // SAFETY: the ring owns the packet.
        let fill = unsafe { packet.as_ref() }.fill;
        cell[0].store(fill.to_le(), Ordering::Relaxed);
        cell[1].store(0, Ordering::Release);
    }

    #[cold]
    fn why_not(&self) -> RxError {
        match (self.lost.is_lost(), self.exposed) {
            (true, _) => RxError::Lost,
            (false, false) => RxError::Stopped,
            (false, true) => RxError::ForeignCache,
        }
    }

    /// Gives renewed descriptors to the device: all but the one before `next`.
    #[inline]
    fn post(&mut self) {
        self.unposted = 0;
        self.tail.ring(self.next.wrapping_sub(1) & self.ring.mask());
    }

    /// Fills a ring again that was [released](Self::release), before its queue is enabled.
    pub fn refill(&mut self) -> Result<(), RingError> {
        if self.shadow.is_empty() { self.fill() } else { Ok(()) }
    }

    /// Gives all buffers back to the pool. The ring receives nothing until [`refill`](Self::refill) and the
    /// queue's next start. [`DeviceError::ForeignProof`] if another device is what stopped: nothing happens then.
    pub fn release(&mut self, stopped: &Quiesced) -> Result<(), DeviceError> {
        stopped.check(&self.lost)?;
        self.exposed = false;
        self.empty();
        // No address of what is somebody else's now, and no news of the past.
        self.ring.clear();
        Ok(())
    }

    fn fill(&mut self) -> Result<(), RingError> {
        self.partials = Partials::new();
        if self.shadow.is_empty() {
            let need = self.ring.size();
            let bufs: Vec<Buf> = core::iter::from_fn(|| self.pool.alloc()).take(need as usize).collect();
            let have = bufs.len() as u32;
            if have < need {
                return Err(DmaError::PoolTooSmall { have, need }.into());
            }
            self.shadow = bufs.into_iter().map(Buf::into_raw).collect();
        }
        for (index, packet) in self.shadow.iter().enumerate() {
            self.sync_fresh(*packet);
            self.renew(index as u32, *packet);
        }
        (self.next, self.unposted) = (0, 0);
        Ok(())
    }

    fn empty(&mut self) {
        self.partials = Partials::new();
        for packet in core::mem::take(&mut self.shadow) {
            // SAFETY: the ring owned the packet, and the device has stopped or never had it.
            drop(unsafe { Buf::from_raw(packet) });
        }
    }
}

impl<F: RxFormat> Drop for RxRing<F> {
    fn drop(&mut self) {
        if self.exposed {
            self.pool.count_leaked(self.shadow.len() as u32);
        } else {
            self.empty();
        }
    }
}
