//! The in-place forwarder: run to completion, nothing allocated.
//!
//! One receive ring and one or more transmit rings share buffers, and descriptor `i` of each ring always has
//! buffer `i`. A received packet is looked at where it lies; what a closure answers is written over
//! its descriptor, and the transmit ring takes it from there. When every transmit ring is past a descriptor, the
//! receive ring gets it back. The first transmit ring even shares its descriptors with the receive ring, so
//! forwarding a packet is one load and one store. (The idea is TinyNF's, OSDI 2020.)
//!
//! [`InPlace`] is the engine, [`InPlaceFormat`] the descriptors: a format in which the device leaves the address word
//! alone. [`RxRing`](super::RxRing) and [`TxRing`](super::TxRing) are the general way, with buffers that leave the ring.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::coherence::Coherence;
use super::count;
use super::descriptors::{Descriptors, RingError};
use crate::addr::{BusAddr, Iova};
use crate::bar::Doorbell;
use crate::device::{DeviceError, Lost};
use crate::dma::{Quiesced, Region};

mod output;
mod stats;

pub use output::{InPlaceFormat, Output, Outputs};
pub use stats::InPlaceStats;

/// How many packets one [`InPlace::forward`] takes at most, and how often the device writes its head back.
const BATCH: u32 = 32;

/// The receive ring gets descriptors back in steps of this many.
const RECYCLE: u32 = 64;

/// Forwards packets from one receive ring to transmit rings, in place.
///
/// Dropped while the device may still use it (no [`Quiesced`] was shown), it leaks its buffers, and the space counts
/// them.
pub struct InPlace<F: InPlaceFormat> {
    ring: Descriptors,
    tail: Doorbell,
    outputs: Box<[Output]>,
    buffers: Arc<Region>,
    start: NonNull<u8>,
    coherence: Coherence,
    stride: u32,
    /// What the device was told to fill of a buffer, in bytes.
    room: u32,
    /// The longest packet that is shown: `room`, or -1 while the end of a packet that began in another buffer is
    /// still to come.
    longest: i64,
    lost: Lost,
    /// The next descriptor to be received.
    next: u32,
    /// The oldest descriptor that is with the transmit rings.
    clean: u32,
    /// Malformed descriptors of the batch that is being taken.
    bad: u32,
    stats: Arc<InPlaceStats>,
    running: bool,
    format: PhantomData<fn() -> F>,
}

// SAFETY: the buffers are reached through this value alone, and by the device.
unsafe impl<F: InPlaceFormat> Send for InPlace<F> {}

/// Packets that were shown and are not posted yet.
struct Batch<'a, F: InPlaceFormat> {
    forwarder: &'a mut InPlace<F>,
    first: u32,
    taken: u32,
    bytes: u64,
    dropped: u64,
}

impl<F: InPlaceFormat> Drop for Batch<'_, F> {
    /// The closure panicked: its packet is dropped. If those before it were not posted, no descriptor behind them
    /// would ever be looked at again.
    #[cold]
    fn drop(&mut self) {
        self.forwarder.skip(self.first + self.taken);
        self.forwarder.post(self.taken + 1, self.bytes, self.dropped + 1);
    }
}

