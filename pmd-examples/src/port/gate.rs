//! A link whose source can be shut off, so that a run ends with every packet accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pmd_links::{Link, LinkError, LinkStatus, Nanos, Sent};

/// Shuts the source of a link. Clones share it.
#[derive(Clone, Default)]
pub struct Valve(Arc<State>);

#[derive(Default)]
struct State {
    shut: AtomicBool,
    dry: AtomicBool,
}

impl Valve {
    /// Lets nothing more be received.
    pub fn shut(&self) {
        self.0.shut.store(true, Ordering::Relaxed);
    }

    /// Returns whether nothing more will ever be received.
    pub fn is_dry(&self) -> bool {
        self.0.dry.load(Ordering::Relaxed)
    }

    fn is_shut(&self) -> bool {
        self.0.shut.load(Ordering::Relaxed)
    }
}

/// A link behind a [`Valve`].
pub struct Gate {
    link: Box<dyn Link>,
    valve: Valve,
}

impl Gate {
    pub fn new(link: Box<dyn Link>) -> (Gate, Valve) {
        let valve = Valve::default();
        (Gate { link, valve: valve.clone() }, valve)
    }
}

impl Link for Gate {
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.link.transmit(frame, now)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        let received = !self.valve.is_shut() && self.link.receive(frame, now)?;
        if !received && self.exhausted() {
            self.valve.0.dry.store(true, Ordering::Relaxed);
        }
        Ok(received)
    }

    fn status(&mut self) -> LinkStatus {
        self.link.status()
    }

    fn exhausted(&self) -> bool {
        self.valve.is_shut() || self.link.exhausted()
    }
}
