//! Locks of the in-process backend.
//!
//! - [`Lock`] lets one thread at a time at something, and those who wait before the one that always comes back.
//! - [`Shared`] lets calls of the model read while nobody changes.
//!
//! Both are made of plain atomics that are compiled with this crate, so that ThreadSanitizer follows them
//! (the operating system's locks live in the standard library, which it does not see). What is locked is short:
//! waiting starts with a pause, then lets other threads run, then sleeps.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use spin::rwlock::{RwLockReadGuard, RwLockWriteGuard};
use spin::{Mutex, MutexGuard, RwLock};

/// Waits a little longer each time.
#[derive(Default)]
struct Wait(u32);

impl Wait {
    fn once(&mut self) {
        const PAUSES: u32 = 32;
        const YIELDS: u32 = 1000;
        // Whoever yields for that long may be what keeps the other thread from running.
        const SLEEP: Duration = Duration::from_micros(50);
        match self.0 {
            0..PAUSES => std::hint::spin_loop(),
            PAUSES..YIELDS => thread::yield_now(),
            _ => thread::sleep(SLEEP),
        }
        self.0 = self.0.saturating_add(1);
    }

    fn until<R>(mut attempt: impl FnMut() -> Option<R>) -> R {
        let mut wait = Wait::default();
        loop {
            match attempt() {
                Some(result) => return result,
                None => wait.once(),
            }
        }
    }
}

/// Lets one thread at a time at a value.
pub(super) struct Lock<T> {
    value: Mutex<T>,
    waiting: AtomicU32,
}

impl<T> Lock<T> {
    pub(super) fn new(value: T) -> Lock<T> {
        Lock { value: Mutex::new(value), waiting: AtomicU32::new(0) }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        match self.value.try_lock() {
            Some(guard) => guard,
            None => self.lock_contended(),
        }
    }

    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = Wait::until(|| self.value.try_lock());
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Locks after everybody who waits already, for a thread that does nothing but lock and unlock.
    #[inline]
    pub(super) fn lock_last(&self) -> MutexGuard<'_, T> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            Wait::until(|| (self.waiting.load(Ordering::Relaxed) == 0).then_some(()));
        }
        self.lock()
    }
}

/// Lets many threads read a value, or one change it.
pub(super) struct Shared<T>(RwLock<T>);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Shared<T> {
        Shared(RwLock::new(value))
    }

    #[inline]
    pub(super) fn read(&self) -> RwLockReadGuard<'_, T> {
        match self.0.try_read() {
            Some(guard) => guard,
            None => Wait::until(|| self.0.try_read()),
        }
    }

    /// Waits for those who read, and lets nobody start to, so that it gets its turn.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, T> {
        let mut guard = Some(Wait::until(|| self.0.try_upgradeable_read()));
        Wait::until(|| match guard.take()?.try_upgrade() {
            Ok(guard) => Some(guard),
            Err(kept) => {
                guard = Some(kept);
                None
            }
        })
    }
}