impl<F: InPlaceFormat> InPlace<F> {
    /// Puts `buffers` (as many as there are descriptors, `stride` bytes apart, of which the device may fill `room`) on the
    /// rings. The device does not have them yet: write bases, lengths and write-back addresses, enable the queues, then
    /// call [`start`](Self::start).
    pub fn new(
        ring: Descriptors,
        tail: Doorbell,
        outputs: Vec<Output>,
        buffers: Region,
        stride: u32,
        room: u32,
        lost: Lost,
    ) -> Result<InPlace<F>, RingError> {
        let need = u64::from(stride) * u64::from(ring.size());
        let left = buffers.len();
        if room > stride || need > left as u64 || room == 0 {
            let need = usize::try_from(need.max(room.into())).unwrap_or(usize::MAX);
            return Err(RingError::NoRoom { need, left });
        }
        let foreign = |output: &Output| output.ring.as_ref().is_some_and(|own| own.space() != ring.space());
        if buffers.space_id() != ring.space() || outputs.iter().any(foreign) {
            return Err(RingError::ForeignSpace);
        }
        let size = |output: &Output| output.ring.as_ref().is_none_or(|own| own.size() == ring.size());
        let first_shares = outputs.first().is_some_and(|first| first.ring.is_none());
        let others_own = outputs.iter().skip(1).all(|output| output.ring.is_some());
        if !first_shares || !others_own || !outputs.iter().all(size) || outputs.len() > 32 {
            return Err(RingError::Outputs);
        }
        let start = buffers.ptr();
        let forwarder = InPlace {
            ring,
            tail,
            outputs: outputs.into_boxed_slice(),
            start,
            coherence: Coherence::of(buffers.space()),
            buffers: Arc::new(buffers),
            stride,
            room,
            longest: room.into(),
            lost,
            next: 0,
            clean: 0,
            bad: 0,
            stats: Arc::default(),
            running: false,
            format: PhantomData,
        };
        forwarder.write_all()?;
        Ok(forwarder)
    }

    /// Returns the address and length in bytes of the receive ring and the first output.
    pub fn bus(&self) -> (BusAddr, u32) {
        (self.ring.bus(), self.ring.bytes())
    }

    /// Returns the address and length in bytes of output `index`.
    pub fn output_bus(&self, index: usize) -> Option<(BusAddr, u32)> {
        let output = self.outputs.get(index)?;
        let ring = output.ring.as_ref().unwrap_or(&self.ring);
        Some((ring.bus(), ring.bytes()))
    }

    /// Returns the number of descriptors.
    pub fn size(&self) -> u32 {
        self.ring.size()
    }

    /// Returns the counters, to be read by anyone.
    pub fn stats(&self) -> Arc<InPlaceStats> {
        self.stats.clone()
    }

    /// Gives the receive ring to the device, which has enabled all queues.
    pub fn start(&mut self) {
        self.running = true;
        self.tail.ring(self.clean.wrapping_sub(1) & self.ring.mask());
    }

    /// Shows received packets to `decide`, at most 32, and sends each where it says. Returns how many were received,
    /// malformed ones included. A packet over which `decide` panics is dropped, and those before it are sent.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the input's device is gone, or an output's and nothing was received in the last call.
    #[inline(always)]
    pub fn forward(&mut self, mut decide: impl FnMut(&mut [u8]) -> Outputs) -> Result<usize, DeviceError> {
        if self.lost.is_lost() || !self.running {
            return self.nothing();
        }
        const { assert!(F::LENGTH >> 32 == 0, "a length is at most 32 bits") };
        let one = self.outputs.len() == 1;
        // There always is a first, which spares closures that only know that one a look at what others there are.
        let there = Outputs::all(self.outputs.len() as u32).0 | Outputs::FIRST.0;
        let first = self.next;
        // Up to the ring's end; a batch that would wrap is taken in two calls.
        let mut limit = BATCH.min(self.ring.size() - first);
        if self.coherence.is_needed() {
            // Only what was handed over is looked at: more may arrive meanwhile.
            limit = self.sync_received(limit);
        }
        let (mut longest, stride) = (self.longest, self.stride as usize);
        let descriptors = self.ring.from(first);
        // SAFETY: `first` is below the size, and there is a buffer for every descriptor.
        let mut data = unsafe { self.start.as_ptr().add(first as usize * stride) };
        let mut batch = Batch { forwarder: self, first, taken: 0, bytes: 0, dropped: 0 };
        while batch.taken < limit {
            // SAFETY: `limit` descriptors follow `first` before the ring's end.
            let cell = unsafe { &*descriptors.add(batch.taken as usize) };
            let word = u64::from_le(cell[1].load(Ordering::Acquire));
            let len = word & F::LENGTH;
            // The usual packet passes two tests; what is rare is told apart out of line.
            if word & F::RECEIVED != F::RECEIVED {
                if word & F::DONE == 0 {
                    break;
                }
                longest = batch.forwarder.malformed(first + batch.taken, word);
            } else if len as i64 > longest {
                longest = batch.forwarder.malformed(first + batch.taken, word);
            } else {
                // SAFETY: 1. buffer `first + taken` starts here and has `stride >= room >= len` bytes in the region that this
                // value owns; 2. the device says that it is done with it, and gets it back only behind this borrow.
                let outputs = decide(unsafe { core::slice::from_raw_parts_mut(data, len as usize) });
                batch.bytes += len;
                batch.dropped += u64::from(outputs.0 & there == 0);
                let shown = if outputs.0 & 1 == 0 { 0 } else { len };
                cell[1].store((shown | F::SEND).to_le(), Ordering::Relaxed);
                if !one {
                    batch.forwarder.send_others(first + batch.taken, len, outputs);
                }
            }
            // SAFETY: at most one past the last buffer, which ends inside of the region or at its end.
            data = unsafe { data.add(stride) };
            batch.taken += 1;
        }
        let (taken, bytes, dropped) = (batch.taken, batch.bytes, batch.dropped);
        core::mem::forget(batch);
        if taken != 0 {
            self.post(taken, bytes, dropped);
        } else {
            self.look();
        }
        if taken < limit || (self.next & (RECYCLE - 1)) < BATCH {
            self.recycle();
        }
        Ok(taken as usize)
    }

