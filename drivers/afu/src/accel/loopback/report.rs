//! What an accelerator counted.

use super::Mode;

/// The counts of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was done.
    pub mode: Mode,
    /// Bytes of a line.
    pub line_bytes: u64,
    /// Lines read.
    pub reads: u64,
    /// Lines written.
    pub writes: u64,
    /// Clocks it took.
    pub clocks: u64,
    /// Clocks before the first line.
    pub start_overhead: u32,
    /// Clocks after the last line.
    pub end_overhead: u32,
    /// The accelerator's clock, where it tells.
    pub mhz: Option<u32>,
}

impl Report {
    /// Returns the bytes that were moved: for a loopback, those that were copied, once; otherwise what was read and what was
    /// written.
    pub fn bytes(&self) -> u64 {
        let lines = match self.mode {
            Mode::Loopback => self.reads,
            _ => self.reads.saturating_add(self.writes),
        };
        lines.saturating_mul(self.line_bytes)
    }

    /// Returns the seconds that the accelerator needed by its own clock of `mhz`.
    pub fn seconds(&self, mhz: u32) -> f64 {
        self.clocks as f64 / (f64::from(mhz.max(1)) * 1e6)
    }

    /// Returns the bandwidth in GB/s (10^9 bytes a second) by the accelerator's own clock of `mhz`; 0 without clocks.
    pub fn bandwidth(&self, mhz: u32) -> f64 {
        if self.clocks == 0 { 0.0 } else { self.bytes() as f64 / self.seconds(mhz) / 1e9 }
    }
}
