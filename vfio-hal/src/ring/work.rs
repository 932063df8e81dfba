//! A ring of work: what an accelerator is given, and what it answers.
//!
//! [`WorkRing`] moves owned buffers to a device and back, as the packet rings do, for devices that are no NICs. A piece of
//! [`Work`] is a source, a destination where the command has one, and the command; [`Completed`] is the same with the
//! device's answer. A driver says with a [`WorkFormat`] how its commands look.
//!
//! A work descriptor is two neighbouring [`Descriptors`], four words: source address, command, destination address, and
//! the completion, which the host clears and the device writes last. The ordering is that of the packet rings: words are
//! stored before the doorbell, one doorbell a burst, and an Acquire load of the completion comes before anything the device
//! wrote. Work completes in order. What is on the ring is remembered in a shadow array, and nothing the device wrote is
//! used as an index.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};

use super::coherence::Coherence;
use super::count;
use super::descriptors::{Descriptors, RingError};
use crate::addr::BusAddr;
use crate::bar::Doorbell;
use crate::device::{DeviceError, Lost};
use crate::dma::Quiesced;
use crate::dma::pool::{Buf, Burst, Pool};

/// How a device is given work. The kit writes addresses, so a driver cannot aim the device elsewhere.
pub trait WorkFormat {
    /// What is done with a piece of work.
    type Command: Copy + fmt::Debug + Send;
    /// The bit of word 3 that says that the work is done.
    const DONE: u64;
    /// The longest source, in bytes.
    const MAX_LENGTH: u32;

    /// Returns word 1: command and length of the source.
    fn command(command: Self::Command, length: u32) -> u64;

    /// Returns how many bytes the device writes to the destination; 0 for a command that has none.
    fn writes(command: Self::Command, length: u32) -> u32;
}

/// A piece of work.
#[derive(Debug)]
pub struct Work<C> {
    /// What is done.
    pub command: C,
    /// What is read: the data of one segment.
    pub source: Buf,
    /// What is written: the data of one segment, as long as the device writes.
    pub destination: Option<Buf>,
}

/// A piece of work that the device has done with.
#[derive(Debug)]
pub struct Completed<C> {
    /// The work.
    pub work: Work<C>,
    /// The completion as the device wrote it; the driver knows what it means.
    pub word: u64,
}

/// Why work was refused. It stays at the front of the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// The device is gone.
    #[error("the device is gone: it was removed, or the process that served it ended")]
    Lost,
    /// The queue is stopped.
    #[error("the queue is stopped: start it first")]
    Stopped,
    /// A buffer is mapped in another address space than the ring.
    #[error(
        "a buffer of the work belongs to another IOVA space than the queue: take it from the device's space"
    )]
    ForeignSpace,
    /// A source that is empty, too long or in several segments.
    #[error("the source has {len} bytes in one segment or more: it must be one segment of 1 to {max}")]
    Source {
        /// Its length in bytes.
        len: u64,
        /// The most the device takes.
        max: u32,
    },
    /// A destination that is not there, or not what the device writes.
    #[error("the destination has {len} bytes, the device writes {need}: give one segment of that length")]
    Destination {
        /// Its length in bytes; 0 where there is none.
        len: u64,
        /// What the device writes.
        need: u32,
    },
}

/// What a ring of work counts. Written by its owner once per burst, readable by anyone.
#[derive(Debug, Default)]
pub struct WorkStats {
    submitted: AtomicU64,
    completed: AtomicU64,
    full: AtomicU64,
    refused: AtomicU64,
}

