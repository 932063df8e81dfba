//! What a device on a socket has beyond a [`Device`](crate::Device): migration, the log of written pages, eventfds for
//! registers, several writes at once, features.
//!
//! None of it is asked again on a new connection: a half-read state is none.

use vfio_user_kit::client::{DirtyBitmap, IoEvent, MigrationSupport, Write};
use vfio_user_kit::proto::feature::MigrationState;

use super::{UserDevice, UserError};

/// Migration: the source is brought to [`MigrationState::StopCopy`], by way of [`MigrationState::PreCopy`] if it can, and
/// read until there is no more; the target is brought to [`MigrationState::Resuming`], written, and brought to
/// [`MigrationState::Running`].
impl UserDevice {
    /// Returns how the device migrates, `None` if it does not.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn migration_support(&self) -> Result<Option<MigrationSupport>, UserError> {
        self.core.link.ask_once(|client| client.migration_support())
    }

    /// Returns where the device is in its migration.
    ///
    /// # Errors
    /// When it does not migrate, or is lost.
    pub fn migration_state(&self) -> Result<MigrationState, UserError> {
        self.core.link.ask_once(|client| client.migration_state())
    }

    /// Brings the device to another state.
    ///
    /// # Errors
    /// When there is no way to it; when the device fails on it, and [`migration_state`](Self::migration_state) says
    /// where it is.
    pub fn set_migration_state(&self, state: MigrationState) -> Result<(), UserError> {
        self.core.link.ask_once(|client| client.set_migration_state(state))
    }

    /// Reads the next bytes of the device's state into `data`. Returns how many; fewer than there is room for are the
    /// last for now.
    ///
    /// # Errors
    /// When the device is in no state that is read, or is lost.
    pub fn migration_read(&self, data: &mut [u8]) -> Result<usize, UserError> {
        self.core.link.ask_once(|client| client.migration_read(data))
    }

    /// Gives the device the next bytes of a state.
    ///
    /// # Errors
    /// When it takes none, or these cannot be; when it is lost.
    pub fn migration_write(&self, data: &[u8]) -> Result<(), UserError> {
        self.core.link.ask_once(|client| client.migration_write(data))
    }
}

/// The log of pages that the device writes.
impl UserDevice {
    /// Starts the log: of `ranges`, first bus address and length in bytes, or of everything without any. Returns the
    /// log's page size in bytes, as near to `page_size` as there is.
    ///
    /// # Errors
    /// When the server has no log, or has one already.
    pub fn start_dirty_log(&self, page_size: u64, ranges: &[(u64, u64)]) -> Result<u64, UserError> {
        self.core.link.ask_once(|client| client.start_dirty_log(page_size, ranges))
    }

    /// Ends the log.
    ///
    /// # Errors
    /// When there is none.
    pub fn stop_dirty_log(&self) -> Result<(), UserError> {
        self.core.link.ask_once(|client| client.stop_dirty_log())
    }

    /// Returns the pages that the device wrote among `len` bytes from bus address `iova` on, and clears them in the log.
    ///
    /// # Errors
    /// When there is no log; when the bitmap is larger than a message: ask for less at a time.
    pub fn dirty_pages(&self, iova: u64, len: u64, page_size: u64) -> Result<DirtyBitmap, UserError> {
        self.core.link.ask_once(|client| client.dirty_pages(iova, len, page_size))
    }
}

impl UserDevice {
    /// Returns the registers of a BAR where a signal to an eventfd is as good as a write.
    ///
    /// # Errors
    /// When the device is lost, or has no such BAR.
    pub fn io_events(&self, bar: u8) -> Result<Vec<IoEvent>, UserError> {
        Ok(self.core.link.ask_once(|client| client.region_io_fds(bar.into()))?.events)
    }

    /// Does several register writes with one message, in order.
    ///
    /// # Errors
    /// When the server does not offer it; when a write has more than 8 bytes or is refused.
    pub fn write_many(&self, writes: &[Write<'_>]) -> Result<(), UserError> {
        self.core.link.ask_once(|client| client.region_write_multi(writes))
    }

    /// Reads a feature by its number in VFIO. `data` goes along, and `room` bytes may come back.
    ///
    /// # Errors
    /// When the device has no such feature, or is lost.
    pub fn feature_get(&self, index: u16, data: &[u8], room: usize) -> Result<Vec<u8>, UserError> {
        self.core.link.ask_once(|client| client.feature_get(index, data, room))
    }

    /// Sets a feature by its number in VFIO. Returns what the server made of it.
    ///
    /// # Errors
    /// When the device has no such feature, or is lost.
    pub fn feature_set(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, UserError> {
        self.core.link.ask_once(|client| client.feature_set(index, data))
    }
}
