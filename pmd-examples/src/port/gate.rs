//! A link whose source opens when all ports forward and shuts before they stop, so that every packet of a run is
//! accounted for: what reaches a port that does not receive yet is lost on a wire, and nobody counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pmd_links::{Link, LinkError, LinkStatus, Nanos, Sent};

/// Opens and shuts the source of a link; shut at first. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Valve(Arc<State>);

#[derive(Default)]
struct State {
    open: AtomicBool,
    dry: AtomicBool,
}

impl Valve {
    /// Lets the source flow, or nothing more be received.
    pub(crate) fn set(&self, open: bool) {
        self.0.open.store(open, Ordering::Relaxed);
    }

    /// Returns whether nothing more will ever be received.
    pub(crate) fn is_dry(&self) -> bool {
        self.0.dry.load(Ordering::Relaxed)
    }

    fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed)
    }
}

/// A link behind a [`Valve`].
pub(crate) struct Gate {
    link: Box<dyn Link>,
    valve: Valve,
}

impl Gate {
    pub(crate) fn new(link: Box<dyn Link>) -> (Gate, Valve) {
        let valve = Valve::default();
        (Gate { link, valve: valve.clone() }, valve)
    }
}

impl Link for Gate {
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.link.transmit(frame, now)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        if !self.valve.is_open() {
            return Ok(false);
        }
        let received = self.link.receive(frame, now)?;
        if !received && self.link.exhausted() {
            self.valve.0.dry.store(true, Ordering::Relaxed);
        }
        Ok(received)
    }

    fn status(&mut self) -> LinkStatus {
        self.link.status()
    }

    fn exhausted(&self) -> bool {
        self.link.exhausted()
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }
}
