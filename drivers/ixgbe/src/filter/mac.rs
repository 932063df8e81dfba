//! The unicast addresses of a port, exactly matched (82599 datasheet 7.1.1.1.1, 8.2.3.7.8 to 8.2.3.7.10).
//!
//! [`Addresses`] is the table of 128 entries; entry 0 is the port's own address, which is also what pause frames are
//! sent from. An address counts once its RAH has AV; writing RAH without it, as two well-known small drivers do when
//! they set the address, makes the port deaf.

use vfio_hal::pmd::{MacAddr, PortError};

use crate::hw::Hw;
use crate::regs::{MPSAR, RAH, RAL};

/// Entries of the table, on all chips of the family.
const ENTRIES: usize = 128;

/// The pool that packets belong to as long as there is no virtualization.
const POOL: u32 = 1 << 0;

pub(super) struct Addresses {
    /// By entry; the first is always there.
    own: MacAddr,
    added: [Option<MacAddr>; ENTRIES - 1],
}

impl Addresses {
    pub(super) fn new(own: MacAddr) -> Addresses {
        Addresses { own, added: [None; ENTRIES - 1] }
    }

    pub(super) fn own(&self) -> MacAddr {
        self.own
    }

    pub(super) fn apply(&self, hw: &mut Hw) -> Result<(), PortError> {
        let added = (1..).zip(self.added);
        core::iter::once((0, Some(self.own))).chain(added).try_for_each(|(entry, mac)| write(hw, entry, mac))
    }

    pub(super) fn replace_own(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        check(mac)?;
        write(hw, 0, Some(mac))?;
        self.own = mac;
        Ok(())
    }

    pub(super) fn add(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        check(mac)?;
        if self.added.contains(&Some(mac)) {
            return Ok(());
        }
        // One that equals the own address takes an entry too: it stays when the own one changes.
        let full = PortError::TableFull { what: "unicast addresses", capacity: ENTRIES as u32 };
        let free = self.added.iter().position(Option::is_none).ok_or(full)?;
        self.set(hw, free, Some(mac))
    }

    pub(super) fn remove(&mut self, hw: &mut Hw, mac: MacAddr) -> Result<(), PortError> {
        let missing =
            PortError::Invalid { what: "that address was not added to the port, so it cannot be removed" };
        let index = self.added.iter().position(|added| *added == Some(mac)).ok_or(missing)?;
        self.set(hw, index, None)
    }

    fn set(&mut self, hw: &mut Hw, index: usize, mac: Option<MacAddr>) -> Result<(), PortError> {
        write(hw, index + 1, mac)?;
        self.added[index] = mac;
        Ok(())
    }
}

fn check(mac: MacAddr) -> Result<(), PortError> {
    if mac.is_valid_unicast() {
        return Ok(());
    }
    Err(PortError::Invalid { what: "a port's address is one station's: no group, not all zero" })
}

/// Writes one entry. It is not valid while it changes, so that no mix of two addresses matches, and AV comes last.
fn write(hw: &mut Hw, entry: usize, mac: Option<MacAddr>) -> Result<(), PortError> {
    hw.regs.at::<RAH>(entry)?.write(RAH::default());
    let pools = if mac.is_some() { POOL } else { 0 };
    hw.regs.at::<MPSAR>(2 * entry)?.write(MPSAR::new(pools));
    hw.regs.at::<MPSAR>(2 * entry + 1)?.write(MPSAR::default());
    let MacAddr([a, b, c, d, e, f]) = mac.unwrap_or_default();
    hw.regs.at::<RAL>(entry)?.write(RAL::new(u32::from_le_bytes([a, b, c, d])));
    if mac.is_some() {
        let high = u16::from_le_bytes([e, f]).into();
        hw.regs.at::<RAH>(entry)?.write(RAH::default().with_rah(high).with_av(true));
    }
    Ok(hw.check()?)
}
