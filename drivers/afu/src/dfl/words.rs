//! What a list is read from.

use vfio_hal::bar::Width;
use vfio_hal::{Bar, DeviceError};

use crate::dfl::DflError;

/// 64-bit words at multiples of 8: a BAR, or its contents.
pub trait Words {
    /// Returns the number of the BAR, for errors.
    fn bar(&self) -> u8;

    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Returns whether there are no words.
    fn is_empty(&self) -> bool {
        self.len() < 8
    }

    /// Reads the word at `offset`, a multiple of 8, all of which is below [`len`](Self::len).
    fn word(&self, offset: u64) -> Result<u64, DeviceError>;

    /// Returns the address of the BAR on the bus, where that is known; a feature's registers may be named by it.
    fn address(&self) -> Option<u64> {
        None
    }

    /// Reads the word at `offset` after it has checked the offset.
    fn get(&self, what: &'static str, offset: u64) -> Result<u64, DflError> {
        if !offset.is_multiple_of(8) {
            return Err(DflError::Misaligned { bar: self.bar(), at: offset });
        }
        if self.len().checked_sub(8).is_none_or(|last| offset > last) {
            return Err(DflError::Overrun { bar: self.bar(), what, at: offset, len: self.len() });
        }
        Ok(self.word(offset)?)
    }
}

impl Words for Bar {
    fn bar(&self) -> u8 {
        self.index()
    }

    fn len(&self) -> u64 {
        Bar::len(self)
    }

    fn word(&self, offset: u64) -> Result<u64, DeviceError> {
        let word = self.read(offset, Width::W64)?;
        self.lost().check()?;
        Ok(word)
    }
}

/// A BAR together with its address on the bus.
pub(crate) struct Placed<'a>(pub(crate) &'a Bar, pub(crate) Option<u64>);

impl Words for Placed<'_> {
    fn bar(&self) -> u8 {
        self.0.index()
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn word(&self, offset: u64) -> Result<u64, DeviceError> {
        self.0.word(offset)
    }

    fn address(&self) -> Option<u64> {
        self.1
    }
}

/// Little-endian contents of BAR 0.
impl Words for [u8] {
    fn bar(&self) -> u8 {
        0
    }

    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn word(&self, offset: u64) -> Result<u64, DeviceError> {
        let out = DeviceError::OutOfBar { index: 0, offset, width: 8 };
        let at = usize::try_from(offset).map_err(|_| out)?;
        let bytes = self.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(out)?;
        Ok(u64::from_le_bytes(*bytes))
    }
}
