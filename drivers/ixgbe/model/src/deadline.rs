//! When the model has something to do although nothing comes from outside: running times of all units.
//!
//! A backend may sleep until then, or let a virtual clock jump there. What has passed already is no deadline: a unit whose
//! time is over waits for something else.
//!
//! Key types: [`Model82599::deadline`]. Neighbours: each unit knows its own times.

use pmd_ixgbe::regs::SECTXCTRL;
use pmd_links::Nanos;

use crate::model::Model82599;

impl Model82599 {
    /// Returns the next time, by the backend's clock, at which a step does something.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        let core = &self.core;
        if core.arrived {
            // The device came from elsewhere: its times are known once it was called.
            return Some(0);
        }
        let always = [
            Some(self.resetting.busy_until),
            self.resetting.ard_at,
            Some(self.wire.ask_at),
            self.phy.deadline(),
            self.timer.deadline(),
            core.irq.deadline(&core.regs),
        ];
        let transmits = self.phy.up() && !core.regs.get::<SECTXCTRL>().tx_dis();
        let traffic = if transmits { [self.flow.deadline(core.now), self.tx.deadline()] } else { [None; 2] };
        let times = always.into_iter().chain(traffic).flatten().filter(|at| *at > core.now);
        times.min().map(|at| at.wrapping_sub(core.shift))
    }
}
