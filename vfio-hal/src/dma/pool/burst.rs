//! A batch of packets between receive, the application and transmit.

use alloc::boxed::Box;
use core::mem::MaybeUninit;

use super::buf::Buf;

/// Up to a fixed number of owned packets, in order. The receive side appends, the transmit side takes from the
/// front and leaves what did not fit.
pub struct Burst<T = Buf> {
    slots: Box<[MaybeUninit<T>]>,
    /// `slots[head..tail]` is initialised; `head <= tail <= slots.len()`.
    head: usize,
    tail: usize,
}

impl<T> Burst<T> {
    /// Returns an empty burst for up to `capacity` packets; 32 suits most (DPDK's default).
    pub fn new(capacity: usize) -> Burst<T> {
        Burst { slots: Box::new_uninit_slice(capacity), head: 0, tail: 0 }
    }

    /// Returns how many packets it can hold.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns how many packets it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Returns whether it holds none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Adds a packet at the end; gives it back when the burst is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(item);
        }
        // SAFETY: there is room.
        unsafe { self.push_unchecked(item) };
        Ok(())
    }

    /// Takes the first packet.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: not empty.
        Some(unsafe { self.take_unchecked() })
    }

    /// Returns the packets in order.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    /// Returns the packets in order, to be changed.
    pub fn iter_mut(&mut self) -> core::slice::IterMut<'_, T> {
        self.as_mut_slice().iter_mut()
    }

    /// Returns the packets in order.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `slots[head..tail]` is initialised and inside of the slice.
        unsafe { core::slice::from_raw_parts(self.slots.as_ptr().cast::<T>().add(self.head), self.len()) }
    }

    /// Returns the packets in order, to be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and borrowed mutably.
        unsafe {
            core::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast::<T>().add(self.head), self.len())
        }
    }

    /// Drops all packets, each to its pool's shared level; `Cache::free_all` is the fast way.
    pub fn clear(&mut self) {
        while self.take().is_some() {}
    }

    /// Returns how many more packets fit now, 0 only when it is full. What was taken from the front is room once all
    /// are taken or the end is reached.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        } else if self.head != 0 && self.tail == self.slots.len() {
            self.compact();
        }
        self.slots.len() - self.tail
    }

    #[cold]
    fn compact(&mut self) {
        let len = self.len();
        let slots = self.slots.as_mut_ptr();
        // SAFETY: both ranges are inside of the slice; a packet moves, its old place counts as uninitialised.
        unsafe { core::ptr::copy(slots.add(self.head), slots, len) };
        (self.head, self.tail) = (0, len);
    }

    /// Returns a pointer to the place of the next packet; as many follow as [`room`](Self::room) said.
    #[inline]
    pub(crate) fn end(&mut self) -> *mut T {
        // SAFETY: `tail` is at most the number of slots.
        unsafe { self.slots.as_mut_ptr().cast::<T>().add(self.tail) }
    }

    /// Takes over `n` packets that the caller has written to [`end`](Self::end).
    ///
    /// # Safety
    /// They are written, and there was room for them.
    #[inline]
    pub(crate) unsafe fn grow(&mut self, n: usize) {
        self.tail += n;
    }

    /// # Safety
    /// `room` must have returned more than 0 since the last push that counted on it.
    #[inline]
    pub(crate) unsafe fn push_unchecked(&mut self, item: T) {
        // SAFETY: the caller says that `tail` is inside of the slice.
        unsafe { self.slots.get_unchecked_mut(self.tail).write(item) };
        self.tail += 1;
    }

    /// Lets go of the first `n` packets without dropping them.
    ///
    /// # Safety
    /// There are at least `n`, and the caller owns them now.
    #[inline]
    pub(crate) unsafe fn forget_front(&mut self, n: usize) {
        self.head += n;
    }

    /// # Safety
    /// The burst must not be empty.
    #[inline]
    pub(crate) unsafe fn take_unchecked(&mut self) -> T {
        self.head += 1;
        // SAFETY: the caller says that the old `head` was below `tail`: initialised, and not used again.
        unsafe { self.slots.get_unchecked(self.head - 1).assume_init_read() }
    }
}

impl<T> Drop for Burst<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<T> core::fmt::Debug for Burst<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Burst").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}
