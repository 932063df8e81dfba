//! A port that is held in reset.

use vfio_hal::dma::Quiesced;

use super::Port;
use crate::AfuError;

/// A port in reset: its accelerator makes no access to memory, and nobody reaches its registers.
///
/// Dropped, it releases the port, without an answer; [`release`](Self::release) gives one.
#[derive(Debug)]
#[must_use = "the port stays in reset as long as this lives"]
pub struct Held {
    port: Port,
    quiesced: Quiesced,
    done: bool,
}

impl Held {
    pub(super) fn new(port: Port, quiesced: Quiesced) -> Held {
        Held { port, quiesced, done: false }
    }

    /// Returns the port.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Returns the proof that the accelerator has stopped its DMA.
    pub fn quiesced(&self) -> &Quiesced {
        &self.quiesced
    }

    /// Takes the port out of reset.
    pub fn release(mut self) -> Result<(), AfuError> {
        self.done = true;
        self.port.slot.release(&*self.port.card.0.clock)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.done && self.port.slot.release(&*self.port.card.0.clock).is_err() {
            log::warn!("port {} stays in reset", self.port.number());
        }
    }
}
