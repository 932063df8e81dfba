//! A bounded ring between exactly two threads: one owns the producer's half, the other the consumer's.
//!
//! Each half counts its own position in a plain field and keeps a copy of the other's, which it reads again only
//! when the copy says "full" or "empty". In the steady state a burst costs one Release store, and the cache lines
//! of the counters move between the cores once for many values rather than once for each.
//!
//! Key types: [`Producer`] and [`Consumer`], made in pairs by [`ring`]; [`RingError`].
//!
//! Use it for a pipeline stage on each of two lcores. For more threads on either side there is the
//! [`mpmc`](super::mpmc) ring, whose operations have the same names.
//!
//! # Two halves, two owners
//!
//! A half can move to another thread, but two threads cannot share it:
//!
//! ```compile_fail,E0277
//! fn share<T: Sync>(_: T) {}
//! let (producer, _consumer) = vfio_hal::ring::spsc::ring::<u8>(8).unwrap();
//! share(producer);
//! ```
//!
//! ```compile_fail,E0277
//! fn share<T: Sync>(_: T) {}
//! let (_producer, consumer) = vfio_hal::ring::spsc::ring::<u8>(8).unwrap();
//! share(consumer);
//! ```
//!
//! ```compile_fail,E0599
//! let (producer, _consumer) = vfio_hal::ring::spsc::ring::<u8>(8).unwrap();
//! let _second = producer.clone();
//! ```
//!
//! ```
//! let (mut producer, mut consumer) = vfio_hal::ring::spsc::ring(8)?;
//! std::thread::spawn(move || producer.push_bulk([1, 2, 3])).join().unwrap().unwrap();
//! assert!(consumer.is_abandoned());
//! assert_eq!(consumer.pop(), Some(1));
//! # Ok::<(), vfio_hal::ring::spsc::RingError>(())
//! ```
//!
//! # Panics in closures
//!
//! If a closure given to [`Producer::push_burst`] or [`Consumer::pop_burst`] panics, what it handed over before
//! counts and nothing else is lost: values not yet taken stay in the ring.

mod shared;

use core::fmt;

use self::shared::{Half, Slots};
pub use super::mpmc::RingError;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Makes an empty ring of `capacity` slots, a power of two of at least 2. These are the only allocations.
pub fn ring<T>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), RingError> {
    ring_starting_at(0, capacity)
}

/// Makes an empty ring whose positions start at `first`, so that tests can reach the wrap of the counters.
fn ring_starting_at<T>(first: usize, capacity: usize) -> Result<(Producer<T>, Consumer<T>), RingError> {
    let (producer, consumer) = Half::pair(first, capacity)?;
    Ok((
        Producer { shared: producer, tail: first, head: first },
        Consumer { shared: consumer, head: first, tail: first },
    ))
}

/// The half that appends. It can be sent to another thread; it cannot be cloned or shared.
pub struct Producer<T> {
    shared: Half<T>,
    /// Where the next value goes; at or, inside a burst, ahead of the shared tail.
    tail: usize,
    /// The head as last read: at or behind the shared one.
    head: usize,
}

impl<T> Producer<T> {
    /// Returns the number of slots.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// Returns how many values the ring holds; the consumer may have taken some by the time of return.
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.load(Ordering::Relaxed))
    }

    /// Returns whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the consumer is gone. What the ring holds then, [`len`](Self::len) tells exactly, and nobody will
    /// take it.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    /// Appends `value`, or returns it if the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.free(1) == 0 {
            return Err(value);
        }
        let mut burst = Filling::of(self);
        // SAFETY: there is a free slot.
        unsafe { burst.fill(value) };
        Ok(())
    }

    /// Appends all of `values`, in order, or returns them if they do not all fit. More values than the capacity
    /// never fit. The consumer sees all of them at once.
    #[inline]
    pub fn push_bulk<const N: usize>(&mut self, values: [T; N]) -> Result<(), [T; N]> {
        if self.free(N) < N {
            return Err(values);
        }
        let mut burst = Filling::of(self);
        for value in values {
            // SAFETY: there are `N` free slots for `N` values.
            unsafe { burst.fill(value) };
        }
        Ok(())
    }

    /// Appends as many of `n` values as fit, in order; returns how many. The consumer sees all of them at once.
    ///
    /// `next` is called once for each value that fits.
    #[inline]
    pub fn push_burst(&mut self, n: usize, mut next: impl FnMut() -> T) -> usize {
        let count = self.free(n).min(n);
        if count == 0 {
            return 0;
        }
        let mut burst = Filling::of(self);
        for _ in 0..count {
            let value = next();
            // SAFETY: `count` slots are free.
            unsafe { burst.fill(value) };
        }
        count
    }

    /// Returns how many slots are free, looking at the consumer's progress only if fewer than `wanted` were free at
    /// the last look.
    #[inline(always)]
    fn free(&mut self, wanted: usize) -> usize {
        let capacity = self.shared.capacity();
        let free = capacity - self.tail.wrapping_sub(self.head);
        if free >= wanted {
            return free;
        }
        // Acquire: the consumer is done with the slots behind this head.
        self.head = self.shared.head.load(Ordering::Acquire);
        capacity - self.tail.wrapping_sub(self.head)
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.capacity()).field("len", &self.len()).finish()
    }
}

