//! The unicast addresses of a port, exactly matched (82599 datasheet 7.1.1.1.1, 8.2.3.7.8 to 8.2.3.7.10).
//!
//! The table has 128 entries; entry 0 is the port's own address, which is also what pause frames are sent from. An address
//! counts once its RAH has AV; writing RAH without it, as two well-known small drivers do when they set the address, makes
//! the port deaf.

use pmd_intel::filter::address_words;
use vfio_hal::pmd::{MacAddr, PortError};

use crate::hw::Hw;
use crate::regs::{MPSAR, RAH, RAL};

/// Entries of the table, on all chips of the family.
pub(super) const ENTRIES: usize = 128;

/// The pool that packets belong to as long as there is no virtualization.
const POOL: u32 = 1 << 0;

/// Writes one entry. It is not valid while it changes, so that no mix of two addresses matches, and AV comes last.
pub(super) fn write(hw: &mut Hw, entry: usize, mac: Option<MacAddr>) -> Result<(), PortError> {
    hw.regs.at::<RAH>(entry)?.write(RAH::default());
    let pools = if mac.is_some() { POOL } else { 0 };
    hw.regs.at::<MPSAR>(2 * entry)?.write(MPSAR::new(pools));
    hw.regs.at::<MPSAR>(2 * entry + 1)?.write(MPSAR::default());
    let (low, high) = address_words(mac.unwrap_or_default());
    hw.regs.at::<RAL>(entry)?.write(RAL::new(low));
    if mac.is_some() {
        hw.regs.at::<RAH>(entry)?.write(RAH::default().with_rah(high).with_av(true));
    }
    Ok(hw.check()?)
}
