//! MDIO: commands to external PHYs (datasheet 8.2.3.22.12, .13). The boards modelled have none: every read gives FFFFh.
//!
//! Key types: [`Mdio`].

use pmd_links::Nanos;

/// MSCA.MDICMD: a command runs, self-clearing.
const MSCA_COMMAND: u32 = 1 << 30;

/// MSCA and MSRWD.
#[derive(Default)]
pub(crate) struct Mdio {
    msca: u32,
    done_at: Nanos,
    write_data: u32,
}

impl Mdio {
    /// MSCA written: starts a command if its bit is set.
    pub(crate) fn write_msca(&mut self, value: u32, now: Nanos, takes: Nanos) {
        self.msca = value;
        if value & MSCA_COMMAND != 0 {
            self.done_at = now.saturating_add(takes);
        }
    }

    /// MSCA as read.
    pub(crate) fn read_msca(&self, now: Nanos) -> u32 {
        if now < self.done_at { self.msca } else { self.msca & !MSCA_COMMAND }
    }

    /// MSRWD written: data for the next write command.
    pub(crate) fn write_msrwd(&mut self, value: u32) {
        self.write_data = value & 0xFFFF;
    }

    /// MSRWD as read: 31:16 is what the last read command got. Nobody drives the line, so ones.
    pub(crate) fn read_msrwd(&self) -> u32 {
        0xFFFF_0000 | self.write_data
    }
}
