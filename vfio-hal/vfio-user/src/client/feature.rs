//! DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE: migration, the log of written pages, features of the device's own.

use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::{Client, ClientError};
use crate::proto::Command;
use crate::proto::feature::{
    DeviceState, FEATURE_DEVICE_STATE, FEATURE_LOGGING_REPORT, FEATURE_LOGGING_START, FEATURE_LOGGING_STOP,
    FEATURE_MIGRATION, LoggingRange, LoggingReport, LoggingStart, MIGRATION_PRE_COPY, MIGRATION_STOP_COPY,
    MigrationState,
};
use crate::proto::wire::{FEATURE_GET, FEATURE_PROBE, FEATURE_SET, Feature, MigrationData};

/// How a device migrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationSupport {
    /// Its state can be read while it stands still.
    pub stop_copy: bool,
    /// Its state can be read while it runs, and the rest when it stands still.
    pub pre_copy: bool,
}

/// Which pages the device wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyBitmap {
    /// The first bus address of the first page.
    pub iova: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// A bit for each page, the first in bit 0 of the first word.
    pub words: Vec<u64>,
}

impl DirtyBitmap {
    /// Returns the first bus addresses of the pages that were written.
    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        let bits = (0..self.words.len() * 64).filter(|bit| self.words[bit / 64] >> (bit % 64) & 1 != 0);
        bits.map(|bit| self.iova + bit as u64 * self.page_size)
    }
}

