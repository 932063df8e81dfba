//! The slots of the [`mpmc`](super) ring, and the turns that an operation took on them.
//!
//! Key types: [`Slots`], which tells in what state the slots of some turns are; [`Filling`] and [`Draining`], which
//! own turns and see to it that each of them is finished, whatever the caller's closures do.
//!
//! The ring decides who gets which turn; what happens to the slot then is here, and nowhere else.

use core::mem::MaybeUninit;

use crate::sync::{
    UnsafeCell,
    atomic::{AtomicU64, Ordering},
};

pub(super) struct Slot<T> {
    /// Whose turn it is; see the table in the module's documentation.
    sequence: AtomicU64,
    /// Initialised exactly while `sequence` reads "holds the value", and until its consumer has moved it out.
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    pub(super) fn free(turn: u64) -> Self {
        Self { sequence: AtomicU64::new(turn), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

/// What the number of a slot is ahead of the turn that the slot is free for.
pub(super) const FREE: u64 = 0;
/// What the number of a slot is ahead of the turn whose value it holds.
pub(super) const FULL: u64 = 1;

/// The slots of a ring, by turn. A copy of the reference, so that the address and the mask stay in registers where
/// the compiler would have to load them again after each atomic access through the ring.
pub(super) struct Slots<'a, T>(&'a [Slot<T>]);

impl<T> Clone for Slots<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slots<'_, T> {}

impl<'a, T> Slots<'a, T> {
    /// Wraps the slots of a ring.
    ///
    /// # Safety
    ///
    /// Their number is a power of two.
    #[inline(always)]
    pub(super) unsafe fn new(slots: &'a [Slot<T>]) -> Self {
        Self(slots)
    }

    #[inline(always)]
    fn at(self, turn: u64) -> &'a Slot<T> {
        let index = turn as usize & (self.0.len() - 1);
        // SAFETY: the length is a power of two (the contract of `new`), so the mask keeps the index below it.
        unsafe { self.0.get_unchecked(index) }
    }

    /// Returns the turn that uses the slot of `turn` after it.
    #[inline(always)]
    fn next_round(self, turn: u64) -> u64 {
        turn.wrapping_add(self.0.len() as u64)
    }

    /// Counts the slots from turn `first` on, up to `most`, that are [`FREE`] or [`FULL`]. A run ends after
    /// `capacity` slots by itself, because the number of the first slot is then a round behind.
    #[inline(always)]
    pub(super) fn run(self, first: u64, state: u64, most: usize) -> usize {
        let mut count = 0;
        while count < most {
            let turn = first.wrapping_add(count as u64);
            // Acquire: whoever published the slot is done with its value.
            if self.at(turn).sequence.load(Ordering::Acquire) != turn.wrapping_add(state) {
                break;
            }
            count += 1;
        }
        count
    }

    /// Returns whether the slot's number is past the point where it holds the value of `turn`.
    #[inline]
    pub(super) fn is_over(self, turn: u64) -> bool {
        // Relaxed: who steps over a turn does not touch its slot.
        let sequence = self.at(turn).sequence.load(Ordering::Relaxed);
        sequence.wrapping_sub(turn.wrapping_add(FULL)) as i64 > 0
    }

    /// Drops the value of `turn` if the slot holds it.
    ///
    /// # Safety
    ///
    /// Nobody else uses the slot, and the value is not used again.
    pub(super) unsafe fn drop_value(self, turn: u64) {
        let slot = self.at(turn);
        if slot.sequence.load(Ordering::Relaxed) == turn.wrapping_add(FULL) {
            // SAFETY: the number says that the slot holds a value, which is the caller's to drop.
            slot.value.with_mut(|value| unsafe { (*value).assume_init_drop() });
        }
    }
}

/// Turns that this producer took from the tail and has not published: it alone may touch their slots.
pub(super) struct Filling<'a, T> {
    slots: Slots<'a, T>,
    next: u64,
    end: u64,
}

impl<'a, T> Filling<'a, T> {
    /// Takes charge of the turns from `next` to before `end`.
    ///
    /// # Safety
    ///
    /// The slots were seen to be free, with an Acquire load, and the turns are the caller's alone.
    #[inline(always)]
    pub(super) unsafe fn new(slots: Slots<'a, T>, next: u64, end: u64) -> Self {
        Self { slots, next, end }
    }

    #[inline(always)]
    pub(super) fn left(&self) -> usize {
        self.end.wrapping_sub(self.next) as usize
    }

    /// Publishes `value` in the next turn.
    ///
    /// # Safety
    ///
    /// There is one [left](Self::left).
    #[inline(always)]
    pub(super) unsafe fn fill(&mut self, value: T) {
        debug_assert_ne!(self.next, self.end);
        let slot = self.slots.at(self.next);
        // SAFETY: the turn is this producer's alone and its slot was free (the contract of `new`): the last consumer
        // is done with it, and nobody reads the value before the store below.
        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
        self.next = self.next.wrapping_add(1);
        slot.sequence.store(self.next, Ordering::Release);
    }
}

impl<T> Drop for Filling<'_, T> {
    /// Gives up the turns that were not filled: only after a panic in the caller's closure.
    #[inline]
    fn drop(&mut self) {
        while self.next != self.end {
            let over = self.slots.next_round(self.next);
            self.slots.at(self.next).sequence.store(over, Ordering::Release);
            self.next = self.next.wrapping_add(1);
        }
    }
}

/// Turns that this consumer took from the head and has not emptied: it alone may touch their slots.
pub(super) struct Draining<'a, T> {
    slots: Slots<'a, T>,
    next: u64,
    end: u64,
}

impl<'a, T> Draining<'a, T> {
    /// Takes charge of the turns from `next` to before `end`.
    ///
    /// # Safety
    ///
    /// The slots were seen to be full, with an Acquire load, and the turns are the caller's alone.
    #[inline(always)]
    pub(super) unsafe fn new(slots: Slots<'a, T>, next: u64, end: u64) -> Self {
        Self { slots, next, end }
    }

    #[inline(always)]
    pub(super) fn left(&self) -> usize {
        self.end.wrapping_sub(self.next) as usize
    }

    /// Moves the value of the next turn out and frees its slot.
    ///
    /// # Safety
    ///
    /// There is one [left](Self::left).
    #[inline(always)]
    pub(super) unsafe fn empty(&mut self) -> T {
        debug_assert_ne!(self.next, self.end);
        let slot = self.slots.at(self.next);
        // SAFETY: the turn is this consumer's alone and its slot was full (the contract of `new`): the producer's
        // write is visible here. `next` moves on, so the value is moved out once.
        let value = slot.value.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        let over = self.slots.next_round(self.next);
        slot.sequence.store(over, Ordering::Release);
        self.next = self.next.wrapping_add(1);
        value
    }
}

impl<T> Drop for Draining<'_, T> {
    /// Drops the values that were not handed out: only after a panic in the caller's closure.
    #[inline]
    fn drop(&mut self) {
        while self.next != self.end {
            // SAFETY: the condition says that there is one left.
            drop(unsafe { self.empty() });
        }
    }
}