    /// Hands up to `limit` received buffers to the processor, on a platform that is not coherent; returns how many.
    #[cold]
    #[inline(never)]
    fn sync_received(&self, limit: u32) -> u32 {
        let done = |index: &u32| self.ring.at(*index)[1].load(Ordering::Acquire) & F::DONE.to_le() != 0;
        let received = (self.next..self.next + limit).take_while(done);
        received.inspect(|&index| self.coherence.for_cpu(self.buffer(index), self.room.into())).count() as u32
    }

    /// Hands the next `taken` buffers to the device, whether they are sent or received into again.
    #[cold]
    #[inline(never)]
    fn sync_sent(&self, taken: u32) {
        for index in self.next..self.next + taken {
            self.coherence.for_device(self.buffer(index), self.room.into());
        }
    }

    fn buffer(&self, index: u32) -> Iova {
        Iova(self.buffers.iova().0 + u64::from(index) * u64::from(self.stride))
    }

    /// Returns the latch of every device, the input's first; a device may be there more than once.
    fn devices(&self) -> impl Iterator<Item = &Lost> {
        core::iter::once(&self.lost).chain(self.outputs.iter().map(Output::lost))
    }

    /// Nothing was received. An output that is no more lets the ring run dry: the next call says so.
    #[cold]
    #[inline(never)]
    fn look(&mut self) {
        let gone = self.devices().any(Lost::is_lost);
        self.running &= !gone;
    }

    #[cold]
    fn nothing(&self) -> Result<usize, DeviceError> {
        self.devices().try_for_each(Lost::check).map(|()| 0)
    }

    /// Counts a descriptor that is not a whole packet in one buffer, and makes the outputs skip it. Returns the longest
    /// packet that may follow.
    #[cold]
    #[inline(never)]
    fn malformed(&mut self, index: u32, word: u64) -> i64 {
        // What comes up to the end of a packet that is longer than a buffer is no packet by itself.
        let ends = word & F::RECEIVED == F::RECEIVED;
        self.longest = if ends { self.room.into() } else { -1 };
        self.bad += 1;
        count(&self.stats.malformed, 1);
        self.skip(index);
        self.longest
    }

    /// Makes every output skip a descriptor.
    fn skip(&self, index: u32) {
        self.ring.at(index)[1].store(F::SEND.to_le(), Ordering::Relaxed);
        self.send_others(index, 0, Outputs::DROP);
    }