impl Client {
    /// Returns whether a feature can be read (`get`) or set.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn has_feature(&self, index: u16, get: bool) -> Result<bool, ClientError> {
        let what = if get { FEATURE_GET } else { FEATURE_SET };
        match self.feature(FEATURE_PROBE | what, index, &[], 0) {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a feature, whose data are at most `room` bytes. `data` goes along with the question.
    ///
    /// # Errors
    /// When the server refuses, `ENOTTY` for a feature that is not there.
    pub fn feature_get(&self, index: u16, data: &[u8], room: usize) -> Result<Vec<u8>, ClientError> {
        self.feature(FEATURE_GET, index, data, room)
    }

    /// Sets a feature. Returns what the server made of it.
    ///
    /// # Errors
    /// When the server refuses, `ENOTTY` for a feature that is not there.
    pub fn feature_set(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.feature(FEATURE_SET, index, data, data.len())
    }

    fn feature(&self, flags: u32, index: u16, data: &[u8], room: usize) -> Result<Vec<u8>, ClientError> {
        const COMMAND: Command = Command::DeviceFeature;
        const HEAD: usize = size_of::<Feature>();
        if data.len().max(room) > self.max_transfer() {
            return Err(ClientError::Invalid { command: COMMAND, what: "more data than a message may have" });
        }
        let argsz = (HEAD + room.max(data.len())) as u32;
        let request = Feature { argsz, flags: flags | u32::from(index) };
        let mut body = request.as_bytes().to_vec();
        body.extend_from_slice(data);
        let reply = self.link.request(COMMAND, &body, Vec::new())?;
        match Feature::read_from_prefix(&reply.body) {
            Ok((echo, _)) if echo.flags != request.flags => {
                Err(self.link.bad(COMMAND, "it is about another feature"))
            }
            Ok((_, got)) if got.len() > argsz as usize - HEAD => Err(self.bad_length(COMMAND)),
            Ok((_, got)) => Ok(got.to_vec()),
            Err(_) => Err(self.bad_length(COMMAND)),
        }
    }

    /// Reads a feature that is one structure.
    fn feature_of<T: FromBytes>(&self, index: u16) -> Result<T, ClientError> {
        let data = self.feature_get(index, &[], size_of::<T>())?;
        T::read_from_bytes(&data).map_err(|_| self.bad_length(Command::DeviceFeature))
    }

    /// Returns how the device migrates, `None` if it does not.
    ///
    /// # Errors
    /// When the server refuses otherwise.
    pub fn migration_support(&self) -> Result<Option<MigrationSupport>, ClientError> {
        if self.agreed.migration_pgsize.is_none() {
            return Ok(None);
        }
        match self.feature_of::<u64>(FEATURE_MIGRATION) {
            Ok(flags) => Ok(Some(MigrationSupport {
                stop_copy: flags & MIGRATION_STOP_COPY != 0,
                pre_copy: flags & MIGRATION_PRE_COPY != 0,
            })),
            Err(ClientError::Refused { errno: Errno::NOTTY, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns where the device is in its migration.
    ///
    /// # Errors
    /// When the server refuses, or names a state that is not there.
    pub fn migration_state(&self) -> Result<MigrationState, ClientError> {
        let DeviceState { state, .. } = self.feature_of(FEATURE_DEVICE_STATE)?;
        MigrationState::try_from(state)
            .map_err(|_| self.link.bad(Command::DeviceFeature, "there is no such migration state"))
    }

    /// Brings the device to another state, by the shortest way that saves nothing on it.
    ///
    /// # Errors
    /// When there is no way, or the device failed on it: [`migration_state`](Self::migration_state) says where it is.
    pub fn set_migration_state(&self, state: MigrationState) -> Result<(), ClientError> {
        let wish = DeviceState { state: state as u32, data_fd: 0 };
        self.feature_set(FEATURE_DEVICE_STATE, wish.as_bytes()).map(drop)
    }

    /// Reads the next bytes of the device's state into `data`. Returns how many; fewer than there is room for are
    /// the last for now.
    ///
    /// # Errors
    /// When the server refuses, `EINVAL` in a state that saves nothing.
    pub fn migration_read(&self, data: &mut [u8]) -> Result<usize, ClientError> {
        const COMMAND: Command = Command::MigDataRead;
        const HEAD: usize = size_of::<MigrationData>();
        let mut done = 0;
        for part in data.chunks_mut(self.max_transfer()) {
            let request = MigrationData { argsz: (HEAD + part.len()) as u32, size: part.len() as u32 };
            let reply = self.link.request(COMMAND, request.as_bytes(), Vec::new())?;
            let got = match MigrationData::read_from_prefix(&reply.body) {
                Ok((head, got)) if head.size as usize == got.len() && got.len() <= part.len() => got,
                _ => return Err(self.bad_length(COMMAND)),
            };
            part[..got.len()].copy_from_slice(got);
            done += got.len();
            if got.len() < part.len() {
                break;
            }
        }
        Ok(done)
    }

    /// Gives the device the next bytes of a state.
    ///
    /// # Errors
    /// When the server refuses, `EINVAL` for a state that cannot be.
    pub fn migration_write(&self, data: &[u8]) -> Result<(), ClientError> {
        const HEAD: usize = size_of::<MigrationData>();
        for part in data.chunks(self.max_transfer()) {
            let head = MigrationData { argsz: (HEAD + part.len()) as u32, size: part.len() as u32 };
            let mut body = head.as_bytes().to_vec();
            body.extend_from_slice(part);
            let reply = self.link.request(Command::MigDataWrite, &body, Vec::new())?;
            // The document has an empty answer; some echo the head.
            if !reply.body.is_empty() && reply.body.len() != HEAD {
                return Err(self.bad_length(Command::MigDataWrite));
            }
        }
        Ok(())
    }

    /// Starts to log which pages the device writes: those in `ranges`, first bus address and length in bytes; all
    /// without any. Returns the page size of the log in bytes, as near to `page_size` as there is.
    ///
    /// # Errors
    /// When the server refuses, `EINVAL` if it logs already.
    pub fn start_dirty_log(&self, page_size: u64, ranges: &[(u64, u64)]) -> Result<u64, ClientError> {
        let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
        let mut data = LoggingStart { page_size, ranges: count, reserved: 0 }.as_bytes().to_vec();
        for &(iova, len) in ranges {
            data.extend_from_slice(LoggingRange { iova, len }.as_bytes());
        }
        let reply = self.feature_set(FEATURE_LOGGING_START, &data)?;
        match LoggingStart::read_from_prefix(&reply) {
            Ok((start, _)) if start.page_size.is_power_of_two() => Ok(start.page_size),
            // A reply without data leaves the page size as it was asked for.
            Err(_) if reply.is_empty() => Ok(page_size),
            _ => Err(self.link.bad(Command::DeviceFeature, "the log has no page size")),
        }
    }

    /// Ends the log.
    ///
    /// # Errors
    /// When the server refuses, `EINVAL` if there is none.
    pub fn stop_dirty_log(&self) -> Result<(), ClientError> {
        self.feature_set(FEATURE_LOGGING_STOP, &[]).map(drop)
    }

    /// Returns the pages of `page_size` bytes that the device wrote among `len` bytes from `iova` on, and clears them
    /// in the log.
    ///
    /// # Errors
    /// When the server refuses; when the bitmap is larger than a message: ask for less at a time.
    pub fn dirty_pages(&self, iova: u64, len: u64, page_size: u64) -> Result<DirtyBitmap, ClientError> {
        const COMMAND: Command = Command::DeviceFeature;
        if !page_size.is_power_of_two() || iova.checked_add(len).is_none() {
            return Err(ClientError::Invalid {
                command: COMMAND,
                what: "a page size or range that cannot be",
            });
        }
        let words = len.div_ceil(page_size).div_ceil(64);
        let bytes = usize::try_from(words).ok().and_then(|words| words.checked_mul(8));
        let room =
            bytes.and_then(|bytes| bytes.checked_add(size_of::<LoggingReport>())).unwrap_or(usize::MAX);
        let report = LoggingReport { iova, len, page_size };
        let reply = self.feature_get(FEATURE_LOGGING_REPORT, report.as_bytes(), room)?;
        let Some(bitmap) = reply.strip_prefix(report.as_bytes()).filter(|bitmap| Some(bitmap.len()) == bytes)
        else {
            return Err(self.link.bad(COMMAND, "it is not the log that was asked for"));
        };
        let (words, _) = bitmap.as_chunks::<8>();
        Ok(DirtyBitmap {
            iova,
            page_size,
            words: words.iter().map(|word| u64::from_ne_bytes(*word)).collect(),
        })
    }
}
