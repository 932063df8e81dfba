//! What DEVICE_FEATURE carries: migration states and the log of written pages.
//!
//! Numbers and structures are those of the kernel's VFIO (`linux/vfio.h`, VFIO_DEVICE_FEATURE).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Whether and how the device migrates; data: flags, 64 bits.
pub const FEATURE_MIGRATION: u16 = 1;
/// Where the device is; data: [`DeviceState`].
pub const FEATURE_DEVICE_STATE: u16 = 2;
/// Starts to log the pages that the device writes; data: [`LoggingStart`] and [`LoggingRange`]s.
pub const FEATURE_LOGGING_START: u16 = 6;
/// Ends the log; no data.
pub const FEATURE_LOGGING_STOP: u16 = 7;
/// Reads and clears a part of the log; data: [`LoggingReport`], in the reply with the bitmap behind it.
pub const FEATURE_LOGGING_REPORT: u16 = 8;

/// [`FEATURE_MIGRATION`]: the state can be read while the device stands still.
pub const MIGRATION_STOP_COPY: u64 = 1 << 0;
/// [`FEATURE_MIGRATION`]: the state can be read while the device runs, too.
pub const MIGRATION_PRE_COPY: u64 = 1 << 2;

/// Where a device is in its migration. The numbers are VFIO's; the peer-to-peer states 5 and 7 are not part of vfio-user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum MigrationState {
    /// It failed, and has to be reset.
    Error = 0,
    /// It stands still.
    Stop = 1,
    /// It works.
    #[default]
    Running = 2,
    /// It stands still and is read out.
    StopCopy = 3,
    /// It stands still and takes a state in.
    Resuming = 4,
    /// It works and is read out.
    PreCopy = 6,
}

impl TryFrom<u32> for MigrationState {
    type Error = u32;

    fn try_from(number: u32) -> Result<MigrationState, u32> {
        use MigrationState::{Error, PreCopy, Resuming, Running, Stop, StopCopy};
        let all = [Error, Stop, Running, StopCopy, Resuming, PreCopy];
        all.into_iter().find(|&state| state as u32 == number).ok_or(number)
    }
}

/// [`FEATURE_DEVICE_STATE`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DeviceState {
    /// A [`MigrationState`].
    pub state: u32,
    /// Unused: state travels in messages, not through a descriptor.
    pub data_fd: u32,
}

/// [`FEATURE_LOGGING_START`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LoggingStart {
    /// Request: the page size wanted, in bytes. Reply: the one that the log has.
    pub page_size: u64,
    /// Ranges that follow; none logs everything.
    pub ranges: u32,
    /// 0.
    pub reserved: u32,
}

/// Bus addresses to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LoggingRange {
    /// The first bus address.
    pub iova: u64,
    /// Bytes.
    pub len: u64,
}

/// [`FEATURE_LOGGING_REPORT`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LoggingReport {
    /// The first bus address.
    pub iova: u64,
    /// Bytes.
    pub len: u64,
    /// Bytes for each bit of the answer.
    pub page_size: u64,
}
