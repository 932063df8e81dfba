//! The EEPROM (82599 datasheet chapter 6, 8.2.3.2).
//!
//! [`Nvm`] reads words: through EERD, on the X550 through firmware. [`verify_checksum`], [`permanent_mac`],
//! [`part_number`] and [`version`] are what drivers and tools want of them, [`dump`] is everything.
//!
//! Words are numbered from 0; pointers are word numbers too. What is in the EEPROM is not trusted: a pointer or
//! length that leaves it is an answer of its own, every walk is bounded in words and in time. Below are
//! `semaphore` and [`Hw`]; `link` finds the set-up of modules here.

mod checksum;
mod hostif;
mod identity;

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use vfio_hal::DeviceError;
use vfio_hal::clock::Deadline;
use vfio_hal::pmd::PortError;

use crate::hw::{Chip, Hw};
use crate::regs::{EEC, EERD};
use crate::semaphore::{Held, Resource};

pub(crate) use checksum::verify_checksum;
pub use identity::{NvmVersion, OptionRom};
pub(crate) use identity::{part_number, permanent_mac, version};

/// Words with a fixed place (6.2).
pub(crate) mod at {
    /// Points to the set-up of the first port's core; the second's follows.
    pub(crate) const CORE: u32 = 0x09;
    /// Points to the firmware module.
    pub(crate) const FIRMWARE: u32 = 0x0f;
    /// The part number or, after a guard, a pointer to it.
    pub(crate) const PART_NUMBER: u32 = 0x15;
    /// Points to the option ROM's version.
    pub(crate) const OPTION_ROM: u32 = 0x17;
    /// Points to the list of what each kind of module needs written to the analog core.
    pub(crate) const MODULE_SETUP: u32 = 0x2b;
    /// Device capabilities.
    pub(crate) const CAPABILITIES: u32 = 0x2c;
    /// The image's number, two words.
    pub(crate) const TRACK_ID: u32 = 0x2d;
    /// What makes the sum right.
    pub(crate) const CHECKSUM: u32 = 0x3f;
}

/// Device capabilities, word 2Ch: the board keeps an empty cage from picking up its own signal.
const NO_CROSSTALK: u16 = 1 << 7;

/// Returns whether a link may be reported up by crosstalk into an empty cage (specification update, software
/// clarification 6).
pub(crate) fn suffers_crosstalk(hw: &Hw) -> Result<bool, PortError> {
    Ok(Nvm::open(hw)?.word(at::CAPABILITIES)? & NO_CROSSTALK == 0)
}

/// Reads all words.
pub(crate) fn dump(hw: &Hw) -> Result<Vec<u16>, PortError> {
    let nvm = Nvm::open(hw)?;
    let mut words = vec![0; nvm.len() as usize];
    nvm.read(0, &mut words)?;
    Ok(words)
}

/// The EEPROM, open to read. On chips where others read it too, it is held meanwhile.
pub(crate) struct Nvm<'a> {
    hw: &'a Hw,
    len: u32,
    deadline: Deadline,
    _held: Option<Held<'a>>,
}

impl<'a> Nvm<'a> {
    /// Longest time from opening to the last word, for all of it: 16,384 words take half a second.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Waits for the automatic read after a reset, and opens the EEPROM.
    ///
    /// An 82599 without an EEPROM, or with a blank one, is [`Unsupported`](PortError::Unsupported): nothing has
    /// given it an address or told it what it is soldered to. From the X540 on, words live in flash behind a
    /// shadow RAM, and EEC.PRES says nothing.
    pub(crate) fn open(hw: &'a Hw) -> Result<Nvm<'a>, PortError> {
        let eec = hw
            .poll("EEPROM auto-read (EEC.ARD)", 100)
            .register(hw.regs.single(), |eec: EEC| eec.auto_rd())?;
        if hw.model.chip == Chip::I82599 && !eec.pres() {
            return Err(PortError::Unsupported {
                what: "reading its EEPROM: it has none, or a blank one (EEC.PRES is 0), and must be programmed first",
            });
        }
        // EERD has 14 address bits; pointers have 16.
        let most = if hw.model.chip == Chip::X550 { 1 << 16 } else { 1 << 14 };
        let held = match hw.model.chip {
            // EERD is arbitrated by hardware.
            Chip::I82599 => None,
            Chip::X540 => Some(Held::take(hw, Resource::Nvm)?),
            Chip::X550 => Some(Held::take(hw, Resource::HostInterface)?),
        };
        Ok(Nvm {
            hw,
            len: (1 << (6 + eec.size())).min(most),
            deadline: Deadline::after(&*hw.clock, Nvm::PATIENCE),
            _held: held,
        })
    }

    /// Returns the size in words.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Reads word `at`.
    pub(crate) fn word(&self, at: u32) -> Result<u16, PortError> {
        let mut word = [0];
        self.read(at, &mut word)?;
        Ok(word[0])
    }

    /// Reads the pointer in word `at`. `None` if it points nowhere: 0, all ones, or beyond the end.
    pub(crate) fn pointer(&self, at: u32) -> Result<Option<u32>, PortError> {
        Ok(match self.word(at)? {
            0 | 0xffff => None,
            target => Some(u32::from(target)).filter(|&target| target < self.len),
        })
    }

    /// Fills `words` from word `first` on.
    pub(crate) fn read(&self, first: u32, words: &mut [u16]) -> Result<(), PortError> {
        let end = u64::from(first) + words.len() as u64;
        if end > self.len.into() {
            let max = u64::from(self.len) - 1;
            return Err(PortError::OutOfRange {
                what: "the EEPROM word to read",
                value: end - 1,
                min: 0,
                max,
            });
        }
        match self.hw.model.chip {
            Chip::I82599 | Chip::X540 => {
                for (word, at) in words.iter_mut().zip(first..) {
                    self.in_time()?;
                    *word = self.eerd(at)?;
                }
            }
            Chip::X550 => {
                for (chunk, at) in
                    words.chunks_mut(hostif::MOST_WORDS).zip((first..).step_by(hostif::MOST_WORDS))
                {
                    self.in_time()?;
                    hostif::read_shadow_ram(self.hw, at, chunk)?;
                }
            }
        }
        Ok(())
    }

    fn eerd(&self, at: u32) -> Result<u16, DeviceError> {
        let hw = self.hw;
        hw.regs.write(EERD::default().with_start(true).with_addr(at));
        let eerd =
            hw.poll("EEPROM read (EERD.DONE)", 500).register(hw.regs.single(), |eerd: EERD| eerd.done())?;
        Ok(eerd.data() as u16)
    }

    fn in_time(&self) -> Result<(), DeviceError> {
        if self.deadline.passed(&*self.hw.clock) {
            let millis = Nvm::PATIENCE.as_millis() as u32;
            return Err(DeviceError::Timeout { what: "reading the EEPROM", millis });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
