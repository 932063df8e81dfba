//! The redirection table (82599 datasheet 8.2.3.7.15).
//!
//! 128 entries of 4 bits, four to a register; on the X550 512 entries of 6 bits, of which RETA holds the first 128 and
//! ERETA the rest.

use alloc::vec::Vec;

use pmd_intel::rss::Table;
use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;

use crate::hw::{Chip, Hw};
use crate::regs::{ERETA, RETA};

/// Registers of RETA; ERETA's come after.
const RETA_WORDS: usize = 32;

/// Returns how many entries the table of a chip has.
pub(super) const fn len(chip: Chip) -> usize {
    match chip {
        Chip::I82599 | Chip::X540 => 128,
        Chip::X550 => 512,
    }
}

/// Returns the bits of an entry that mean something.
const fn mask(chip: Chip) -> u8 {
    match chip {
        Chip::I82599 | Chip::X540 => 0xf,
        Chip::X550 => 0x3f,
    }
}

/// Returns how many queues an entry can name.
pub(crate) const fn max_queues(chip: Chip) -> u16 {
    mask(chip) as u16 + 1
}

pub(super) fn write(hw: &mut Hw, table: &Table) -> Result<(), PortError> {
    for (index, word) in table.words().enumerate() {
        match index.checked_sub(RETA_WORDS) {
            None => hw.regs.at::<RETA>(index)?.write(RETA::new(word)),
            Some(index) => hw.regs.at::<ERETA>(index)?.write(ERETA::new(word)),
        }
    }
    Ok(hw.check()?)
}

/// Reads the table of the device.
pub(super) fn read(hw: &Hw) -> Result<Vec<u16>, DeviceError> {
    let chip = hw.model.chip;
    let mut entries = Vec::with_capacity(len(chip));
    for index in 0..len(chip) / 4 {
        let word = match index.checked_sub(RETA_WORDS) {
            None => hw.regs.at::<RETA>(index)?.read().bits(),
            Some(index) => hw.regs.at::<ERETA>(index)?.read().bits(),
        };
        entries.extend(word.to_le_bytes().map(|entry| u16::from(entry & mask(chip))));
    }
    hw.check()?;
    Ok(entries)
}
