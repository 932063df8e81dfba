//! What surrounds a model during a call: its ways to memory, interrupts, doorbells and configuration space.
//!
//! Key type: [`Context`]. Each backend, the one in this process and the [`server`](crate::server), brings its own
//! [`DmaBus`], [`IrqBus`], [`Doorbells`] and [`ConfigBus`].

use core::time::Duration;

use crate::config::{ConfigError, WriteError};
use crate::segment::{DmaRight, Segment, SegmentError};
#[cfg(doc)]
use crate::spec::Spec;

/// Client memory that is reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRange {
    /// The first bus address.
    pub iova: u64,
    /// Bytes.
    pub len: u64,
    /// The device may read it.
    pub readable: bool,
    /// The device may write it.
    pub writable: bool,
    /// It is reached through a file, not by messages.
    pub file: bool,
    /// Bytes of a page of it: 4,096, or those of the huge pages that the file is made of.
    pub page: u64,
}

/// A way in which a PCI function interrupts, with the number that VFIO has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IrqKind {
    /// The INTx pin.
    IntX = 0,
    /// MSI.
    Msi = 1,
    /// MSI-X.
    MsiX = 2,
    /// An uncorrectable error.
    Error = 3,
    /// The device asks to be given back.
    Request = 4,
}

/// Memory access by the device that did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaFault {
    /// Not mapped in full.
    #[error("DMA to {iova:#x}, {len} bytes: not mapped")]
    NotMapped {
        /// The first address.
        iova: u64,
        /// The length in bytes.
        len: usize,
    },
    /// Mapped, but not for this direction.
    #[error("DMA to {iova:#x}: mapped without the right to {access}")]
    Protection {
        /// The first address.
        iova: u64,
        /// `read` or `write`.
        access: &'static str,
    },
    /// Bus mastering is off in the command register, so the device may not start a transaction.
    #[error("DMA to {iova:#x} while bus mastering is off")]
    NotBusMaster {
        /// The first address.
        iova: u64,
    },
    /// An address that a word access needs aligned is not.
    #[error("DMA word at {iova:#x} is not aligned")]
    Unaligned {
        /// The address.
        iova: u64,
    },
}

/// The device's way to memory. Accesses copy: no reference to shared memory exists on the device's side.
pub trait DmaBus {
    /// Copies memory at `iova` into `data`.
    fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), DmaFault>;

    /// Copies `data` to memory at `iova`.
    fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaFault>;

    /// Reads one aligned little-endian 64-bit word with Acquire order: what its writer stored before is seen.
    fn load(&self, iova: u64) -> Result<u64, DmaFault>;

    /// Writes one aligned little-endian 64-bit word with Release order: what was written before is seen with it.
    fn store(&self, iova: u64, word: u64) -> Result<(), DmaFault>;

    /// The same for an aligned 32-bit word (head write-back).
    fn store32(&self, iova: u64, word: u32) -> Result<(), DmaFault>;

    /// Returns whether the device may start transactions at all.
    fn is_master(&self) -> bool {
        true
    }

    /// Returns the mapping that an address is in.
    fn info(&self, iova: u64) -> Option<DmaRange> {
        let _ = iova;
        None
    }

    /// Returns a range as a list of at most `max` parts, each in one mapping and held until it is dropped: for a
    /// device that works on memory for longer than a call.
    ///
    /// # Errors
    /// [`SegmentError`], and nothing is held then.
    fn segments(
        &self,
        iova: u64,
        len: usize,
        right: DmaRight,
        max: usize,
    ) -> Result<Vec<Segment>, SegmentError> {
        let _ = (iova, len, right, max);
        Err(SegmentError::Unsupported)
    }
}

/// The device's interrupts.
pub trait IrqBus {
    /// Fires MSI or MSI-X vector `vector`, if the driver enabled it.
    fn msi(&self, vector: u32);

    /// Sets the level of the INTx pin.
    fn intx(&self, asserted: bool);
}

/// The registers a [`Spec`] names as doorbells: the backend stores what the driver writes and the model
/// looks when it steps. A write is one atomic store, without a lock or a message.
pub trait Doorbells {
    /// Returns the last value written to doorbell `index` (its place in the spec's list), with Acquire order.
    fn load(&self, index: usize) -> u32;

    /// Sets what a read of doorbell `index` gives, as a reset of the device does.
    fn store(&self, index: usize, value: u32);
}

/// The function's configuration space, from the model's side.
pub trait ConfigBus {
    /// Reads any number of bytes as software would, but without asking the model.
    ///
    /// # Errors
    /// When they are not all inside.
    fn read(&self, offset: u16, data: &mut [u8]) -> Result<(), ConfigError>;

    /// Sets bytes that are the model's, whatever software may write: those of its own capabilities, and those that
    /// are neither header nor capability.
    ///
    /// # Errors
    /// When it reaches bytes that are emulated. Nothing has changed then.
    fn set(&self, offset: u16, data: &[u8]) -> Result<(), WriteError>;

    /// Writes as software does, with all consequences: bits that are read-only stay, interrupts go out, and a reset that
    /// it asks for follows when the model's call is over.
    ///
    /// # Errors
    /// When they are not all inside.
    fn write(&self, offset: u16, data: &[u8]) -> Result<(), WriteError>;
}

/// Configuration space that is not there, for a bench that plays a model without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoConfig;

impl ConfigBus for NoConfig {
    fn read(&self, offset: u16, data: &mut [u8]) -> Result<(), ConfigError> {
        Err(ConfigError { offset, len: data.len() })
    }

    fn set(&self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        Err(ConfigError { offset, len: data.len() }.into())
    }

    fn write(&self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        self.set(offset, data)
    }
}

/// What surrounds a model during a call.
pub struct Context<'a> {
    /// Memory.
    pub dma: &'a dyn DmaBus,
    /// Interrupts.
    pub irq: &'a dyn IrqBus,
    /// Doorbell registers.
    pub doorbells: &'a dyn Doorbells,
    /// Its own configuration space.
    pub config: &'a dyn ConfigBus,
    /// The time since the device was switched on, real or virtual.
    pub now: Duration,
}
