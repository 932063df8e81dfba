//! What the loopback accelerators have in common.
//!
//! - [`Mode`] and [`Buffers`]: what is to be done, and with what.
//! - [`Report`]: what the accelerator counted, read from its status block in memory.
//! - [`Pattern`]: contents of buffers that can be checked afterwards without a copy.

mod pattern;
mod report;

use vfio_hal::dma::Region;

use crate::AfuError;

pub use pattern::{Mismatch, Pattern};
pub use report::Report;

/// What a test does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Copies the source to the destination.
    #[default]
    Loopback,
    /// Reads the source.
    Read,
    /// Writes the destination.
    Write,
    /// Reads the source and writes the destination, at the same time.
    Throughput,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 4] = [Mode::Loopback, Mode::Read, Mode::Write, Mode::Throughput];

    /// Returns whether the source is read.
    pub const fn reads(self) -> bool {
        !matches!(self, Mode::Write)
    }

    /// Returns whether the destination is written.
    pub const fn writes(self) -> bool {
        !matches!(self, Mode::Read)
    }

    /// Returns the name that the reference tools have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Loopback => "lpbk",
            Mode::Read => "read",
            Mode::Write => "write",
            Mode::Throughput => "trput",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Mode::Loopback => 0,
            Mode::Read => 1,
            Mode::Write => 2,
            Mode::Throughput => 3,
        }
    }
}

/// The buffers of a test. The source may be mapped for the device to read only, the destination to write only.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<'a> {
    /// What is read.
    pub source: &'a Region,
    /// What is written.
    pub destination: &'a Region,
}

impl Buffers<'_> {
    /// Checks that both are large enough, and that the device may use them so.
    pub(crate) fn check(
        &self,
        bytes: u64,
        read: bool,
        write_source: bool,
        write: bool,
    ) -> Result<(), AfuError> {
        for (what, region) in [("source", self.source), ("destination", self.destination)] {
            let have = region.len() as u64;
            if have < bytes {
                return Err(AfuError::BufferTooSmall { what, have, need: bytes });
            }
        }
        if read && !self.source.access().reads() {
            return Err(AfuError::BufferAccess { what: "source", access: "read" });
        }
        if write_source && !self.source.access().writes() {
            return Err(AfuError::BufferAccess { what: "source", access: "write" });
        }
        if write && !self.destination.access().writes() {
            return Err(AfuError::BufferAccess { what: "destination", access: "write" });
        }
        Ok(())
    }
}
