//! The TCP timer: an interrupt after some milliseconds, once or over and over (datasheet 7.3.4.1, 8.2.3.15).
//!
//! Key types: [`TcpTimer`].

use pmd_ixgbe::regs::TCPTIMER;
use pmd_links::Nanos;

use crate::state::state;

/// The timer.
#[derive(Default)]
pub(crate) struct TcpTimer {
    due: Option<Nanos>,
}

state!(TcpTimer { due });

impl TcpTimer {
    fn period(control: TCPTIMER) -> Nanos {
        Nanos::from(control.duration().max(1)) * 1_000_000
    }

    /// TCPTIMER was written.
    pub(crate) fn write(&mut self, control: TCPTIMER, now: Nanos) {
        if !control.count_enable() || control.count_finish() {
            self.due = None;
        } else if control.kick_start() {
            self.due = Some(now.saturating_add(Self::period(control)));
        }
    }

    /// When it runs out.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.due
    }

    /// Whether it ran out since it was last asked.
    pub(crate) fn expired(&mut self, control: TCPTIMER, now: Nanos) -> bool {
        match self.due {
            Some(due) if now >= due => {
                // A model that was not stepped for long catches up with one interrupt.
                self.due = control.repeat().then(|| now.saturating_add(Self::period(control)));
                true
            }
            _ => false,
        }
    }
}
