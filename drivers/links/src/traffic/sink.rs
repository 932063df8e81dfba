//! A drain for frames.
//!
//! Key types: [`Sink`].
//! Neighbours: the sending half of a [`split`](crate::split()); judges with a [`Checker`](crate::Checker).

use super::Checker;
use crate::{Link, LinkError, LinkStatus, Nanos, Sent, Verdict, Watch};

/// Takes and counts every frame; nothing ever comes from it.
pub struct Sink {
    checker: Checker,
    verify: bool,
}

impl Sink {
    /// Counts frames and bytes, and does not look into them.
    pub fn counting() -> Sink {
        Sink { checker: Checker::new(), verify: false }
    }

    /// Judges every frame as one of a [`Generator`](crate::Generator).
    pub fn verifying() -> Sink {
        Sink { checker: Checker::new(), verify: true }
    }

    /// What arrived, to be read from anywhere. A counting sink fills in `frames` and `bytes` only.
    pub fn verdict(&self) -> Watch<Verdict> {
        self.checker.watch()
    }
}

impl Link for Sink {
    #[inline]
    fn transmit(&mut self, frame: &[u8], _now: Nanos) -> Result<Sent, LinkError> {
        if self.verify {
            self.checker.check(frame);
        } else {
            self.checker.count_only(frame);
        }
        Ok(Sent::Accepted)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, _now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        Ok(false)
    }

    fn status(&mut self) -> LinkStatus {
        LinkStatus::UP_10G
    }

    fn exhausted(&self) -> bool {
        true
    }
}
