//! The multicast groups of a port, matched by 12 bits of the address (82599 datasheet 7.1.1.1.3, 8.2.3.7.7).
//!
//! [`Groups`] is a copy of the table of 4,096 bits. There is no limit to the number of groups; two groups with the
//! same bits let each other's packets pass, so who must be sure looks at the address.

use vfio_hal::pmd::{MacAddr, PortError};

use crate::hw::Hw;
use crate::regs::{MCSTCTRL, MTA};

/// MCSTCTRL.MO: the table is indexed by bits 47:36 of an address.
const BITS_47_36: u32 = 0;

pub(super) struct Groups {
    table: [u32; 128],
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups { table: [0; 128] }
    }

    pub(super) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        for (index, word) in self.table.iter().enumerate() {
            hw.regs.at::<MTA>(index)?.write(MTA::new(*word));
        }
        self.write_control(hw)
    }

    /// Replaces the list. Words that stay the same are not written.
    pub(super) fn replace(&mut self, hw: &mut Hw, groups: &[MacAddr]) -> Result<(), PortError> {
        if !groups.iter().all(|group| group.is_multicast()) {
            return Err(PortError::Invalid {
                what: "a multicast group's address has the lowest bit of its first byte set",
            });
        }
        let mut table = [0u32; 128];
        for group in groups {
            let hash = hash(*group);
            table[hash >> 5] |= 1 << (hash & 31);
        }
        for (index, (old, new)) in self.table.iter_mut().zip(table).enumerate() {
            if *old != new {
                hw.regs.at::<MTA>(index)?.write(MTA::new(new));
                *old = new;
            }
        }
        self.write_control(hw)
    }

    fn write_control(&self, hw: &Hw) -> Result<(), PortError> {
        let used = self.table.iter().any(|word| *word != 0);
        hw.regs.write(MCSTCTRL::default().with_mo(BITS_47_36).with_mfe(used));
        Ok(hw.check()?)
    }
}

/// Returns bits 47:36 of an address, counted from the first bit on the wire.
fn hash(MacAddr([.., low, high]): MacAddr) -> usize {
    usize::from(u16::from_le_bytes([low, high]) >> 4)
}
