//! A capture file as a drain for frames.
//!
//! Key types: [`PcapSink`].
//! Neighbours: the sending half of a [`split`](crate::split()); [`Tee`](crate::Tee) captures a link that goes on.

use std::path::Path;

use super::PcapError;
use super::writer::{CaptureFormat, CaptureWriter};
use crate::{Link, LinkError, LinkStatus, Nanos, Sent};

/// Writes every frame sent into a pcap file, with the model's time; nothing ever comes from it. Frames are buffered:
/// [`flush`](Link::flush) before the end, because dropping the sink can report no error.
pub struct PcapSink {
    writer: CaptureWriter,
}

impl PcapSink {
    /// Creates the file; one that exists is overwritten, as "tcpdump -w" does.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn create(path: &Path, format: CaptureFormat) -> Result<PcapSink, PcapError> {
        Ok(PcapSink { writer: CaptureWriter::create(path, format)? })
    }
}

impl Link for PcapSink {
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.writer.write(frame, now)?;
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

    fn flush(&mut self) -> Result<(), LinkError> {
        Ok(self.writer.flush()?)
    }
}
