//! Frames into a pcap file.
//!
//! What it does: the classic format, little-endian, which every tool reads. Two fixed headers are all there is to it,
//! so it needs no crate.
//! Key types: [`CaptureWriter`], [`CaptureFormat`], [`Epoch`].
//! Neighbours: written by the sink and the tee.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::PcapError;
use crate::Nanos;
use crate::text::PathEnd;

/// What tcpdump states; larger than any frame.
const SNAP_LENGTH: u32 = 262_144;
const ETHERNET: u32 = 1;

/// What zero on the model's clock is in a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Epoch {
    /// The time of day that makes the first frame written be now.
    #[default]
    Wall,
    /// 1970: the same run gives the same bytes.
    Zero,
}

/// How time stamps are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureFormat {
    /// Microseconds, for tools that know no other; otherwise nanoseconds.
    pub microseconds: bool,
    /// What zero on the model's clock is.
    pub epoch: Epoch,
}

/// Finds out whether a capture could be created, and leaves everything as it is.
pub(crate) fn writable(path: &Path) -> Result<(), PcapError> {
    let opened = match fs::metadata(path) {
        // To open a pipe or a device may wait, or do something.
        Ok(meta) if !meta.is_file() && !meta.is_dir() => Ok(()),
        Ok(_) => File::options().append(true).open(path).map(drop),
        Err(_) => File::create_new(path).and_then(|_| fs::remove_file(path)),
    };
    opened.map_err(|error| of_create(path, &error))
}

fn of_create(path: &Path, error: &std::io::Error) -> PcapError {
    PcapError::File { call: "create", path: PathEnd::path(path), errno: error.into() }
}

pub(super) struct CaptureWriter {
    path: PathEnd,
    file: BufWriter<File>,
    microseconds: bool,
    /// Nanoseconds to add to the model's clock; unknown until the first frame.
    base: Option<u64>,
    /// The first failure stays: the file lacks a frame from then on.
    failed: Option<PcapError>,
}

impl CaptureWriter {
    pub(super) fn create(path: &Path, format: CaptureFormat) -> Result<CaptureWriter, PcapError> {
        let name = PathEnd::path(path);
        let file = File::create(path).map_err(|error| of_create(path, &error))?;
        let mut writer = CaptureWriter {
            path: name,
            file: BufWriter::with_capacity(256 << 10, file),
            microseconds: format.microseconds,
            base: match format.epoch {
                Epoch::Wall => None,
                Epoch::Zero => Some(0),
            },
            failed: None,
        };
        let magic: u32 = if format.microseconds { 0xa1b2_c3d4 } else { 0xa1b2_3c4d };
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&magic.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        header[16..20].copy_from_slice(&SNAP_LENGTH.to_le_bytes());
        header[20..24].copy_from_slice(&ETHERNET.to_le_bytes());
        // Flushed, so that a full disk is an error of opening.
        writer.attempt(|file| file.write_all(&header).and_then(|()| file.flush()))?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, frame: &[u8], now: Nanos) -> Result<(), PcapError> {
        let base = *self.base.get_or_insert_with(|| {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |wall| wall.as_nanos() as u64);
            wall.wrapping_sub(now)
        });
        let time = base.wrapping_add(now);
        let fraction = time % 1_000_000_000;
        let fraction = if self.microseconds { fraction / 1_000 } else { fraction };
        let len = (frame.len() as u32).to_le_bytes();
        let mut header = [0; 16];
        header[0..4].copy_from_slice(&((time / 1_000_000_000) as u32).to_le_bytes());
        header[4..8].copy_from_slice(&(fraction as u32).to_le_bytes());
        header[8..12].copy_from_slice(&len);
        header[12..16].copy_from_slice(&len);
        self.attempt(|file| file.write_all(&header).and_then(|()| file.write_all(frame)))
    }

    pub(super) fn flush(&mut self) -> Result<(), PcapError> {
        self.attempt(|file| file.flush())
    }

    fn attempt(
        &mut self,
        action: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<(), PcapError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        action(&mut self.file).map_err(|error| {
            let error = PcapError::File { call: "write", path: self.path, errno: (&error).into() };
            self.failed = Some(error);
            error
        })
    }
}
