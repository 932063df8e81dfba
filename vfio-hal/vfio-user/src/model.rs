//! The device model's trait and what surrounds a model.

use core::time::Duration;

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

    /// Puts the device back into its power-on state. No DMA may follow from before.
    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind);
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

/// What surrounds a model during a call.
pub struct Context<'a> {
    /// Memory.
    pub dma: &'a dyn DmaBus,
    /// Interrupts.
    pub irq: &'a dyn IrqBus,
    /// Doorbell registers.
    pub doorbells: &'a dyn Doorbells,
    /// The time since the device was switched on, real or virtual.
    pub now: Duration,
}