impl WorkStats {
    /// Returns the work given to the device.
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// Returns the work that came back.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Returns how many bursts left work because the ring was full.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Returns how much work was refused with a [`WorkError`].
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A ring of work that a device does. `F` is the descriptors' format.
///
/// Dropped while the device may still use what is on it (no [`Quiesced`] was shown), it leaks that and the pools count it;
/// [`release`](Self::release) gives it back.
pub struct WorkRing<F: WorkFormat> {
    ring: Descriptors,
    tail: Doorbell,
    lost: Lost,
    shadow: Box<[Option<Work<F::Command>>]>,
    /// Where the next work goes, in work descriptors.
    next: u32,
    /// The oldest work that did not come back.
    clean: u32,
    coherence: Coherence,
    stats: Arc<WorkStats>,
    stopped: bool,
    exposed: bool,
    format: PhantomData<fn() -> F>,
}

impl<F: WorkFormat> WorkRing<F> {
    /// Makes an empty ring over `ring`, half as many pieces of work as it has descriptors. The device does not have it yet:
    /// write base and size, enable the queue, then call [`start`](Self::start). `pool` is of the ring's space.
    pub fn new(ring: Descriptors, tail: Doorbell, lost: Lost, pool: &Pool) -> Result<WorkRing<F>, RingError> {
        if pool.space() != ring.space() {
            return Err(RingError::ForeignSpace);
        }
        Ok(WorkRing {
            shadow: (0..ring.size() / 2).map(|_| None).collect(),
            coherence: Coherence::of(pool.iova_space()),
            ring,
            tail,
            lost,
            next: 0,
            clean: 0,
            stats: Arc::default(),
            stopped: true,
            exposed: false,
            format: PhantomData,
        })
    }

    /// Returns the address for the ring's base register, and the number of work descriptors.
    pub fn bus(&self) -> (BusAddr, u32) {
        (self.ring.bus(), self.size())
    }

    /// Returns the number of work descriptors, a power of two. One always stays free.
    pub fn size(&self) -> u32 {
        self.ring.size() / 2
    }

    /// Returns how much work may be given now.
    pub fn free(&self) -> u32 {
        self.size() - 1 - self.in_flight()
    }

    /// Returns how much work the device has.
    pub fn in_flight(&self) -> u32 {
        self.next.wrapping_sub(self.clean) & (self.size() - 1)
    }

    /// Returns the counters, to be read by anyone.
    pub fn stats(&self) -> Arc<WorkStats> {
        self.stats.clone()
    }

    /// Starts taking work: the device has enabled the queue.
    pub fn start(&mut self) {
        self.stopped = false;
        self.exposed = true;
    }

    /// Gives work from the front of `burst` to the device, with one doorbell; returns how much. What did not fit stays in
    /// the burst.
    ///
    /// # Errors
    /// When the first piece cannot be given at all: it stays at the front, and [`WorkError`] says why.
    pub fn submit(&mut self, burst: &mut Burst<Work<F::Command>>) -> Result<usize, WorkError> {
        self.check()?;
        let (want, free) = (burst.len(), self.free() as usize);
        let (mut given, mut error) = (0, None);
        while given < free {
            let Some(work) = burst.as_slice().first() else { break };
            if let Err(why) = self.fits(work) {
                error = Some(why);
                break;
            }
            let Some(work) = burst.take() else { break };
            self.put(work);
            given += 1;
        }
        if given != 0 {
            self.tail.ring(self.next);
            count(&self.stats.submitted, given as u64);
        }
        match error {
            Some(error) if given == 0 => {
                count(&self.stats.refused, 1);
                return Err(error);
            }
            None if given < want => count(&self.stats.full, 1),
            _ => {}
        }
        Ok(given)
    }

    fn check(&self) -> Result<(), WorkError> {
        if self.lost.is_lost() {
            return Err(WorkError::Lost);
        }
        if self.stopped { Err(WorkError::Stopped) } else { Ok(()) }
    }

    fn fits(&self, work: &Work<F::Command>) -> Result<(), WorkError> {
        for buf in work.destination.iter().chain([&work.source]) {
            // SAFETY: a packet that is out of its pool keeps the pool alive.
            if unsafe { buf.pool.as_ref() }.space() != self.ring.space() {
                return Err(WorkError::ForeignSpace);
            }
        }
        let length = work.source.len;
        if work.source.is_segmented() || length == 0 || length > F::MAX_LENGTH {
            return Err(WorkError::Source { len: work.source.packet_len() as u64, max: F::MAX_LENGTH });
        }
        let (need, has) = (F::writes(work.command, length), work.destination.as_ref());
        let segmented = has.is_some_and(|buf| buf.is_segmented());
        // Exactly as long: what the device does not write would be taken for its answer.
        if segmented || has.map_or(0, |buf| buf.len) != need || (need == 0 && has.is_some()) {
            return Err(WorkError::Destination { len: has.map_or(0, |buf| buf.packet_len() as u64), need });
        }
        Ok(())
    }

