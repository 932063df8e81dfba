//! What tools want to know of a card: versions, part number, memory dumps, what its PHY says.
//!
//! [`Inspect`] is borrowed from a port in any state; nothing in it disturbs traffic. It only puts a public face on `nvm`
//! and `phy`.

use alloc::string::String;
use alloc::vec::Vec;

use vfio_hal::pmd::PortError;

use crate::hw::Hw;
use crate::nvm::{self, NvmVersion};
use crate::phy::{Negotiation, Phy};
use crate::port::Configured;

/// A look at the card.
pub struct Inspect<'a> {
    hw: &'a mut Hw,
}

impl<'a> Inspect<'a> {
    pub(crate) fn new(hw: &'a mut Hw) -> Inspect<'a> {
        Inspect { hw }
    }

    /// Reads the version of what is in the NVM: `ethtool -i`'s firmware version.
    pub fn nvm_version(&self) -> Result<NvmVersion, PortError> {
        nvm::version(self.hw)
    }

    /// Reads the board's part number (PBA), such as `E66560-002`; `None` if the NVM has none that can be read.
    pub fn part_number(&self) -> Result<Option<String>, PortError> {
        nvm::part_number(self.hw)
    }

    /// Reads all words of the NVM, as `ethtool -e` does.
    pub fn nvm(&self) -> Result<Vec<u16>, PortError> {
        nvm::dump(self.hw)
    }

    /// Reads what the copper PHY says of its link.
    pub fn negotiation(&self) -> Result<Negotiation, PortError> {
        Phy::new(self.hw).negotiation()
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
