//! The device model's trait.
//!
//! Key types: [`DeviceModel`], [`Migration`]. What a model is given with each call is in [`Context`].

use core::time::Duration;

use crate::config::WriteError;
use crate::context::{Context, DmaRange, IrqKind};
use crate::spec::Spec;

/// A device, played by a program.
///
/// The surrounding backend calls it from one thread at a time. A register write only latches; work that touches
/// memory happens in [`step`](Self::step), never inside the driver's register access, so that a driver meets the
/// same asynchrony as with silicon and a test can stop time between the two.
pub trait DeviceModel: Send {
    /// Returns what the device looks like on PCI. Called once, before anything else.
    fn spec(&self) -> Spec;

    /// Reads a register: fills `data` (1, 2, 4 or 8 bytes, little endian) from `offset` of BAR `bar`.
    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError>;

    /// Writes a register: `data` is 1, 2, 4 or 8 bytes, little endian, at `offset` of BAR `bar`.
    fn bar_write(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError>;

    /// Does a bounded amount of what is pending: fetch descriptors, move packets, fire interrupts.
    fn step(&mut self, cx: &mut Context<'_>) -> Work;

    /// Returns when the model wants its next step although nothing happens from outside, on the clock of
    /// [`Context::now`]: whoever lets it work sleeps no longer than that. `None` if it has no timer running.
    fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// Reads from configuration space what the spec leaves to the model, by a capability of
    /// [`CapabilityAccess::Model`](crate::CapabilityAccess::Model) or by its
    /// [`ConfigCallback`](crate::ConfigCallback). Without an implementation it is memory.
    ///
    /// # Errors
    /// [`AccessError`], which the client gets as an errno.
    fn config_read(&mut self, cx: &mut Context<'_>, offset: u16, data: &mut [u8]) -> Result<(), AccessError> {
        let range = |_| AccessError::OutOfRange { bar: Spec::CONFIG, offset: offset.into() };
        cx.config.read(offset, data).map_err(range)
    }

    /// Writes to configuration space what the spec leaves to the model. Without an implementation it is memory, and
    /// what is emulated stays so.
    ///
    /// # Errors
    /// [`AccessError`], which the client gets as an errno.
    fn config_write(&mut self, cx: &mut Context<'_>, offset: u16, data: &[u8]) -> Result<(), AccessError> {
        let range = |_| AccessError::OutOfRange { bar: Spec::CONFIG, offset: offset.into() };
        match cx.config.set(offset, data) {
            Err(WriteError::Emulated { .. }) => cx.config.write(offset, data).map_err(range),
            other => other.map_err(range),
        }
    }

    /// Puts the device back into its power-on state. No DMA may follow from before.
    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind);

    /// Returns the parts of BARs that a client in another process may map instead of sending messages. Asked
    /// once. The backend in the same process does not ask.
    fn shared_areas(&self) -> Vec<SharedArea> {
        Vec::new()
    }

    /// Returns the registers whose writes may come as a signal without a value. Asked once, by the server only.
    fn notify_areas(&self) -> Vec<NotifyArea> {
        Vec::new()
    }

    /// A register of [`notify_areas`](Self::notify_areas) was written, at least once since the last call.
    fn notified(&mut self, cx: &mut Context<'_>, area: usize) {
        let _ = (cx, area);
    }

    /// A client came.
    fn opened(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// The client left. Its memory is gone already. [`reset`](Self::reset) follows if the server is so set.
    fn released(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Client memory became reachable.
    fn dma_mapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        let _ = (cx, range);
    }

    /// Client memory is about to go: this is the last call in which it can be reached.
    fn dma_unmapped(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        let _ = (cx, range);
    }

    /// The client takes memory back of which [segments](crate::Segment) are held: lets go of them, now or in one of the next
    /// steps. Asked again until none is left or the server's limit is over, when the client gets `EBUSY` and the memory
    /// stays.
    fn dma_wanted(&mut self, cx: &mut Context<'_>, range: DmaRange) {
        let _ = (cx, range);
    }

    /// The client masked or unmasked a vector.
    fn irq_masked(&mut self, cx: &mut Context<'_>, kind: IrqKind, vector: u32, masked: bool) {
        let _ = (cx, kind, vector, masked);
    }

    /// Comes to rest before memory, state or power change under the device. Returns whether it is at rest; until
    /// then the server goes on with [`step`](Self::step) and asks again. A model whose DMA ends with each call is
    /// always at rest.
    fn quiesce(&mut self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        true
    }

    /// The change is over; what [`quiesce`](Self::quiesce) held back may go on.
    fn resume(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Returns the model's way to save and restore its state, if it has one.
    fn migration(&mut self) -> Option<&mut dyn Migration> {
        None
    }

    /// Answers a DEVICE_FEATURE that the server does not know. `data` is what the client sent with it.
    ///
    /// # Errors
    /// [`FeatureError`], which the client gets as an errno.
    fn feature(
        &mut self,
        cx: &mut Context<'_>,
        request: FeatureRequest,
        data: &[u8],
    ) -> Result<Vec<u8>, FeatureError> {
        let _ = (cx, request, data);
        Err(FeatureError::Unknown)
    }
}

/// Saves and restores a model. The server keeps the states and calls only what the state allows.
pub trait Migration {
    /// Returns whether the device can be saved while it runs, and the rest when it is stopped.
    fn pre_copy(&self) -> bool {
        false
    }

    /// Starts to save. Every call starts from the beginning. `running`: this is the pre-copy phase.
    fn begin_save(&mut self, running: bool);

    /// From here on the device is stopped: what [`save`](Self::save) has not given yet, or what changed since, is
    /// given now.
    fn stop_and_copy(&mut self);

    /// Fills the front of `data` with the next bytes of the state. Returns how many; fewer than `data` has means
    /// that there are no more for now.
    ///
    /// # Errors
    /// [`MigrationError`] if the state cannot be given.
    fn save(&mut self, data: &mut [u8]) -> Result<usize, MigrationError>;

    /// Starts to restore.
    fn begin_restore(&mut self);

    /// Takes the next bytes of the state.
    ///
    /// # Errors
    /// [`MigrationError`] if they cannot be right.
    fn restore(&mut self, data: &[u8]) -> Result<(), MigrationError>;

    /// All bytes were given: becomes what they say, and stays stopped.
    ///
    /// # Errors
    /// [`MigrationError`] if they are not complete or not consistent. The device is as it was before.
    fn end_restore(&mut self) -> Result<(), MigrationError>;
}

/// State that a model cannot save or restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device's state cannot be saved or restored: {reason}")]
pub struct MigrationError {
    /// What is wrong with it.
    pub reason: &'static str,
}

/// What a client wants of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureRequest {
    /// The feature's number.
    pub index: u16,
    /// Its data are wanted.
    pub get: bool,
    /// It is to be set.
    pub set: bool,
    /// Only the question whether it can be.
    pub probe: bool,
}

/// Why a feature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// There is no such feature.
    #[error("the device has no such feature")]
    Unknown,
    /// The data do not fit the feature.
    #[error("the feature's data are not valid")]
    Invalid,
}

/// A part of a BAR that is memory of a file.
#[derive(Clone, Debug)]
pub struct SharedArea {
    /// The BAR.
    pub bar: u8,
    /// From the start of the BAR, in bytes; whole pages.
    pub offset: u64,
    /// Bytes; whole pages.
    pub len: u64,
    /// The file. A file for each area keeps a client from mapping what is not meant for it. With a doorbell in the area it
    /// must be a memory file that is sealed against shrinking.
    pub file: std::sync::Arc<std::os::fd::OwnedFd>,
    /// Where in the file the area starts.
    pub file_offset: u64,
}

/// A register whose writes may come as signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyArea {
    /// The BAR.
    pub bar: u8,
    /// From the start of the BAR, in bytes.
    pub offset: u64,
    /// Bytes: 1, 2, 4 or 8.
    pub len: u8,
    /// Only a write of this value signals.
    pub datamatch: Option<u64>,
}

/// Whether a step found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It did something; calling again at once is worth it.
    Done,
    /// There was nothing to do; it needs a register access, a doorbell, traffic from outside or time.
    Idle,
}

/// Why a device is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// Function-level reset, or the backend's device reset.
    Function,
    /// The client went away.
    LostClient,
}

/// A register access the device does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No such BAR, or beyond its end.
    #[error("no register at offset {offset:#x} of BAR {bar}")]
    OutOfRange {
        /// The BAR.
        bar: u8,
        /// The offset in bytes.
        offset: u64,
    },
    /// A width or alignment the registers do not take.
    #[error("an access of {width} bytes at offset {offset:#x} is not supported")]
    Width {
        /// The offset in bytes.
        offset: u64,
        /// The width in bytes.
        width: usize,
    },
}