    /// Writes the next work descriptor and remembers what is on it. There is room.
    fn put(&mut self, work: Work<F::Command>) {
        if self.coherence.is_needed() {
            self.coherence.sent(&work.source);
            // The processor's copy must not be written over what the device will write.
            work.destination.iter().for_each(|buf| self.coherence.sent(buf));
        }
        let (first, second) = (self.ring.at(2 * self.next), self.ring.at(2 * self.next + 1));
        let destination = work.destination.as_ref().map_or(0, |buf| buf.data_iova().0);
        first[0].store(work.source.data_iova().0.to_le(), Ordering::Relaxed);
        first[1].store(F::command(work.command, work.source.len).to_le(), Ordering::Relaxed);
        second[0].store(destination.to_le(), Ordering::Relaxed);
        second[1].store(0, Ordering::Release);
        if let Some(place) = self.shadow.get_mut(self.next as usize) {
            *place = Some(work);
        }
        self.next = (self.next + 1) & (self.size() - 1);
    }

    /// Takes what the device has done, in order, as much as `done` has room for; returns how much.
    pub fn complete(&mut self, done: &mut Burst<Completed<F::Command>>) -> Result<usize, WorkError> {
        self.check()?;
        let (room, mut taken) = (done.capacity() - done.len(), 0);
        while taken < room && self.clean != self.next {
            let word = u64::from_le(self.ring.at(2 * self.clean + 1)[1].load(Ordering::Acquire));
            if word & F::DONE == 0 {
                break;
            }
            let Some(work) = self.shadow.get_mut(self.clean as usize).and_then(Option::take) else { break };
            self.clean = (self.clean + 1) & (self.size() - 1);
            if self.coherence.is_needed() {
                work.destination.iter().for_each(|buf| self.coherence.received(buf));
            }
            // There is room, which was counted.
            let _ = done.push(Completed { work, word });
            taken += 1;
        }
        count(&self.stats.completed, taken as u64);
        Ok(taken)
    }

    /// Gives back everything on the ring, done or not. The ring is as new: it takes no work until the queue is enabled again
    /// and [`start`](Self::start) called. [`DeviceError::ForeignProof`] if another device is what stopped: nothing happens
    /// then.
    pub fn release(&mut self, stopped: &Quiesced) -> Result<Vec<Work<F::Command>>, DeviceError> {
        stopped.check(&self.lost)?;
        (self.stopped, self.exposed) = (true, false);
        let back = self.empty();
        self.ring.clear();
        (self.next, self.clean) = (0, 0);
        Ok(back)
    }

    fn empty(&mut self) -> Vec<Work<F::Command>> {
        let mut back = Vec::with_capacity(self.in_flight() as usize);
        while self.clean != self.next {
            back.extend(self.shadow.get_mut(self.clean as usize).and_then(Option::take));
            self.clean = (self.clean + 1) & (self.size() - 1);
        }
        back
    }
}

/// Leaves a buffer to a device that may still use it, and counts it.
fn leak(buf: Buf) {
    let packet = buf.into_raw();
    // SAFETY: the packet was owned, and nobody owns it now.
    for segment in unsafe { packet.as_ref() }.segments() {
        // SAFETY: a packet that is out of its pool keeps the pool alive.
        unsafe { segment.pool.as_ref() }.count_leaked(1);
    }
}

impl<F: WorkFormat> Drop for WorkRing<F> {
    fn drop(&mut self) {
        let left = self.empty();
        if self.exposed {
            for Work { source, destination, .. } in left {
                leak(source);
                destination.into_iter().for_each(leak);
            }
        }
    }
}

impl<F: WorkFormat> fmt::Debug for WorkRing<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkRing")
            .field("size", &self.size())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
