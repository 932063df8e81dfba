//! A capture file as a source of frames.
//!
//! Key types: [`PcapSource`], [`Replay`].
//! Neighbours: the receiving half of a [`split`](crate::split()); reads with the reader beside it.

use std::path::{Path, PathBuf};

use super::PcapError;
use super::reader::CaptureReader;
use crate::text::PathEnd;
use crate::{Link, LinkError, LinkStatus, Nanos, Sent};

/// How to play a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Start again at the end, for ever.
    pub looped: bool,
    /// Keep the gaps between the frames as they were captured; otherwise as fast as they are taken.
    pub paced: bool,
    /// Accept frames of which the capture kept only the start.
    pub cut: bool,
}

/// Plays the frames of a capture file. It is a source: what is sent into it vanishes.
///
/// The whole file is read once when it is opened, so that a bad file is known before any traffic runs; then it is
/// streamed, so that its size does not matter.
pub struct PcapSource {
    path: PathBuf,
    reader: CaptureReader,
    replay: Replay,
    /// Frames in the file when it was checked; what is appended later is not played.
    total: u64,
    /// The next frame and its capture time, if it was read and is not due yet.
    ahead: Vec<u8>,
    ahead_time: Option<u64>,
    /// Clock and capture time when the current round began.
    began: Option<(Nanos, u64)>,
}

impl PcapSource {
    /// Opens and checks a pcap or pcapng file: either byte order, micro- or nanoseconds.
    ///
    /// # Errors
    /// The file cannot be read, is no capture, is cut off or damaged, holds something else than Ethernet, or holds
    /// cut frames that [`Replay::cut`] does not allow.
    pub fn open(path: &Path, replay: Replay) -> Result<PcapSource, PcapError> {
        let mut reader = CaptureReader::open(path)?;
        let mut frame = Vec::new();
        while let Some(record) = reader.next(&mut frame)? {
            let kept = frame.len() as u32;
            if kept < record.length && !replay.cut {
                let (path, frame) = (PathEnd::path(path), reader.frames());
                return Err(PcapError::Cut { path, frame, kept, length: record.length });
            }
        }
        Ok(PcapSource {
            path: path.to_owned(),
            total: reader.frames(),
            reader: CaptureReader::open(path)?,
            replay,
            ahead: Vec::new(),
            ahead_time: None,
            began: None,
        })
    }

    /// Frames in the file.
    pub fn frames(&self) -> u64 {
        self.total
    }

    /// Reads the next frame ahead, unless there is one. `false` when there is none left.
    fn read_ahead(&mut self) -> Result<bool, PcapError> {
        if self.ahead_time.is_some() {
            return Ok(true);
        }
        if self.reader.frames() == self.total {
            if self.total == 0 || !self.replay.looped {
                return Ok(false);
            }
            self.reader = CaptureReader::open(&self.path)?;
            self.began = None;
        }
        match self.reader.next(&mut self.ahead)? {
            Some(record) => self.ahead_time = Some(record.time),
            // It was longer when it was checked.
            None => {
                let (path, frames) = (PathEnd::path(&self.path), self.reader.frames());
                return Err(PcapError::Truncated { path, frames, offset: 0 });
            }
        }
        Ok(true)
    }
}

impl Link for PcapSource {
    /// Takes the frame and drops it.
    fn transmit(&mut self, _frame: &[u8], _now: Nanos) -> Result<Sent, LinkError> {
        Ok(Sent::Accepted)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        if !self.read_ahead()? {
            return Ok(false);
        }
        if let (true, Some(time)) = (self.replay.paced, self.ahead_time) {
            let (start, first) = *self.began.get_or_insert((now, time));
            // A capture of several interfaces may step back in time a little.
            if now.saturating_sub(start) < time.saturating_sub(first) {
                return Ok(false);
            }
        }
        core::mem::swap(frame, &mut self.ahead);
        self.ahead_time = None;
        Ok(true)
    }

    fn status(&mut self) -> LinkStatus {
        LinkStatus::UP_10G
    }

    fn exhausted(&self) -> bool {
        self.total == 0
            || (!self.replay.looped && self.ahead_time.is_none() && self.reader.frames() == self.total)
    }
}
