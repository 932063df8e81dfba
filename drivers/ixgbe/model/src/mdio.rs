//! MDIO: commands to external PHYs (datasheet 8.2.3.22.12, .13). The boards modelled have none: every read gives FFFFh.
//!
//! Key types: [`Mdio`].

use pmd_ixgbe::regs::{MSCA, MSRWD};
use pmd_links::Nanos;

use crate::state::state;

/// MSCA and MSRWD.
#[derive(Default)]
pub(crate) struct Mdio {
    msca: MSCA,
    done_at: Nanos,
    data: MSRWD,
}

state!(Mdio { msca, done_at, data });

impl Mdio {
    /// MSCA written: starts a command if its bit is set.
    pub(crate) fn write_msca(&mut self, value: MSCA, now: Nanos, takes: Nanos) {
        self.msca = value;
        if value.mdicmd() {
            self.done_at = now.saturating_add(takes);
        }
    }

    /// MSCA as read: the command bit clears itself.
    pub(crate) fn read_msca(&self, now: Nanos) -> u32 {
        self.msca.with_mdicmd(self.msca.mdicmd() && now < self.done_at).bits()
    }

    /// MSRWD written: data for the next write command.
    pub(crate) fn write_msrwd(&mut self, value: MSRWD) {
        self.data = value;
    }

    /// MSRWD as read: what the last read command got. Nobody drives the line, so ones.
    pub(crate) fn read_msrwd(&self) -> u32 {
        self.data.with_mdirddata(0xFFFF).bits()
    }
}
