//! The EEPROM's checksum (82599 datasheet 6.3.1.4 and chapter 6's section format).
//!
//! Software makes the words 0 to 3Fh and the words of the sections that 03h to 0Eh point to add up to BABAh. Each
//! section starts with its length, which is not added. Firmware's own module (0Fh) is left out; so are, from the
//! X540 on, the PHY's and the option ROM's (04h, 05h).

use vfio_hal::pmd::PortError;

use super::{Nvm, at};
use crate::hw::{Chip, Hw};

/// What everything adds up to.
const SUM: u16 = 0xbaba;
/// Words read at a time.
const CHUNK: usize = 64;

/// Checks the EEPROM's checksum.
///
/// [`EepromChecksum`](PortError::EepromChecksum) with the sum found; [`Invalid`](PortError::Invalid) if a section
/// leaves the EEPROM or sections overlap, which is damage that a sum could hide.
pub(crate) fn verify_checksum(hw: &Hw) -> Result<(), PortError> {
    let nvm = Nvm::open(hw)?;
    match sum(hw.model.chip, &nvm)? {
        SUM => Ok(()),
        found => Err(PortError::EepromChecksum { found }),
    }
}

fn sum(chip: Chip, nvm: &Nvm<'_>) -> Result<u16, PortError> {
    // The X550 has two more fixed words, and one more pointer in front.
    let (fixed, pointers) = match chip {
        Chip::I82599 | Chip::X540 => (at::CHECKSUM + 1, 0x03..at::FIRMWARE),
        Chip::X550 => (0x42, 0x02..at::FIRMWARE),
    };
    let mut walk = Walk { nvm, sum: 0, left: nvm.len() };
    walk.add(0, fixed)?;
    for pointer in pointers {
        if chip != Chip::I82599 && matches!(pointer, 0x04 | 0x05) {
            continue;
        }
        walk.section(chip, pointer)?;
    }
    Ok(walk.sum)
}

struct Walk<'a> {
    nvm: &'a Nvm<'a>,
    sum: u16,
    /// Words that can still be added: sections do not overlap, so all of them are no more than the EEPROM has.
    left: u32,
}

impl Walk<'_> {
    fn section(&mut self, chip: Chip, pointer: u32) -> Result<(), PortError> {
        let start = match self.nvm.word(pointer)? {
            0 | 0xffff => return Ok(()),
            start => u32::from(start),
        };
        // The X550's PCIe sections have no length word but a fixed length.
        match (chip, pointer) {
            (Chip::X550, 0x06) => return self.within(chip, start, 0x24),
            (Chip::X550, 0x07 | 0x08) => return self.within(chip, start, 8),
            _ => {}
        }
        if start >= self.nvm.len() {
            return outside(chip);
        }
        match self.nvm.word(start)? {
            0 | 0xffff => Ok(()),
            len => self.within(chip, start + 1, len.into()),
        }
    }

    fn within(&mut self, chip: Chip, first: u32, len: u32) -> Result<(), PortError> {
        if first + len > self.nvm.len() { outside(chip) } else { self.add(first, len) }
    }

    fn add(&mut self, first: u32, len: u32) -> Result<(), PortError> {
        self.left = self.left.checked_sub(len).ok_or(PortError::Invalid {
            what: "the EEPROM's sections overlap: the device's NVM is damaged",
        })?;
        let mut words = [0; CHUNK];
        let end = first + len;
        for chunk in (first..end).step_by(CHUNK) {
            let words = &mut words[..CHUNK.min((end - chunk) as usize)];
            self.nvm.read(chunk, words)?;
            self.sum = words.iter().fold(self.sum, |sum, word| sum.wrapping_add(*word));
        }
        Ok(())
    }
}

/// A section that leaves the EEPROM: from the X540 on it counts as absent, as in images that were made for larger
/// flashes; on the 82599 it is damage.
fn outside(chip: Chip) -> Result<(), PortError> {
    match chip {
        Chip::I82599 => Err(PortError::Invalid {
            what: "a section pointer of the EEPROM points outside of it: the device's NVM is damaged",
        }),
        Chip::X540 | Chip::X550 => Ok(()),
    }
}
