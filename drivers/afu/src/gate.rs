//! The gate in front of an accelerator's registers: open, or shut while its port is in reset.
//!
//! An access while the port is in reset raises a port error, so whoever accesses registers holds a [`Pass`], and whoever
//! resets shuts the gate and waits until all passes are back.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use vfio_hal::Clock;
use vfio_hal::clock::Deadline;

use crate::AfuError;

const SHUT: u32 = 1 << 31;
/// How long accesses may take that are under way when the gate shuts. A register access takes microseconds.
const LEAVE: Duration = Duration::from_millis(100);

/// Counts accesses that are under way; the top bit says that it is shut.
#[derive(Debug)]
pub(crate) struct Gate {
    port: u8,
    state: AtomicU32,
}

impl Gate {
    pub(crate) fn new(port: u8, shut: bool) -> Gate {
        Gate { port, state: AtomicU32::new(if shut { SHUT } else { 0 }) }
    }

    /// Lets an access through, as long as the pass lives.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, AfuError> {
        // Acquire and Release, so that no access is moved out of the pass.
        let entered = self.state.try_update(Ordering::Acquire, Ordering::Relaxed, |state| {
            (state & SHUT == 0).then_some(state + 1)
        });
        match entered {
            Ok(_) => Ok(Pass(self)),
            Err(_) => Err(AfuError::InReset { port: self.port }),
        }
    }

    /// Shuts the gate, once everybody has left. Returns whether it was open.
    pub(crate) fn shut(&self, clock: &dyn Clock) -> Result<bool, AfuError> {
        let before = self.state.fetch_or(SHUT, Ordering::AcqRel);
        if before & SHUT != 0 {
            return Ok(false);
        }
        let deadline = Deadline::after(clock, LEAVE);
        while self.state.load(Ordering::Acquire) != SHUT {
            if deadline.passed(clock) {
                self.state.fetch_and(!SHUT, Ordering::Release);
                return Err(AfuError::Busy { port: self.port });
            }
            clock.wait(Duration::from_micros(10));
        }
        Ok(true)
    }

    pub(crate) fn open(&self) {
        self.state.fetch_and(!SHUT, Ordering::Release);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.state.load(Ordering::Acquire) & SHUT != 0
    }
}

/// The right to access an accelerator's registers.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use vfio_hal::testing::VirtualClock;

    use super::*;

    #[test]
    fn nobody_enters_a_shut_gate_and_a_gate_does_not_shut_on_anybody() {
        let (gate, clock) = (Gate::new(2, false), VirtualClock::new());
        let pass = gate.enter().unwrap();
        assert_eq!(gate.shut(&clock), Err(AfuError::Busy { port: 2 }));
        assert!(clock.now() >= LEAVE);
        drop(gate.enter().unwrap());
        drop(pass);
        assert_eq!(gate.shut(&clock), Ok(true));
        assert_eq!(gate.enter().unwrap_err(), AfuError::InReset { port: 2 });
        assert_eq!(gate.shut(&clock), Ok(false));
        gate.open();
        assert!(gate.enter().is_ok());
    }
}
