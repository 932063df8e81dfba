//! Types of other crates, and register types that units keep outside of the register file.

use core::time::Duration;

use pmd_ixgbe::regs::{CTRL, EEC, MSCA, MSRWD, SWSM};
use pmd_links::LinkStatus;

use super::{Reader, State, StateError, Writer, state_registers};

state_registers!(CTRL, EEC, MSCA, MSRWD, SWSM);

impl State for LinkStatus {
    fn save(&self, to: &mut Writer) {
        let LinkStatus { up, speed_mbps } = *self;
        up.save(to);
        speed_mbps.save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<LinkStatus, StateError> {
        Ok(LinkStatus { up: State::load(from)?, speed_mbps: State::load(from)? })
    }
}

/// Nanoseconds; the longest are 584 years.
impl State for Duration {
    fn save(&self, to: &mut Writer) {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<Duration, StateError> {
        u64::load(from).map(Duration::from_nanos)
    }
}
