//! Sparing system calls that would find nothing.
//!
//! What it does: a model polls its wire millions of times a second. After a poll that found nothing, the next ones
//! are skipped: 1, then 2, 4, … up to 64, but never for longer than 20 µs, which is less than the kernel takes to
//! wake a sleeper. The first poll that finds something ends it.
//! Key types: [`Backoff`].
//! Neighbours: both links in the kernel, for each direction; the deterministic links have none.

use crate::Nanos;

const MOST_SKIPS: u32 = 64;
const LONGEST: Nanos = 20_000;

#[derive(Default)]
pub(super) struct Backoff {
    step: u32,
    left: u32,
    until: Nanos,
}

impl Backoff {
    /// Whether to skip this poll. Counted as well as timed, so that neither a clock that stands still nor polls that
    /// come slowly hold it up.
    pub(super) fn skips(&mut self, now: Nanos) -> bool {
        if self.left == 0 || now >= self.until {
            return false;
        }
        self.left -= 1;
        true
    }

    /// A poll found nothing.
    pub(super) fn nothing(&mut self, now: Nanos) {
        self.step = (self.step * 2).clamp(1, MOST_SKIPS);
        self.left = self.step;
        self.until = now.saturating_add(LONGEST);
    }

    /// A poll found something.
    pub(super) fn something(&mut self) {
        *self = Backoff::default();
    }
}

/// When to ask the kernel for the carrier again: often enough to see a cable pulled, seldom enough to be free.
#[derive(Default)]
pub(super) struct StatusCache {
    asked: Option<Nanos>,
    calls: u32,
    pub(super) up: bool,
}

impl StatusCache {
    const PERIOD: Nanos = 20_000_000;
    const CALLS: u32 = 1_000;

    /// Whether what is known is old. `now` is the last time the link was told.
    pub(super) fn is_old(&mut self, now: Nanos) -> bool {
        self.calls += 1;
        let old = self.calls >= Self::CALLS
            || self.asked.is_none_or(|asked| now.saturating_sub(asked) >= Self::PERIOD || now < asked);
        if old {
            self.calls = 0;
            self.asked = Some(now);
        }
        old
    }

    /// The kernel said by other means that the carrier changed.
    pub(super) fn forget(&mut self) {
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls out of 1,000 that reach the kernel when it has nothing.
    fn polls(tick: Nanos) -> usize {
        let mut backoff = Backoff::default();
        (0..1_000u64)
            .filter(|i| {
                let polled = !backoff.skips(i * tick);
                if polled {
                    backoff.nothing(i * tick);
                }
                polled
            })
            .count()
    }

    #[test]
    fn fast_polls_are_spared_and_slow_ones_are_not() {
        assert!(polls(0) < 25, "{}", polls(0));
        assert!(polls(200) < 25, "{}", polls(200));
        assert_eq!(polls(LONGEST), 1_000);
    }

    #[test]
    fn something_ends_it() {
        let mut backoff = Backoff::default();
        (0..10).for_each(|_| backoff.nothing(0));
        assert!(backoff.skips(0));
        backoff.something();
        assert!(!backoff.skips(0));
    }

    #[test]
    fn status_is_asked_by_time_and_by_calls() {
        let mut cache = StatusCache::default();
        assert!(cache.is_old(5));
        assert!(!cache.is_old(6));
        assert!(cache.is_old(5 + StatusCache::PERIOD));
        assert!(!cache.is_old(6 + StatusCache::PERIOD));
        cache.forget();
        assert!(cache.is_old(6 + StatusCache::PERIOD));
        assert_eq!(
            (0..10_000).filter(|_| cache.is_old(0)).count(),
            10,
            "the clock went back once, then stands still"
        );
    }
}
