//! The device's state as bytes: to look away from a device and come back, or to move it to another process while a
//! driver uses it.
//!
//! What travels is all that a driver, or the other end of the link, could notice: registers, EEPROM and module, rings with
//! the descriptors fetched, packets that wait or are half sent, filters, interrupt causes, statistics, running times. What
//! does not: the link itself, how it treats short frames and overruns, and the tail registers, which are the
//! [`Doorbells`](vfio_user_kit::Doorbells)' and travel with the PCI function. Time stands still for the device on its way:
//! it goes on with the time it was saved at.
//!
//! - [`codec`]: values and bytes.
//! - [`stream`]: sections, checksums, what is sent again after pre-copy.
//! - `sound`: what has to hold between values that came from outside, so that nothing of them can be an index or length
//!   that is not.
//!
//! Key types: [`StateError`], [`Model82599::save_state`], and the [`Migration`] of the model. Neighbours: the vfio-user
//! server calls the latter; each unit says next to its struct what of it is state.

mod codec;
mod foreign;
mod sound;
mod stream;

use vfio_user_kit::{Migration, MigrationError};

pub(crate) use codec::{Reader, State, Writer, state, state_enum, state_registers};
pub(crate) use sound::{check, within};
use stream::{Restoring, Saving};

use crate::model::Model82599;

/// Why a saved state is not taken, or cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes do not begin as a state of this model does.
    #[error("these bytes are not the state of an 82599 model")]
    Foreign,
    /// The state is of a version that this program does not know.
    #[error("the state has version {found}, this program reads version {known}: use programs of one version")]
    Version {
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// The state is of another variant.
    #[error("the state is of device {found:04x}, this is device {own:04x}: make it with the same --part")]
    Part {
        /// The device id in the state.
        found: u16,
        /// The device id of this model.
        own: u16,
    },
    /// A section is not one that there is, or longer than any can be.
    #[error("section {kind} of {len} bytes: the state has no such section")]
    Section {
        /// The section's number.
        kind: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// The bytes end too early.
    #[error("the state is not complete")]
    Truncated,
    /// The bytes changed on their way.
    #[error("the state's checksum is wrong")]
    Checksum,
    /// The bytes go on behind the end.
    #[error("there are bytes behind the end of the state")]
    Trailing,
    /// A value that no device has.
    #[error("the state is not consistent: {what}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
    },
}

impl StateError {
    /// The error without its numbers, as the protocol's trait takes it.
    fn plain(self) -> MigrationError {
        log::warn!("{self}");
        let reason = match self {
            StateError::Foreign => "not the state of an 82599 model",
            StateError::Version { .. } => "another version of the state",
            StateError::Part { .. } => "the state of another variant of the device",
            StateError::Section { .. } => "a section that there is not",
            StateError::Truncated => "not complete",
            StateError::Checksum => "the checksum is wrong",
            StateError::Trailing => "bytes behind the end",
            StateError::Invalid { what } => what,
        };
        MigrationError { reason }
    }
}

/// A migration under way.
#[derive(Default)]
pub(crate) struct Moving {
    saving: Saving,
    restoring: Restoring,
}

impl Model82599 {
    /// Returns the whole state. The tail registers are not in it: the backend that keeps them has to save them too.
    ///
    /// # Errors
    /// [`StateError::Section`] if what waits in the device is more than a state may hold, which no driver in its right mind
    /// brings about.
    pub fn save_state(&self) -> Result<Vec<u8>, StateError> {
        let mut saving = Saving::default();
        saving.begin(self)?;
        saving.finish();
        Ok(saving.into_bytes())
    }

    /// Becomes what the bytes say. The link stays plugged in.
    ///
    /// # Errors
    /// [`StateError`]; the model is as it was before.
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut restoring = Restoring::default();
        restoring.take(bytes)?;
        restoring.finish(self)
    }
}

impl Migration for Model82599 {
    fn pre_copy(&self) -> bool {
        true
    }

    fn begin_save(&mut self, running: bool) {
        let mut saving = Saving::default();
        saving.start(self, running);
        self.moving.saving = saving;
    }

    fn stop_and_copy(&mut self) {
        let mut saving = std::mem::take(&mut self.moving.saving);
        saving.stop(self);
        self.moving.saving = saving;
    }

    fn save(&mut self, data: &mut [u8]) -> Result<usize, MigrationError> {
        self.moving.saving.give(data).map_err(StateError::plain)
    }

    fn begin_restore(&mut self) {
        self.moving.restoring = Restoring::default();
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), MigrationError> {
        self.moving.restoring.take(data).map_err(StateError::plain)
    }

    fn end_restore(&mut self) -> Result<(), MigrationError> {
        let restoring = std::mem::take(&mut self.moving.restoring);
        restoring.finish(self).map_err(StateError::plain)
    }
}
