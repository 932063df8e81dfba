//! The link that the model is plugged into, with what the MAC needs around it.
//!
//! Key types: [`Wire`]. Neighbours: wraps a [`pmd_links::Link`]; the model's step asks it.

use pmd_links::{Link, LinkError, LinkStatus, Nanos, Sent};

/// How often the status is asked: it may cost a system call.
const STATUS_EVERY: Nanos = 1_000_000;

/// A link, its last error, and a frame buffer.
pub(crate) struct Wire {
    link: Box<dyn Link>,
    /// The failure after which the link is not used again; its carrier counts as lost.
    pub(crate) error: Option<LinkError>,
    /// When the status is to be asked again.
    pub(crate) ask_at: Nanos,
    pub(crate) frame: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(link: Box<dyn Link>) -> Wire {
        Wire { link, error: None, ask_at: 0, frame: Vec::with_capacity(2048) }
    }

    /// Another link is plugged in.
    pub(crate) fn replace(&mut self, link: Box<dyn Link>) -> Box<dyn Link> {
        self.error = None;
        self.ask_at = 0;
        std::mem::replace(&mut self.link, link)
    }

    /// The device came from elsewhere: how this link is, is to be asked.
    pub(crate) fn arrive(&mut self) {
        self.ask_at = 0;
    }

    fn fail(&mut self, error: LinkError) {
        log::warn!("the link failed: {error}");
        self.error = Some(error);
        self.ask_at = 0;
    }

    /// The status if it is time to ask again.
    pub(crate) fn poll_status(&mut self, now: Nanos) -> Option<LinkStatus> {
        if now < self.ask_at {
            return None;
        }
        self.ask_at = now.saturating_add(STATUS_EVERY);
        Some(if self.error.is_some() { LinkStatus::DOWN } else { self.link.status() })
    }

    /// Offers a frame.
    pub(crate) fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.link.transmit(frame, now).inspect_err(|error| self.fail(*error))
    }

    /// Takes a frame into `frame`.
    pub(crate) fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> bool {
        if self.error.is_some() {
            return false;
        }
        match self.link.receive(frame, now) {
            Ok(there) => there,
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    /// Whether nothing more will come.
    pub(crate) fn exhausted(&self) -> bool {
        self.error.is_some() || self.link.exhausted()
    }

    /// Makes buffered frames reach their destination.
    pub(crate) fn flush(&mut self) -> Result<(), LinkError> {
        match self.error {
            Some(error) => Err(error),
            None => self.link.flush(),
        }
    }
}
