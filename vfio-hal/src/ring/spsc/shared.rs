//! What the two halves of the [`spsc`](super) ring share, and how they own it together.
//!
//! Key types: [`Shared`], the counters and the slots; [`Slots`], the slots by position; [`Half`], one of the two owners.
//!
//! Who may use which slot at what time is up to the producer and the consumer.

use alloc::boxed::Box;
use core::{mem::MaybeUninit, ops::Deref, ptr::NonNull};

use crossbeam_utils::CachePadded;

use crate::{
    ring::mpmc::{RingError, slots},
    sync::{
        UnsafeCell,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

/// Positions count up and wrap at the word size, a multiple of the capacity; position `p` uses slot `p mod
/// capacity`. The slots from `head` to `tail` hold values and belong to the consumer, all others are free and belong
/// to the producer.
pub(super) struct Shared<T> {
    /// Stored by the consumer only.
    pub(super) head: CachePadded<AtomicUsize>,
    /// Stored by the producer only.
    pub(super) tail: CachePadded<AtomicUsize>,
    /// Set when the first of the two halves is dropped; the other reads it, and knows that it is the last one.
    pub(super) abandoned: AtomicBool,
    slots: Box<[Slot<T>]>,
}

/// The slots by position: their number is a power of two.
pub(super) struct Slots<'a, T>(&'a [Slot<T>]);

impl<'a, T> Slots<'a, T> {
    #[inline(always)]
    pub(super) fn at(&self, position: usize) -> &'a Slot<T> {
        // SAFETY: the length is a power of two (`Shared::slots`), so the mask keeps the index below it.
        unsafe { self.0.get_unchecked(position & (self.0.len() - 1)) }
    }
}

impl<T> Shared<T> {
    #[inline(always)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns the slots, which the function `slots` made and so checked that their number is a power of two.
    #[inline(always)]
    pub(super) fn slots(&self) -> Slots<'_, T> {
        Slots(&self.slots)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: slots from head to tail hold values; both halves are gone, and each position is visited once.
            self.slots().at(head).with_mut(|cell| unsafe { (*cell).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// One of the two owners of what is shared; the second to go frees it.
///
/// An `Arc` does the same, but the last drop of one relies on a stand-alone fence, which ThreadSanitizer cannot
/// follow, and the flag is needed anyhow.
pub(super) struct Half<T>(NonNull<Shared<T>>);

// SAFETY: each value is moved in by the thread that has the producer and moved out, or dropped, by one other; no `&T`
// is given out, so `T: Send` is enough. The producer and the consumer see to it that no slot is used by both at once
// (see their SAFETY comments), everything else that is shared is atomic or constant, and `Drop` synchronises the two.
// There is no `Sync`: a half has one owner.
unsafe impl<T: Send> Send for Half<T> {}

impl<T> Half<T> {
    /// Makes the shared part of an empty ring and its two owners.
    pub(super) fn pair(first: usize, capacity: usize) -> Result<(Self, Self), RingError> {
        let slots = slots(capacity, |_| UnsafeCell::new(MaybeUninit::uninit()))?;
        let shared = Box::new(Shared {
            head: CachePadded::new(AtomicUsize::new(first)),
            tail: CachePadded::new(AtomicUsize::new(first)),
            abandoned: AtomicBool::new(false),
            slots,
        });
        let shared = NonNull::from(Box::leak(shared));
        Ok((Self(shared), Self(shared)))
    }
}

impl<T> Deref for Half<T> {
    type Target = Shared<T>;

    #[inline(always)]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: it came from a `Box` and is freed by the second of two halves to be dropped, so not before this one.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Half<T> {
    fn drop(&mut self) {
        // Release: the other half, when it sees the flag, also sees all that this one did. Acquire: the reverse, so
        // that the last one frees the memory after the other's last access.
        if self.abandoned.swap(true, Ordering::AcqRel) {
            // SAFETY: it came from a `Box`, and the other half is gone: it set the flag as the last thing it did.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}
