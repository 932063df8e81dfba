//! What tools want to know of a card and its module: versions, part number, memory dumps, what the cable is.
//!
//! [`Inspect`] is borrowed from a port in any state; nothing in it disturbs traffic, except for the laser. It only
//! puts a public face on `eeprom`, `phy` and `link`.

use alloc::string::String;
use alloc::vec::Vec;

use vfio_hal::pmd::PortError;

use crate::eeprom::{self, NvmVersion};
use crate::hw::{Hw, Media};
use crate::phy::mdio::{Negotiation, Phy};
use crate::phy::{self, Module};
use crate::{link, port::Configured};

/// A look at the card.
pub struct Inspect<'a> {
    hw: &'a mut Hw,
}

impl<'a> Inspect<'a> {
    pub(crate) fn new(hw: &'a mut Hw) -> Inspect<'a> {
        Inspect { hw }
    }

    /// Reads the versions of what is in the EEPROM: `ethtool -i`'s firmware version.
    pub fn nvm_version(&self) -> Result<NvmVersion, PortError> {
        eeprom::version(self.hw)
    }

    /// Reads the board's part number (PBA), such as `E66560-002`; `None` if the EEPROM has none that can be read.
    pub fn part_number(&self) -> Result<Option<String>, PortError> {
        eeprom::part_number(self.hw)
    }

    /// Reads all words of the EEPROM, as `ethtool -e` does. Half a second on real hardware.
    pub fn nvm(&self) -> Result<Vec<u16>, PortError> {
        eeprom::dump(self.hw)
    }

    /// Finds out which module is in the cage. An empty one takes 400 ms: so long may a module start up.
    ///
    /// # Errors
    /// [`PortError::Module`] if there is one that this port cannot use.
    pub fn module(&mut self) -> Result<Module, PortError> {
        phy::identify(self.hw)
    }

    /// Reads the module's memory as `ethtool -m` does: 256 bytes of A0h and, if it has diagnostics, 256 of A2h
    /// (SFF-8472).
    ///
    /// # Errors
    /// [`PortError::Module`] if there is none, or it does not answer; [`PortError::Unsupported`] without a cage.
    pub fn module_eeprom(&mut self) -> Result<Vec<u8>, PortError> {
        phy::module_eeprom(self.hw)
    }

    /// Reads what the copper PHY has negotiated.
    ///
    /// # Errors
    /// [`PortError::Unsupported`] for other media.
    pub fn negotiation(&self) -> Result<Negotiation, PortError> {
        if self.hw.model.media != Media::Copper {
            return Err(PortError::Unsupported { what: "asking a copper PHY: the port has none" });
        }
        Phy::find(self.hw)?.negotiation()
    }

    /// Switches the module's laser on or off; off, the partner loses its link. Does nothing for other media, or while
    /// management firmware needs the link.
    pub fn set_laser(&mut self, on: bool) -> Result<(), PortError> {
        let result = if on { link::enable_laser(self.hw) } else { link::disable_laser(self.hw) };
        Ok(result?)
    }

    /// Switches the laser off and on again: the partner starts over with its link. Takes 100 ms.
    pub fn flap_laser(&mut self) -> Result<(), PortError> {
        Ok(link::flap_laser(self.hw)?)
    }
}

impl core::fmt::Debug for Inspect<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inspect").field("model", self.hw.model).finish_non_exhaustive()
    }
}

impl Configured {
    /// Returns a look at the card.
    pub fn inspect(&mut self) -> Inspect<'_> {
        Inspect::new(self.parts().0)
    }
}
