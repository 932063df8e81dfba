//! One wire out of two halves.
//!
//! Key types: [`split`], [`Split`].
//! Neighbours: joins a source ([`Generator`](crate::Generator), [`PcapSource`](crate::PcapSource)) with a drain
//! ([`Sink`](crate::Sink), [`PcapSink`](crate::PcapSink)) to what a MAC can be plugged into.

use crate::{Link, LinkError, LinkStatus, Nanos, Sent};

/// Frames come from `rx` and go to `tx`.
pub fn split<R: Link, T: Link>(rx: R, tx: T) -> Split<R, T> {
    Split { rx, tx }
}

/// What [`split`] makes.
pub struct Split<R, T> {
    rx: R,
    tx: T,
}

impl<R, T> Split<R, T> {
    /// The two halves again: what frames come from, what they go to.
    pub fn into_parts(self) -> (R, T) {
        (self.rx, self.tx)
    }
}

impl<R: Link, T: Link> Link for Split<R, T> {
    #[inline]
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.tx.transmit(frame, now)
    }

    #[inline]
    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        self.rx.receive(frame, now)
    }

    /// Up when both halves are, at the speed of the slower one.
    fn status(&mut self) -> LinkStatus {
        let (rx, tx) = (self.rx.status(), self.tx.status());
        if rx.up && tx.up {
            LinkStatus { up: true, speed_mbps: rx.speed_mbps.min(tx.speed_mbps) }
        } else {
            LinkStatus::DOWN
        }
    }

    fn exhausted(&self) -> bool {
        self.rx.exhausted()
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.rx.flush()?;
        self.tx.flush()
    }
}
