//! An lcore's private stock of buffers.
//!
//! A [`Cache`] is handed to the burst functions: the receive side takes replacements from it, the transmit side
//! puts what was sent into it. In steady state the same buffers go round without an atomic operation; when it
//! runs dry or full it exchanges magazines with the pool's shared level.

use alloc::boxed::Box;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::buf::Buf;
use super::burst::Burst;
use super::packet::Packet;
use super::shared::{self, Pool, Shared};
use super::{CACHE_CAPACITY, MAGAZINE};

/// Up to [`CACHE_CAPACITY`] buffers of one [`Pool`], owned by one thread at a time.
///
/// Dropping it returns what it holds.
pub struct Cache {
    /// A stack that grows down, so that a burst takes packets in the order in which it walks its other arrays:
    /// `slots[top..]` is initialised with packets of `pool`, unchained.
    slots: Box<[MaybeUninit<NonNull<Packet>>; CACHE_CAPACITY]>,
    /// At most [`CACHE_CAPACITY`].
    top: usize,
    pool: Pool,
}

// SAFETY: the packets in a cache are owned by it alone.
unsafe impl Send for Cache {}

impl Cache {
    pub(super) fn new(pool: Pool) -> Cache {
        Cache {
            slots: Box::new([const { MaybeUninit::uninit() }; CACHE_CAPACITY]),
            top: CACHE_CAPACITY,
            pool,
        }
    }

    /// Returns the pool behind the cache.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns how many buffers it holds.
    #[inline]
    pub fn len(&self) -> usize {
        CACHE_CAPACITY - self.top
    }

    /// Returns whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an empty buffer; `None` when the pool has none either.
    #[inline]
    pub fn alloc(&mut self) -> Option<Buf> {
        if self.reserve(1) == 0 {
            return None;
        }
        // SAFETY: `reserve` says that there is one, and the packet leaves the cache for its new owner.
        let mut buf = unsafe {
            let packet = *self.top();
            self.drop_top(1);
            Buf::from_raw(packet)
        };
        buf.renew();
        Some(buf)
    }

    /// Gives a buffer back. A chain, or a buffer of another pool, goes to its pool's shared level.
    #[inline]
    pub fn free(&mut self, buf: Buf) {
        if buf.is_segmented() || buf.pool != self.pool.shared_ptr() {
            return drop(buf);
        }
        // SAFETY: it is of this pool, unchained, and its owner gives it up here.
        unsafe { self.put(&[buf.into_raw()]) }
    }

    /// Gives back everything in `burst`.
    pub fn free_all(&mut self, burst: &mut Burst) {
        while let Some(buf) = burst.take() {
            self.free(buf);
        }
    }

    /// Returns everything it holds to the pool's shared level.
    pub fn flush(&mut self) {
        self.spill(self.len());
    }

    pub(crate) fn shared_ptr(&self) -> NonNull<Shared> {
        self.pool.shared_ptr()
    }

    /// Returns how many of `n` buffers it holds now, after a refill where it held fewer. `n` is at most one
    /// [`MAGAZINE`]; more is not looked at.
    #[inline]
    pub(crate) fn reserve(&mut self, n: usize) -> usize {
        if self.len() < n {
            self.refill();
        }
        self.len().min(n)
    }

    /// Returns a pointer to the first of the packets that [`reserve`](Self::reserve) counted.
    #[inline]
    pub(crate) fn top(&self) -> *const NonNull<Packet> {
        // SAFETY: `top` is at most the number of slots.
        unsafe { self.slots.as_ptr().cast::<NonNull<Packet>>().add(self.top) }
    }

    /// Lets go of the first `n` packets, which the caller has read from [`top`](Self::top) on and owns now.
    ///
    /// # Safety
    /// There are at least `n`.
    #[inline]
    pub(crate) unsafe fn drop_top(&mut self, n: usize) {
        self.top += n;
    }

    /// Puts packets in.
    ///
    /// # Safety
    /// Each is of this pool, unchained, and given up by its owner. There are at most [`MAGAZINE`].
    #[inline]
    pub(crate) unsafe fn put(&mut self, packets: &[NonNull<Packet>]) {
        if self.top < packets.len() {
            self.spill(CACHE_CAPACITY / 2);
        }
        self.top -= packets.len();
        // SAFETY: 1. at most a magazine is put, and at least half of the slots were free, or all fitted before;
        // 2. source and slots are different memory.
        unsafe {
            let to = self.slots.as_mut_ptr().cast::<NonNull<Packet>>().add(self.top);
            core::ptr::copy_nonoverlapping(packets.as_ptr(), to, packets.len());
        }
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        let Cache { slots, top, pool } = self;
        // At most a magazine, and only when fewer than one are left, so it fits.
        pool.shared().take(MAGAZINE.min(*top), |packet| {
            if let Some(slot) = top.checked_sub(1).and_then(|at| slots.get_mut(at)) {
                slot.write(packet);
                *top -= 1;
            }
        });
    }

    /// Moves the first `n` packets to the shared level.
    #[cold]
    #[inline(never)]
    fn spill(&mut self, n: usize) {
        let n = n.min(self.len());
        // SAFETY: `n` slots from `top` on are initialised, and leave the cache by the new `top`.
        let packets = unsafe { core::slice::from_raw_parts(self.top(), n) };
        self.top += n;
        // SAFETY: 1. the pool handle keeps it live; 2. the cache owned the packets and has given them up.
        unsafe { shared::give(self.pool.shared_ptr(), packets) }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.flush();
    }
}

impl core::fmt::Debug for Cache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cache").field("len", &self.len()).field("pool", &self.pool).finish_non_exhaustive()
    }
}
