//! The synchronisation primitives of the rings and the pool, in one place, so that loom can replace them.
//!
//! Key types: [`atomic`], [`UnsafeCell`] (access through a closure, so that loom can check each one for races) and
//! [`Backoff`]. There is no `Arc`: nothing built on this module counts references.
//!
//! What moves packets between threads takes its atomics from here. A build with `--cfg loom` gets loom's, which
//! explore every interleaving; any other build gets `core`'s, and the closures inline to plain pointer accesses.

#[cfg(loom)]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic};
#[cfg(not(loom))]
pub(crate) use {core::sync::atomic, crossbeam_utils::Backoff};

/// A cell whose content is reached through a raw pointer, in the shape of loom's.
#[cfg(not(loom))]
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer to the content, which nobody else may be using.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// No pause under loom: a thread that lost a compare-and-swap must be free to run on at once, or loom would
/// leave out those schedules.
#[cfg(loom)]
pub(crate) struct Backoff;

#[cfg(loom)]
impl Backoff {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn spin(&self) {}

    /// Waits for another thread, which loom must be told: it would run this one for ever.
    pub(crate) fn snooze(&self) {
        loom::thread::yield_now();
    }
}
