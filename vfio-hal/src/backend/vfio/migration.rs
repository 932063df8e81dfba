//! Migration of a device, and the log of the pages that it writes.
//!
//! The states are those of VFIO's second protocol; the kernel finds the way from one to another. A state that is read
//! or written comes with a [`MigrationStream`], which is a file: the device's state flows through it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;
use vfio_user_kit::client::{DirtyBitmap, MigrationSupport};
use vfio_user_kit::proto::feature::MigrationState;

use super::device::VfioDevice;
use super::feature::Feature;
use super::sys::{self, Operation, PlainFeature};
use crate::device::DeviceError;

/// VFIO_MIGRATION_STOP_COPY and VFIO_MIGRATION_PRE_COPY of `linux/vfio.h`.
const STOP_COPY: u64 = 1 << 0;
const PRE_COPY: u64 = 1 << 2;

/// The largest bitmap that is asked for at once: 128 GiB in pages of 4 KiB.
const MAX_WORDS: u64 = 1 << 19;

/// A device's state on its way. It ends with the state that it came with, or when it is dropped.
#[derive(Debug)]
pub struct MigrationStream(OwnedFd);

impl MigrationStream {
    /// Reads the next bytes of the device's state. Returns how many; 0 at the end, in the pre-copy phase at the end for
    /// now.
    pub fn read(&self, data: &mut [u8]) -> Result<usize, DeviceError> {
        loop {
            match rustix::io::read(&self.0, &mut *data) {
                Err(Errno::INTR) => {}
                // Nothing has changed since the last byte (pre-copy).
                Err(Errno::NOMSG) => return Ok(0),
                other => return other.map_err(|error| stream_error("read a device's state", error)),
            }
        }
    }

    /// Gives the device the next bytes of a state. Returns how many it took.
    pub fn write(&self, data: &[u8]) -> Result<usize, DeviceError> {
        loop {
            match rustix::io::write(&self.0, data) {
                Err(Errno::INTR) => {}
                other => return other.map_err(|error| stream_error("write a device's state", error)),
            }
        }
    }

    /// Returns how many bytes are left of what was there at first, and of what changed since, while the device runs.
    pub fn pre_copy_left(&self) -> Result<(u64, u64), DeviceError> {
        sys::precopy_info(self.0.as_fd()).map_err(|error| match error {
            Errno::NOTTY | Errno::INVAL => DeviceError::Unsupported { what: "pre-copy phase at the moment" },
            error => stream_error("VFIO_MIG_GET_PRECOPY_INFO", error),
        })
    }
}

impl AsFd for MigrationStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn stream_error(what: &'static str, error: Errno) -> DeviceError {
    DeviceError::System { what, errno: error.raw_os_error() }
}

/// Migration: the source is brought to [`MigrationState::StopCopy`], by way of [`MigrationState::PreCopy`] if it can, and
/// its stream read to the end; the target is brought to [`MigrationState::Resuming`], its stream written, and then to
/// [`MigrationState::Running`].
impl VfioDevice {
    /// Returns how the device migrates, `None` if it does not.
    pub fn migration_support(&self) -> Result<Option<MigrationSupport>, DeviceError> {
        if !self.has_feature(Feature::Migration)? {
            return Ok(None);
        }
        let data = self.plain(Feature::Migration, PlainFeature::Migration, Operation::Get, &[0; 8])?;
        let flags = data.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        Ok(Some(MigrationSupport { stop_copy: flags & STOP_COPY != 0, pre_copy: flags & PRE_COPY != 0 }))
    }

    /// Returns where the device is in its migration.
    pub fn migration_state(&self) -> Result<MigrationState, DeviceError> {
        let (feature, number) = (Feature::MigrationState, PlainFeature::MigrationState);
        let data = self.plain(feature, number, Operation::Get, &[0; 8])?;
        let state = data.first_chunk().map_or(u32::MAX, |bytes| u32::from_ne_bytes(*bytes));
        MigrationState::try_from(state).map_err(|_| DeviceError::Unsupported {
            what: "migration state that this kit enters: another program has it in a peer-to-peer state",
        })
    }

