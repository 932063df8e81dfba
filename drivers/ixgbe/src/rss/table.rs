//! The redirection table (82599 datasheet 8.2.3.7.15).
//!
//! 128 entries of 4 bits, four to a register; on the X550 512 entries of 6 bits, of which RETA holds the first 128 and
//! ERETA the rest.

use alloc::vec::Vec;

use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;

use super::config::Redirection;
use crate::hw::{Chip, Hw};
use crate::regs::{ERETA, RETA};

/// Registers of RETA; ERETA's come after.
const RETA_WORDS: usize = 32;

/// Returns how many entries the table of a chip has.
const fn len(chip: Chip) -> usize {
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

#[derive(Clone, Debug)]
pub(super) struct Table {
    /// A multiple of four.
    entries: Vec<u8>,
    /// Receive queues of the port.
    queues: u16,
}

impl Table {
    pub(super) fn new(chip: Chip, redirection: &Redirection, queues: u16) -> Result<Table, PortError> {
        let len = len(chip);
        let mut table = Table { entries: alloc::vec![0; len], queues };
        match redirection {
            Redirection::Even => {
                // At most 64 queues, the caller has checked.
                let turn = (0..queues).map(|queue| queue as u8).cycle();
                table.entries.iter_mut().zip(turn).for_each(|(entry, queue)| *entry = queue);
            }
            Redirection::Table(entries) if entries.len() != len => {
                let (value, len) = (entries.len() as u64, len as u64);
                let what = "the length of the RSS redirection table";
                return Err(PortError::OutOfRange { what, value, min: len, max: len });
            }
            Redirection::Table(entries) => table.set(0, entries)?,
        }
        Ok(table)
    }

    /// Changes entries from `first` on, all or none.
    pub(super) fn set(&mut self, first: u16, queues: &[u16]) -> Result<(), PortError> {
        let (first, len) = (usize::from(first), self.entries.len());
        let beyond = PortError::OutOfRange {
            what: "the last entry to change in the RSS redirection table",
            value: (first + queues.len()).saturating_sub(1) as u64,
            min: 0,
            max: len as u64 - 1,
        };
        let entries = self.entries.get_mut(first..first + queues.len()).ok_or(beyond)?;
        if let Some(queue) = queues.iter().find(|queue| **queue >= self.queues) {
            return Err(PortError::OutOfRange {
                what: "a queue in the RSS redirection table",
                value: (*queue).into(),
                min: 0,
                max: u64::from(self.queues) - 1,
            });
        }
        entries.iter_mut().zip(queues).for_each(|(entry, queue)| *entry = *queue as u8);
        Ok(())
    }

    pub(super) fn write(&self, hw: &mut Hw) -> Result<(), PortError> {
        for (index, entries) in self.entries.as_chunks::<4>().0.iter().enumerate() {
            let word = u32::from_le_bytes(*entries);
            match index.checked_sub(RETA_WORDS) {
                None => hw.regs.at::<RETA>(index)?.write(RETA::new(word)),
                Some(index) => hw.regs.at::<ERETA>(index)?.write(ERETA::new(word)),
            }
        }
        Ok(hw.check()?)
    }
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
