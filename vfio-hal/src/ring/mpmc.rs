//! A bounded ring that any number of threads push to and pop from, one value or many at a time.
//!
//! Every slot carries a sequence number that says whose turn it is (Dmitry Vyukov's bounded queue). A *turn* is a
//! 64-bit position that only counts up; turn `t` uses slot `t mod capacity`. The slot's number reads
//!
//! | sequence | state of the slot |
//! |---|---|
//! | `t` | free, waits for the producer of turn `t` |
//! | `t + 1` | holds the value of turn `t` |
//! | `t + capacity` | turn `t` is over: free, waits for the producer of the next turn |
//!
//! A bulk operation looks at the slots from its position on, then takes all the turns that are ready with one
//! compare-and-swap of the head or the tail. What it saw stays true until the swap: a slot that is ready for turn
//! `t` only changes hands through whoever moves the counter past `t`, and then the swap fails. Each slot is
//! published by its own Release store, and there are no stand-alone fences, so that loom and ThreadSanitizer
//! follow every edge.
//!
//! Key types: [`Mpmc`], [`RingError`].
//!
//! The shared level of the buffer pool is built on this ring. Between exactly two threads, the
//! [`spsc`](super::spsc) ring is cheaper. Rings shared with a device are descriptor rings, another matter.
//!
//! # Progress
//!
//! No operation waits for another thread, but between taking a turn and publishing it, a thread that is not
//! running holds up what comes after: its slot reads as "full" to producers that reach it and as "empty" to
//! consumers. The same holds while a closure given to [`Mpmc::push_burst`] or [`Mpmc::pop_burst`] runs, so keep
//! those short.
//!
//! # Panics in closures
//!
//! The ring stays whole if such a closure panics. A producer gives up the turns it has not filled, and consumers
//! step over them. A consumer drops the values of the turns it had taken and not yet handed out, because other
//! consumers may have gone past them already.

mod turns;

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use crossbeam_utils::CachePadded;

use self::turns::{Draining, FREE, FULL, Filling, Slot, Slots};
use crate::sync::{
    Backoff,
    atomic::{AtomicU64, Ordering},
};

/// Why a software ring could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The capacity is not a power of two, or below 2.
    #[error("a ring cannot have {capacity} slots: choose a power of two, 2 or more")]
    Capacity {
        /// Slots asked for.
        capacity: usize,
    },
    /// The allocator has no room for the slots.
    #[error("no memory for a ring of {capacity} slots of {slot_size} bytes: choose a smaller capacity")]
    OutOfMemory {
        /// Slots asked for.
        capacity: usize,
        /// Size of one slot, in bytes.
        slot_size: usize,
    },
}

/// Allocates `capacity` slots, checked to be a power of two of at least 2; `slot` makes the one at each index.
pub(super) fn slots<S>(capacity: usize, slot: impl FnMut(usize) -> S) -> Result<Box<[S]>, RingError> {
    if capacity < 2 || !capacity.is_power_of_two() {
        return Err(RingError::Capacity { capacity });
    }
    let mut slots = Vec::new();
    slots
        .try_reserve_exact(capacity)
        .map_err(|_| RingError::OutOfMemory { capacity, slot_size: size_of::<S>() })?;
    slots.extend((0..capacity).map(slot));
    Ok(slots.into_boxed_slice())
}

/// A bounded multi-producer, multi-consumer ring of `T`.
///
/// Values come out in the order in which their turns were taken. Two rings, or a ring and another variable, have
/// no common order beyond what a value that was pushed and popped carries with it.
pub struct Mpmc<T> {
    /// The next turn to be taken by a consumer.
    head: CachePadded<AtomicU64>,
    /// The next turn to be taken by a producer.
    tail: CachePadded<AtomicU64>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: the ring owns its values and hands each one to exactly one thread (see `turns`), so
// moving or sharing the ring moves values of `T` between threads and nothing else: `T: Send` is enough. No `&T` is
// ever given out.
unsafe impl<T: Send> Send for Mpmc<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mpmc<T> {}

impl<T> Mpmc<T> {
    /// Makes an empty ring of `capacity` slots, a power of two of at least 2. This is the only allocation.
    pub fn new(capacity: usize) -> Result<Self, RingError> {
        Self::starting_at(0, capacity)
    }

