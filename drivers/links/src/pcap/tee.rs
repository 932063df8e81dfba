//! A capture of what crosses a link.
//!
//! Key types: [`Tee`].
//! Neighbours: wraps any [`Link`].

use std::path::Path;

use super::PcapError;
use super::writer::{CaptureFormat, CaptureWriter};
use crate::{Link, LinkError, LinkStatus, Nanos, Sent};

/// Passes frames both ways, and writes those that passed into a pcap file, in their order. As with the sink,
/// [`flush`](Link::flush) before the end.
pub struct Tee<L> {
    link: L,
    writer: CaptureWriter,
}

impl<L: Link> Tee<L> {
    /// Creates the file; one that exists is overwritten.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn create(link: L, path: &Path, format: CaptureFormat) -> Result<Tee<L>, PcapError> {
        Ok(Tee { link, writer: CaptureWriter::create(path, format)? })
    }
}

impl<L: Link> Link for Tee<L> {
    /// A frame that the wire took and the file did not is an error all the same: the capture is no longer complete.
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        let sent = self.link.transmit(frame, now)?;
        if sent == Sent::Accepted {
            self.writer.write(frame, now)?;
        }
        Ok(sent)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        let received = self.link.receive(frame, now)?;
        if received && let Err(error) = self.writer.write(frame, now) {
            frame.clear();
            return Err(error.into());
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
        self.link.flush()?;
        Ok(self.writer.flush()?)
    }
}
