//! Contents of buffers that can be made again when they are checked.

use core::fmt;

use vfio_hal::dma::{DmaError, Region};

use crate::accel::he::{Atomic, AtomicOperation};

/// Lines of pseudo-random bytes. The same seed makes the same lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
    /// Bytes of a line; a multiple of 8.
    line: usize,
}

/// The first difference that a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// In which buffer.
    pub buffer: &'static str,
    /// How many bytes from its start.
    pub offset: usize,
    /// The 64-bit word that was to be there.
    pub expected: u64,
    /// The one that is.
    pub found: u64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { buffer, offset, expected, found } = self;
        write!(f, "the {buffer} differs at byte {offset:#x}: {found:#018x} instead of {expected:#018x}")
    }
}

/// The most bytes of a line, with the widest bus.
const MAX_LINE: usize = 256;

impl Pattern {
    /// Returns the pattern of this seed in lines of `line` bytes, rounded to whole words of 8, at most 256.
    pub fn new(seed: u64, line: usize) -> Pattern {
        Pattern { seed, line: (line / 8 * 8).clamp(8, MAX_LINE) }
    }

    /// Returns the 64-bit word at `word` of line `line`.
    fn word(&self, line: u64, word: u64) -> u64 {
        // SplitMix64: a counter, mixed.
        let count = line.wrapping_mul(self.line as u64 / 8).wrapping_add(word).wrapping_add(1);
        let mut z = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Returns the first word of a line as it is before an atomic operation: every third matches what compare-and-swap
    /// compares with, the line's number.
    fn first(&self, line: u64, atomic: Option<Atomic>) -> u64 {
        let random = self.word(line, 0);
        match atomic {
            Some(Atomic { operation: AtomicOperation::CompareSwap, wide }) if line.is_multiple_of(3) => {
                if wide {
                    line
                } else {
                    random & !0xffff_ffff | line & 0xffff_ffff
                }
            }
            _ => random,
        }
    }

    fn line(&self, line: u64, atomic: Option<Atomic>, bytes: &mut [u8; MAX_LINE]) {
        let words = bytes.as_chunks_mut::<8>().0.iter_mut().take(self.line / 8);
        for (number, word) in (0..).zip(words) {
            let value = if number == 0 { self.first(line, atomic) } else { self.word(line, number) };
            *word = value.to_le_bytes();
        }
    }

    /// Fills the first `lines` lines of a region.
    pub fn fill(&self, region: &Region, lines: u64) -> Result<(), DmaError> {
        self.fill_for(region, lines, None)
    }

    pub(crate) fn fill_for(
        &self,
        region: &Region,
        lines: u64,
        atomic: Option<Atomic>,
    ) -> Result<(), DmaError> {
        let mut bytes = [0; MAX_LINE];
        for line in 0..lines {
            self.line(line, atomic, &mut bytes);
            let (bytes, _) = bytes.split_at(self.line);
            region.copy_in(line as usize * self.line, bytes)?;
        }
        Ok(())
    }

    /// Checks the first `lines` lines of a region, in each the first `width` bytes; the difference is said to be in `buffer`.
    pub fn check(
        &self,
        buffer: &'static str,
        region: &Region,
        lines: u64,
        width: usize,
    ) -> Result<Option<Mismatch>, DmaError> {
        self.check_lines(buffer, region, 0..lines, width)
    }

    pub(crate) fn check_lines(
        &self,
        buffer: &'static str,
        region: &Region,
        lines: impl IntoIterator<Item = u64>,
        width: usize,
    ) -> Result<Option<Mismatch>, DmaError> {
        let (mut wanted, mut found) = ([0; MAX_LINE], [0; MAX_LINE]);
        let width = width.min(self.line);
        for line in lines {
            self.line(line, None, &mut wanted);
            let (wanted, _) = wanted.split_at(width);
            let (found, _) = found.split_at_mut(width);
            let start = line as usize * self.line;
            region.copy_out(start, found)?;
            if wanted != found {
                return Ok(first_difference(buffer, start, wanted, found));
            }
        }
        Ok(None)
    }

    /// Checks both buffers after an atomic operation: the source has the new value, the destination the old one.
    pub(crate) fn check_atomic(
        &self,
        source: &Region,
        destination: &Region,
        lines: impl IntoIterator<Item = u64>,
        atomic: Atomic,
    ) -> Result<Option<Mismatch>, DmaError> {
        for line in lines {
            let (offset, old) = (line as usize * self.line, self.first(line, Some(atomic)));
            let (expected, found) = (atomic.applied(old, line), source.read_u64(offset)?);
            if expected != found {
                return Ok(Some(Mismatch { buffer: "source", offset, expected, found }));
            }
            let mask = if atomic.wide { u64::MAX } else { 0xffff_ffff };
            let (expected, found) = (old & mask, destination.read_u64(offset)? & mask);
            if expected != found {
                return Ok(Some(Mismatch { buffer: "destination", offset, expected, found }));
            }
        }
        Ok(None)
    }
}

fn first_difference(buffer: &'static str, start: usize, wanted: &[u8], found: &[u8]) -> Option<Mismatch> {
    let words = wanted.as_chunks::<8>().0.iter().zip(found.as_chunks::<8>().0).enumerate();
    let (index, (wanted, found)) = words.into_iter().find(|(_, (wanted, found))| wanted != found)?;
    let (expected, found) = (u64::from_le_bytes(*wanted), u64::from_le_bytes(*found));
    Some(Mismatch { buffer, offset: start + 8 * index, expected, found })
}