    /// Makes an empty ring whose first turn is `first`, so that tests can reach the wrap of the counters.
    fn starting_at(first: u64, capacity: usize) -> Result<Self, RingError> {
        let slots = slots(capacity, |index| {
            let offset = (index as u64).wrapping_sub(first) & (capacity as u64 - 1);
            Slot::free(first.wrapping_add(offset))
        })?;
        Ok(Self {
            head: CachePadded::new(AtomicU64::new(first)),
            tail: CachePadded::new(AtomicU64::new(first)),
            slots,
        })
    }

    /// Returns the number of slots.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns about how many values the ring holds, between 0 and the capacity. Other threads may change it at
    /// any time, and turns that were taken but not finished count.
    pub fn len(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        // Two loads are not one moment: the head may have gone past this tail, or the tail a round further.
        let length = tail.wrapping_sub(head) as i64;
        length.max(0).min(self.slots.len() as i64) as usize
    }

    /// Returns whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `value`, or returns it if the ring is full.
    #[inline]
    pub fn push(&self, value: T) -> Result<(), T> {
        match self.take_free(1, 1) {
            Some(mut turns) => {
                // SAFETY: one turn was asked for and granted.
                unsafe { turns.fill(value) };
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Removes the oldest value.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        // SAFETY: a grant is of one turn at least.
        self.take_full(1).map(|mut turns| unsafe { turns.empty() })
    }

    /// Appends all of `values`, in order and without others in between, or returns them if they do not all fit.
    /// More values than the capacity never fit.
    #[inline]
    pub fn push_bulk<const N: usize>(&self, values: [T; N]) -> Result<(), [T; N]> {
        if N == 0 {
            return Ok(());
        }
        match self.take_free(N, N) {
            Some(mut turns) => {
                for value in values {
                    // SAFETY: `N` turns were granted, and there are `N` values.
                    unsafe { turns.fill(value) };
                }
                Ok(())
            }
            None => Err(values),
        }
    }

    /// Appends as many of `n` values as fit, in order and without others in between; returns how many.
    ///
    /// `next` is called once for each value that fits, after its place is taken. If it panics, the values it
    /// returned before stay in the ring.
    #[inline]
    pub fn push_burst(&self, n: usize, mut next: impl FnMut() -> T) -> usize {
        let Some(mut turns) = self.take_free(n, 1) else { return 0 };
        let count = turns.left();
        while turns.left() != 0 {
            let value = next();
            // SAFETY: the condition says that there is one left.
            unsafe { turns.fill(value) };
        }
        count
    }

    /// Removes up to `n` of the oldest values and hands them to `put`, oldest first; returns how many.
    ///
    /// Fewer than `n` does not mean that the ring is empty, 0 does (or that `n` is 0). If `put` panics, the values
    /// that were taken for this call and not yet handed out are dropped.
    #[inline]
    pub fn pop_burst(&self, n: usize, mut put: impl FnMut(T)) -> usize {
        let Some(mut turns) = self.take_full(n) else { return 0 };
        let count = turns.left();
        while turns.left() != 0 {
            // SAFETY: the condition says that there is one left.
            put(unsafe { turns.empty() });
        }
        count
    }

    #[inline(always)]
    fn slots(&self) -> Slots<'_, T> {
        // SAFETY: the slots come from the function `slots`, which checks that their number is a power of two.
        unsafe { Slots::new(&self.slots) }
    }

    /// Takes up to `most` free turns, but not fewer than `least` (1 or more).
    #[inline]
    fn take_free(&self, most: usize, least: usize) -> Option<Filling<'_, T>> {
        let slots = self.slots();
        let backoff = Backoff::new();
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            let count = slots.run(tail, FREE, most);
            if count >= least {
                let end = tail.wrapping_add(count as u64);
                // Relaxed: the counter only hands out turns; values travel by the slots' numbers.
                match self.tail.compare_exchange_weak(tail, end, Ordering::Relaxed, Ordering::Relaxed) {
                    // SAFETY: the turns were seen to be free, and the swap gave them to this call alone.
                    Ok(_) => return Some(unsafe { Filling::new(slots, tail, end) }),
                    Err(now) => tail = now,
                }
                backoff.spin();
                continue;
            }
            // Too few: either the ring is full, or this tail was old. If a slot was ahead of it, then the Acquire
            // load of its number makes the newer tail visible here.
            let now = self.tail.load(Ordering::Relaxed);
            if now == tail {
                return None;
            }
            tail = now;
        }
    }