    /// Writes the descriptor of every output but the first.
    #[inline(never)]
    fn send_others(&self, index: u32, len: u64, outputs: Outputs) {
        for (number, output) in self.outputs.iter().enumerate().skip(1) {
            let send = outputs.0 >> number & 1 != 0;
            let word = if send { len | F::SEND } else { F::SEND };
            let report = if index & (BATCH - 1) == BATCH - 1 { F::REPORT } else { 0 };
            if let Some(ring) = &output.ring {
                ring.at(index)[1].store((word | report).to_le(), Ordering::Relaxed);
            }
        }
    }

    /// Gives `taken` descriptors to the outputs.
    #[inline]
    fn post(&mut self, taken: u32, bytes: u64, dropped: u64) {
        if self.coherence.is_needed() {
            self.sync_sent(taken);
        }
        let before = self.next;
        self.next = (before + taken) & self.ring.mask();
        // A report is due on each last descriptor of 32. At most one of them lies in this batch.
        let report = before | (BATCH - 1);
        if report < before + taken {
            let cell = &self.ring.at(report)[1];
            cell.store(cell.load(Ordering::Relaxed) | F::REPORT.to_le(), Ordering::Relaxed);
        }
        for output in &self.outputs {
            output.tail.ring(self.next);
        }
        count(&self.stats.received, u64::from(taken - core::mem::take(&mut self.bad)));
        count(&self.stats.bytes, bytes);
        count(&self.stats.dropped, dropped);
    }

    /// Gives descriptors that every output is past back to the receive ring, in steps. Called also when nothing was
    /// received: after a pause all descriptors are with the outputs, and only this brings the first one back.
    #[inline]
    fn recycle(&mut self) {
        let mask = self.ring.mask();
        let out = self.next.wrapping_sub(self.clean) & mask;
        let mut past = out;
        for output in &self.outputs {
            // What the device wrote is cut to the ring, and counts only as far as descriptors are out.
            let done = output.head.load().wrapping_sub(self.clean) & mask;
            past = past.min(done);
        }
        // Near the end of what is out, a smaller step than usual must do, or the ring could run dry for good.
        if past >= RECYCLE || (past != 0 && out >= self.ring.size() - RECYCLE) {
            self.clean = (self.clean + past) & mask;
            self.tail.ring(self.clean.wrapping_sub(1) & mask);
        }
    }

    fn write_all(&self) -> Result<(), RingError> {
        for output in &self.outputs {
            output.head.clear();
        }
        for index in 0..self.ring.size() {
            let bus = self.buffers.bus(u64::from(index) * u64::from(self.stride))?;
            let rings = core::iter::once(&self.ring)
                .chain(self.outputs.iter().filter_map(|output| output.ring.as_ref()));
            self.coherence.for_device(bus.iova(), self.room.into());
            for ring in rings {
                let cell = ring.at(index);
                cell[0].store(bus.iova().0.to_le(), Ordering::Relaxed);
                cell[1].store(0, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Starts over at the first descriptor, for queues that are to be enabled again. What was not sent is lost.
    /// [`DeviceError::ForeignProof`] if a device of the forwarder is not among those that stopped.
    pub fn restart(&mut self, stopped: &[Quiesced]) -> Result<(), RingError> {
        if !self.devices().all(|lost| stopped.iter().any(|proof| proof.is_of(lost))) {
            return Err(DeviceError::ForeignProof.into());
        }
        self.running = false;
        (self.next, self.clean, self.longest) = (0, 0, self.room.into());
        self.write_all()
    }

    /// Ends the forwarder and frees its buffers, under the proofs that its devices have stopped.
    pub fn release(mut self, stopped: &[Quiesced]) -> Result<(), RingError> {
        self.running = false;
        let buffers = self.buffers.clone();
        drop(self);
        Region::release_shared(buffers, stopped)?;
        Ok(())
    }
}
