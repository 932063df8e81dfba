//! Live rates of a long run, to standard error.

use std::time::{Duration, Instant};

use crate::note;

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Counts lines, and tells their rate now and then.
pub(super) struct Rates {
    start: Instant,
    last: Instant,
    seen: (u64, u64),
    line_bytes: u64,
}

impl Rates {
    pub(super) fn new(line_bytes: u64) -> Rates {
        let now = Instant::now();
        Rates { start: now, last: now, seen: (0, 0), line_bytes }
    }

    /// Returns how long it has been.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns whether a line is due.
    pub(super) fn due(&self) -> bool {
        self.last.elapsed() >= EVERY
    }

    /// Tells the rates of lines read and written since the last time. The counters have 32 bits.
    pub(super) fn tell(&mut self, reads: u64, writes: u64) {
        let (now, (old_reads, old_writes)) = (Instant::now(), self.seen);
        let seconds = (now - self.last).as_secs_f64();
        let rate = |new: u64, old: u64| {
            let lines = (new as u32).wrapping_sub(old as u32);
            f64::from(lines) * self.line_bytes as f64 / seconds / 1e9
        };
        let (read, written) = (rate(reads, old_reads), rate(writes, old_writes));
        note!("{:4.0} s: {read:.2} GB/s read, {written:.2} GB/s written", self.elapsed().as_secs_f64());
        (self.last, self.seen) = (now, (reads, writes));
    }
}
