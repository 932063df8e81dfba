//! Ctrl-C: the first one drains and prints totals, the second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::fault::Fault;

/// Says when to stop. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Returns a flag that SIGINT and SIGTERM set.
    pub(crate) fn on_signal() -> Result<Stop, Fault> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the shutdown is for a signal that finds the flag set.
            flag::register_conditional_shutdown(signal, 128 + signal, stop.0.clone())
                .and_then(|_| flag::register(signal, stop.0.clone()))
                .map_err(|error| Fault::Run(format!("cannot watch for Ctrl-C: {error}")))?;
        }
        Ok(stop)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
