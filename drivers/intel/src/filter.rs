//! Tables of receive filters, as far as they do not depend on where registers lie.
//!
//! [`Addresses`] is the list of a port's unicast addresses, by entry of the device's table; [`Bits`] a table of 4,096
//! bits: one for each VLAN, or for each value of a hash of multicast addresses. Both are the driver's copy; it writes to
//! the device what they say has changed.

use vfio_hal::pmd::{MacAddr, PortError};

/// The unicast addresses of a port: its own in entry 0, and up to `ADDED` others in the entries behind.
#[derive(Clone, Debug)]
pub struct Addresses<const ADDED: usize> {
    own: MacAddr,
    added: [Option<MacAddr>; ADDED],
    /// How many of `added` the device has room for.
    room: usize,
}

impl<const ADDED: usize> Addresses<ADDED> {
    /// Returns the table of a device with `entries` entries, with the port's own address in the first.
    pub fn new(own: MacAddr, entries: usize) -> Addresses<ADDED> {
        Addresses { own, added: [None; ADDED], room: entries.saturating_sub(1).min(ADDED) }
    }

    /// Returns the port's own address.
    pub fn own(&self) -> MacAddr {
        self.own
    }

    /// Returns all entries with what is in them.
    pub fn entries(&self) -> impl Iterator<Item = (usize, Option<MacAddr>)> {
        let added = self.added.iter().copied().take(self.room);
        core::iter::once(Some(self.own)).chain(added).enumerate()
    }

    /// Changes the port's own address once `write` has written it to its entry.
    pub fn replace_own(&mut self, mac: MacAddr, write: impl WriteEntry) -> Result<(), PortError> {
        check(mac)?;
        write(0, Some(mac))?;
        self.own = mac;
        Ok(())
    }

    /// Adds an address once `write` has written it; nothing changes if it was added before. One that equals the own
    /// address takes an entry too: it stays when the own one changes.
    pub fn add(&mut self, mac: MacAddr, write: impl WriteEntry) -> Result<(), PortError> {
        check(mac)?;
        if self.added.contains(&Some(mac)) {
            return Ok(());
        }
        let full = PortError::TableFull { what: "unicast addresses", capacity: self.room as u32 + 1 };
        let free = self.added.iter().take(self.room).position(Option::is_none).ok_or(full)?;
        self.set(free, Some(mac), write)
    }

    /// Removes an address that was added, once `write` has emptied its entry.
    pub fn remove(&mut self, mac: MacAddr, write: impl WriteEntry) -> Result<(), PortError> {
        let missing =
            PortError::Invalid { what: "that address was not added to the port, so it cannot be removed" };
        let index = self.added.iter().position(|added| *added == Some(mac)).ok_or(missing)?;
        self.set(index, None, write)
    }

    fn set(&mut self, index: usize, mac: Option<MacAddr>, write: impl WriteEntry) -> Result<(), PortError> {
        write(index + 1, mac)?;
        if let Some(added) = self.added.get_mut(index) {
            *added = mac;
        }
        Ok(())
    }
}

/// Writes an entry of the device's table.
pub trait WriteEntry: FnOnce(usize, Option<MacAddr>) -> Result<(), PortError> {}

impl<F: FnOnce(usize, Option<MacAddr>) -> Result<(), PortError>> WriteEntry for F {}

fn check(mac: MacAddr) -> Result<(), PortError> {
    if mac.is_valid_unicast() {
        return Ok(());
    }
    Err(PortError::Invalid { what: "a port's address is one station's: no group, not all zero" })
}

/// Returns an address as receive address registers hold it: bytes 0 to 3, and 4 and 5.
pub fn address_words(MacAddr([a, b, c, d, e, f]): MacAddr) -> (u32, u32) {
    (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]).into())
}

/// A table of 4,096 bits, 32 to a register.
#[derive(Clone, Debug)]
pub struct Bits([u32; 128]);

impl Bits {
    /// Returns a table of zeros.
    pub const NONE: Bits = Bits([0; 128]);

    /// Returns the words for the device's registers.
    pub fn words(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.0.iter().copied().enumerate()
    }

    /// Returns whether any bit is set.
    pub fn any(&self) -> bool {
        self.0.iter().any(|word| *word != 0)
    }

    /// Sets the bit of VLAN `id`, or clears it; returns the word that changed.
    pub fn set(&mut self, id: u16, on: bool) -> Result<(usize, u32), PortError> {
        let (index, bit) = (usize::from(id >> 5), 1 << (id & 31));
        let word = self.0.get_mut(index).ok_or(PortError::OutOfRange {
            what: "the VLAN id",
            value: id.into(),
            min: 0,
            max: 4095,
        })?;
        *word = if on { *word | bit } else { *word & !bit };
        Ok((index, *word))
    }

    /// Returns the table that lets packets to `groups` pass: bits 47:36 of an address, counted from the first on the wire,
    /// choose a bit (82599 datasheet 7.1.1.1.3, MCSTCTRL.MO 0; 82576 datasheet 7.1.2, RCTL.MO 0). Two groups with the same
    /// bits let each other's packets pass.
    pub fn of_groups(groups: &[MacAddr]) -> Result<Bits, PortError> {
        let mut table = Bits::NONE;
        for group in groups {
            if !group.is_multicast() {
                return Err(PortError::Invalid {
                    what: "a multicast group's address has the lowest bit of its first byte set",
                });
            }
            let MacAddr([.., low, high]) = *group;
            let hash = u16::from_le_bytes([low, high]) >> 4;
            table.set(hash, true)?;
        }
        Ok(table)
    }

    /// Becomes `new`; `write` is given each word that changes.
    pub fn replace(
        &mut self,
        new: Bits,
        mut write: impl FnMut(usize, u32) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        for (index, (old, new)) in self.0.iter_mut().zip(new.0).enumerate() {
            if *old != new {
                write(index, new)?;
                *old = new;
            }
        }
        Ok(())
    }
}