    /// Brings the device to another state. The states that are read or written answer with the stream for that.
    ///
    /// # Errors
    /// When there is no way to it, or the device fails on it: [`migration_state`](Self::migration_state) says where it is
    /// then, and out of [`MigrationState::Error`] only a reset leads.
    pub fn set_migration_state(&self, state: MigrationState) -> Result<Option<MigrationStream>, DeviceError> {
        self.core().lost.check()?;
        let stream = sys::set_migration_state(self.core().fd(), state as u32)
            .map_err(|error| self.feature_error(Feature::MigrationState, error))?;
        Ok(stream.map(MigrationStream))
    }

    /// Returns how many bytes the state would have if the device were stopped now. An estimate.
    pub fn migration_size(&self) -> Result<u64, DeviceError> {
        let (feature, number) = (Feature::MigrationSize, PlainFeature::MigrationSize);
        let data = self.plain(feature, number, Operation::Get, &[0; 8])?;
        Ok(data.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes)))
    }
}

/// The log of pages that the device writes.
impl VfioDevice {
    /// Starts the log: of `ranges`, first bus address and length in bytes, or of everything without any. Returns the
    /// log's page size in bytes, as near to `page_size` as there is.
    pub fn start_dirty_log(&self, page_size: u64, ranges: &[(u64, u64)]) -> Result<u64, DeviceError> {
        self.core().lost.check()?;
        sys::start_logging(self.core().fd(), page_size, ranges)
            .map_err(|error| self.feature_error(Feature::DmaLogging, error))
    }

    /// Ends the log.
    pub fn stop_dirty_log(&self) -> Result<(), DeviceError> {
        self.plain(Feature::DmaLogging, PlainFeature::LoggingStop, Operation::Set, &[]).map(drop)
    }

    /// Returns the pages that the device wrote among `len` bytes from bus address `iova` on, and clears them in the log.
    pub fn dirty_pages(&self, iova: u64, len: u64, page_size: u64) -> Result<DirtyBitmap, DeviceError> {
        self.core().lost.check()?;
        let mut words = bitmap(len, page_size)?;
        sys::report_logging(self.core().fd(), iova, len, page_size, &mut words)
            .map_err(|error| self.feature_error(Feature::DmaLogging, error))?;
        Ok(DirtyBitmap { iova, page_size, words })
    }

    /// Exports a part of a region as a dma-buf.
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`] if the kernel or the device cannot (Linux 6.19 and later, for peer-to-peer DMA).
    pub fn export_dma_buf(&self, region: u32, offset: u64, len: u64) -> Result<OwnedFd, DeviceError> {
        self.core().lost.check()?;
        sys::export_dma_buf(self.core().fd(), region, offset, len).map_err(|error| match error {
            // The kernel has the feature, but this region or device cannot be reached by others.
            Errno::INVAL | Errno::NODEV if !self.core().lost.is_lost() => Feature::DmaBuf.unsupported(),
            error => self.feature_error(Feature::DmaBuf, error),
        })
    }
}

/// Returns room for one bit for each page of a range.
pub(super) fn bitmap(len: u64, page_size: u64) -> Result<Vec<u64>, DeviceError> {
    let words = len.checked_div(page_size).map_or(u64::MAX, |_| len.div_ceil(page_size).div_ceil(64));
    if words > MAX_WORDS || !page_size.is_power_of_two() {
        return Err(DeviceError::Unsupported { what: "log of that many pages at once: ask for less" });
    }
    Ok(vec![0; words as usize])
}

/// The numbers of both protocols are the same.
const _: () = {
    assert!(abi::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP == MigrationState::Stop as u32);
    assert!(abi::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING == MigrationState::Running as u32);
    assert!(abi::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP_COPY == MigrationState::StopCopy as u32);
    assert!(abi::vfio_device_mig_state_VFIO_DEVICE_STATE_RESUMING == MigrationState::Resuming as u32);
    assert!(abi::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY == MigrationState::PreCopy as u32);
};
