//! Time that a test owns.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use spin::Mutex;

use crate::clock::Clock;

/// A clock that starts at 0 and moves only when somebody waits or the test moves it. Clones share it.
///
/// The hook is called with the time after each question for the time and each wait, so it is the place to step
/// a device between two polls of a driver. It may use the clock itself: nested calls do not call it again.
#[derive(Clone, Default)]
pub struct VirtualClock(Arc<Inner>);

#[derive(Default)]
struct Inner {
    nanos: AtomicU64,
    /// Added by each question for the time, in nanoseconds.
    tick: AtomicU64,
    hook: Mutex<Option<Hook>>,
    in_hook: AtomicBool,
}

type Hook = Arc<dyn Fn(Duration) + Send + Sync>;

impl VirtualClock {
    /// Returns a clock at 0.
    pub fn new() -> VirtualClock {
        VirtualClock::default()
    }

    /// Calls `hook` from now on, instead of what was called before.
    pub fn hook(&self, hook: impl Fn(Duration) + Send + Sync + 'static) {
        *self.0.hook.lock() = Some(Arc::new(hook));
    }

    /// Moves by `tick` whenever somebody asks for the time, for code that looks at it without waiting.
    pub fn tick(&self, tick: Duration) {
        self.0.tick.store(nanos(tick), Ordering::Relaxed);
    }

    /// Moves forward without calling the hook.
    pub fn advance(&self, time: Duration) {
        // Saturates after 584 years.
        let _ = self
            .0
            .nanos
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(at.saturating_add(nanos(time))));
    }

    fn call_hook(&self) -> Duration {
        let now = Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed));
        if !self.0.in_hook.swap(true, Ordering::Acquire) {
            // Not called under the lock: it may set another hook.
            let hook = self.0.hook.lock().clone();
            let _leave = Leave(&self.0.in_hook);
            if let Some(hook) = hook {
                hook(now);
            }
        }
        now
    }
}

/// Leaves the hook, also when it panics: a failed assertion in it must not silence it for the rest of the test.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        self.advance(Duration::from_nanos(self.0.tick.load(Ordering::Relaxed)));
        self.call_hook()
    }

    fn wait(&self, time: Duration) {
        self.advance(time);
        self.call_hook();
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualClock")
            .field(&Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)))
            .finish()
    }
}
