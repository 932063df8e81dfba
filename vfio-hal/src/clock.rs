//! Time, given to whoever needs it, so that nothing in the core asks an operating system.
//!
//! [`Clock`] is what drivers wait and set deadlines with. With `std` there is [`MonotonicClock`]; a bare-metal
//! platform reads its own timer; tests and benches use [`testing::VirtualClock`](crate::testing::VirtualClock),
//! whose hook also steps a device between two polls. The burst functions never ask for the time.

use core::time::Duration;

/// A monotonic clock that can also wait.
pub trait Clock: Send + Sync {
    /// Returns the time since a fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// Waits for at least `time`. Called between two polls of a register, so an implementation may let
    /// others run.
    fn wait(&self, time: Duration);
}

/// A moment after which a poll gives up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Duration,
}

impl Deadline {
    /// Returns the deadline `time` from now.
    pub fn after(clock: &dyn Clock, time: Duration) -> Deadline {
        Deadline { at: clock.now().saturating_add(time) }
    }

    /// Returns whether the moment has come.
    pub fn passed(&self, clock: &dyn Clock) -> bool {
        clock.now() >= self.at
    }
}

/// The operating system's monotonic clock. Waits below 50 µs spin, longer ones sleep.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: std::time::Instant,
}

#[cfg(feature = "std")]
impl MonotonicClock {
    /// Returns a clock that starts at zero now.
    pub fn new() -> MonotonicClock {
        MonotonicClock { start: std::time::Instant::now() }
    }
}

#[cfg(feature = "std")]
impl Default for MonotonicClock {
    fn default() -> Self {
        MonotonicClock::new()
    }
}

#[cfg(feature = "std")]
impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&self, time: Duration) {
        // Below this, a sleep overshoots by more than it waits.
        const SPIN_BELOW: Duration = Duration::from_micros(50);
        if time >= SPIN_BELOW {
            return std::thread::sleep(time);
        }
        let end = self.now() + time;
        while self.now() < end {
            core::hint::spin_loop();
        }
    }
}
