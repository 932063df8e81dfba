//! A counter in the wire.
//!
//! Key types: [`Meter`].
//! Neighbours: wraps any [`Link`]; [`PatchPanel`](crate::PatchPanel) puts one next to the MAC, so that a tool can
//! balance what the wire carried against what the driver says.

use crate::counters::{Live, add};
use crate::{Link, LinkError, LinkStatus, Nanos, Sent, Traffic, Watch};

/// Counts what crosses the link it wraps.
pub struct Meter<L> {
    link: L,
    counts: Live<Traffic>,
}

impl<L: Link> Meter<L> {
    /// Starts at zero.
    pub fn new(link: L) -> Meter<L> {
        Meter { link, counts: Live::new() }
    }

    /// The counts, to be read from anywhere.
    pub fn traffic(&self) -> Watch<Traffic> {
        self.counts.watch()
    }
}

impl<L: Link> Link for Meter<L> {
    #[inline]
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        let sent = self.link.transmit(frame, now)?;
        match sent {
            Sent::Accepted => {
                add(&self.counts.tx_frames, 1);
                add(&self.counts.tx_bytes, frame.len() as u64);
            }
            Sent::Busy => add(&self.counts.tx_busy, 1),
        }
        Ok(sent)
    }

    #[inline]
    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        let received = self.link.receive(frame, now)?;
        if received {
            add(&self.counts.rx_frames, 1);
            add(&self.counts.rx_bytes, frame.len() as u64);
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