/// Publishes what was filled when it goes out of scope, at the end of a burst or by a panic in its closure.
///
/// It has the slots at hand, because the compiler would load their address again for each value.
struct Filling<'a, T> {
    slots: Slots<'a, T>,
    next: &'a mut usize,
    shared_tail: &'a AtomicUsize,
}

impl<'a, T> Filling<'a, T> {
    #[inline(always)]
    fn of(producer: &'a mut Producer<T>) -> Self {
        let shared = &*producer.shared;
        Self { slots: shared.slots(), next: &mut producer.tail, shared_tail: &shared.tail }
    }

    /// Puts `value` in the next slot.
    ///
    /// # Safety
    ///
    /// [`Producer::free`] has counted it.
    #[inline(always)]
    unsafe fn fill(&mut self, value: T) {
        // SAFETY: the slot is at or past the shared tail and less than one capacity past the head that was read
        // with Acquire, so it is free, the consumer is done with it, and there is no second producer.
        self.slots.at(*self.next).with_mut(|cell| unsafe { (*cell).write(value) });
        *self.next = self.next.wrapping_add(1);
    }
}

impl<T> Drop for Filling<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.shared_tail.store(*self.next, Ordering::Release);
    }
}

/// The half that removes. It can be sent to another thread; it cannot be cloned or shared.
pub struct Consumer<T> {
    shared: Half<T>,
    /// The oldest value; at or, inside a burst, ahead of the shared head.
    head: usize,
    /// The tail as last read: at or behind the shared one.
    tail: usize,
}

impl<T> Consumer<T> {
    /// Returns the number of slots.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// Returns how many values the ring holds; the producer may have added some by the time of return.
    pub fn len(&self) -> usize {
        self.shared.tail.load(Ordering::Relaxed).wrapping_sub(self.head)
    }

    /// Returns whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the producer is gone. The ring may still hold values; once it was seen abandoned and then
    /// empty, in this order, it stays empty.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    /// Removes the oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.held(1) == 0 {
            return None;
        }
        let mut burst = Draining::of(self);
        // SAFETY: there is a value.
        Some(unsafe { burst.empty() })
    }

    /// Removes up to `n` of the oldest values and hands them to `put`, oldest first; returns how many.
    ///
    /// The slots become free for the producer together, after the last call of `put`. Fewer than `n` does not mean
    /// that the ring is empty, 0 does (or that `n` is 0).
    #[inline]
    pub fn pop_burst(&mut self, n: usize, mut put: impl FnMut(T)) -> usize {
        let count = self.held(n).min(n);
        if count == 0 {
            return 0;
        }
        let mut burst = Draining::of(self);
        for _ in 0..count {
            // SAFETY: there are `count` values.
            put(unsafe { burst.empty() });
        }
        count
    }

    /// Returns how many values there are to take, looking at the producer's progress only if there were fewer than
    /// `wanted` at the last look.
    #[inline(always)]
    fn held(&mut self, wanted: usize) -> usize {
        let held = self.tail.wrapping_sub(self.head);
        if held >= wanted {
            return held;
        }
        // Acquire: the values before this tail are written.
        self.tail = self.shared.tail.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head)
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("capacity", &self.capacity()).field("len", &self.len()).finish()
    }
}

/// Frees what was emptied when it goes out of scope, at the end of a burst or by a panic in its closure.
struct Draining<'a, T> {
    slots: Slots<'a, T>,
    next: &'a mut usize,
    shared_head: &'a AtomicUsize,
}

impl<'a, T> Draining<'a, T> {
    #[inline(always)]
    fn of(consumer: &'a mut Consumer<T>) -> Self {
        let shared = &*consumer.shared;
        Self { slots: shared.slots(), next: &mut consumer.head, shared_head: &shared.head }
    }

    /// Moves the oldest value out.
    ///
    /// # Safety
    ///
    /// [`Consumer::held`] has counted it.
    #[inline(always)]
    unsafe fn empty(&mut self) -> T {
        // SAFETY: the position is before the tail that was read with Acquire, so the slot holds a value; it belongs
        // to the one consumer until the shared head passes it, and the head counts up, so it is moved out once.
        let value = self.slots.at(*self.next).with_mut(|cell| unsafe { (*cell).assume_init_read() });
        *self.next = self.next.wrapping_add(1);
        value
    }
}

impl<T> Drop for Draining<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.shared_head.store(*self.next, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn positions_wrap_without_a_seam() {
        for before in 0..12 {
            let (mut producer, mut consumer) = ring_starting_at(usize::MAX - before, 4).unwrap();
            let (mut next, mut expected) = (0, 0);
            for _ in 0..8 {
                let pushed = producer.push_burst(5, || {
                    next += 1;
                    next - 1
                });
                assert_eq!((pushed, producer.len(), consumer.len()), (4 - (next - pushed - expected), 4, 4));
                assert_eq!(producer.push(0), Err(0));
                let popped = consumer.pop_burst(3, |value| {
                    assert_eq!(value, expected);
                    expected += 1;
                });
                assert_eq!((popped, producer.len(), consumer.len()), (3, 1, 1));
            }
        }
    }

    #[test]
    fn values_across_the_wrap_are_dropped() {
        let value = alloc::rc::Rc::new(());
        let (mut producer, consumer) = ring_starting_at(usize::MAX, 4).unwrap();
        assert_eq!(producer.push_burst(3, || value.clone()), 3);
        drop(producer);
        drop(consumer);
        assert_eq!(alloc::rc::Rc::strong_count(&value), 1);
    }
}
