//! The multicast groups of a port, matched by 12 bits of the address (82599 datasheet 7.1.1.1.3, 8.2.3.7.7).
//!
//! There is no limit to the number of groups; two groups with the same bits let each other's packets pass, so who must be
//! sure looks at the address.

use pmd_intel::filter::Bits;
use vfio_hal::pmd::{MacAddr, PortError};

use crate::hw::Hw;
use crate::regs::{MCSTCTRL, MTA};

/// MCSTCTRL.MO: the table is indexed by bits 47:36 of an address.
const BITS_47_36: u32 = 0;

pub(super) fn apply(hw: &mut Hw, groups: &Bits) -> Result<(), PortError> {
    for (index, word) in groups.words() {
        hw.regs.at::<MTA>(index)?.write(MTA::new(word));
    }
    write_control(hw, groups)
}

/// Replaces the list. Words that stay the same are not written.
pub(super) fn replace(hw: &mut Hw, old: &mut Bits, groups: &[MacAddr]) -> Result<(), PortError> {
    old.replace(Bits::of_groups(groups)?, |index, word| {
        hw.regs.at::<MTA>(index)?.write(MTA::new(word));
        Ok(())
    })?;
    write_control(hw, old)
}

fn write_control(hw: &Hw, groups: &Bits) -> Result<(), PortError> {
    hw.regs.write(MCSTCTRL::default().with_mo(BITS_47_36).with_mfe(groups.any()));
    Ok(hw.check()?)
}