    /// Takes up to `most` turns that hold values, at least one.
    #[inline]
    fn take_full(&self, most: usize) -> Option<Draining<'_, T>> {
        let slots = self.slots();
        let backoff = Backoff::new();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let count = slots.run(head, FULL, most);
            if count > 0 {
                let end = head.wrapping_add(count as u64);
                match self.head.compare_exchange_weak(head, end, Ordering::Relaxed, Ordering::Relaxed) {
                    // SAFETY: the turns were seen to be full, and the swap gave them to this call alone.
                    Ok(_) => return Some(unsafe { Draining::new(slots, head, end) }),
                    Err(now) => head = now,
                }
                backoff.spin();
                continue;
            }
            // None: either the ring is empty, or this head was old (a look is cheaper than a swap that fails), or the
            // turn was given up.
            let now = self.head.load(Ordering::Relaxed);
            if now != head {
                head = now;
                continue;
            }
            if most == 0 || !slots.is_over(head) {
                return None;
            }
            head = self.step_over(head);
        }
    }

    /// Moves the head past a turn that [is over](Slots::is_over), if no other consumer did; returns the next head to
    /// try.
    ///
    /// If the head still is at `turn`, no consumer took it, so its producer gave it up.
    #[cold]
    fn step_over(&self, turn: u64) -> u64 {
        let end = turn.wrapping_add(1);
        match self.head.compare_exchange(turn, end, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => end,
            Err(now) => now,
        }
    }
}

impl<T> Drop for Mpmc<T> {
    fn drop(&mut self) {
        // At most two rounds: the tail can be up to one capacity ahead of turns that were given up.
        let tail = self.tail.load(Ordering::Relaxed);
        let mut turn = self.head.load(Ordering::Relaxed);
        while turn != tail {
            // SAFETY: `&mut self` says that nobody else uses the slots, and no turn comes twice.
            unsafe { self.slots().drop_value(turn) };
            turn = turn.wrapping_add(1);
        }
    }
}

impl<T> fmt::Debug for Mpmc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpmc").field("capacity", &self.capacity()).field("len", &self.len()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn turns_wrap_without_a_seam() {
        for before in 0..12 {
            let ring = Mpmc::starting_at(u64::MAX - before, 4).unwrap();
            let (mut next, mut expected) = (0, 0);
            for round in 0..8 {
                let mut make = || {
                    next += 1;
                    next - 1
                };
                if round == 3 {
                    // Turns that are given up meet the wrap as well.
                    let end = ring.tail.load(Ordering::Relaxed).wrapping_add(1);
                    drop(ring.take_free(1, 1));
                    assert_eq!(ring.tail.load(Ordering::Relaxed), end);
                }
                assert_eq!(ring.push_burst(3, &mut make), 3);
                assert!((3..=4).contains(&ring.len()));
                assert_eq!(ring.pop(), Some(expected));
                ring.pop_burst(3, |value| {
                    expected += 1;
                    assert_eq!(value, expected);
                });
                expected += 1;
                assert_eq!(expected, next);
                assert_eq!(ring.pop(), None);
                assert!(ring.is_empty());
            }
        }
    }

    #[test]
    fn values_across_the_wrap_are_dropped() {
        let value = alloc::rc::Rc::new(());
        let ring = Mpmc::starting_at(u64::MAX, 4).unwrap();
        assert_eq!(ring.push_burst(3, || value.clone()), 3);
        drop(ring);
        assert_eq!(alloc::rc::Rc::strong_count(&value), 1);
    }
}
