//! The redirection table: which queue each value of the hash stands for, four entries of 8 bits to a register.

use alloc::vec::Vec;

use vfio_hal::pmd::PortError;

use super::config::Redirection;

/// A redirection table of a port with some receive queues.
#[derive(Clone, Debug)]
pub struct Table {
    /// A multiple of four.
    entries: Vec<u8>,
    /// Receive queues of the port.
    queues: u16,
}

impl Table {
    /// Returns a table of `len` entries, a multiple of four, for `queues` receive queues, at most 256.
    pub fn new(len: usize, redirection: &Redirection, queues: u16) -> Result<Table, PortError> {
        let mut table = Table { entries: alloc::vec![0; len], queues };
        match redirection {
            Redirection::Even => {
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
    pub fn set(&mut self, first: u16, queues: &[u16]) -> Result<(), PortError> {
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

    /// Returns the words for the device's registers, the first entry lowest.
    pub fn words(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.as_chunks::<4>().0.iter().map(|entries| u32::from_le_bytes(*entries))
    }
}
