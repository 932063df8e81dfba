//! The one trait between drivers and everything that can be a device.
//!
//! [`Device`] is open: a VFIO device, a vfio-user socket, a model in this process, a bare-metal platform and a
//! bench with a register file in RAM implement it, and a driver cannot tell which one it got. Its parts are
//! [`Bar`] (registers), [`Dma`] (memory), [`Irqs`] (interrupts) and configuration space; what
//! a device does not have, it leaves at the default, which answers [`DeviceError::Unsupported`].
//!
//! [`Lost`] is the latch that says the device is gone. Registers stay infallible in the type and honest in the
//! value: a failed read is all ones, the latch closes, and every burst and every poll looks at it once.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::addr::Iova;
use crate::bar::Bar;
use crate::dma::Dma;
use crate::irq::Irqs;

/// Something a driver can drive.
///
/// Methods take `&self` and may be called from several threads; what is read-modify-write (configuration
/// space, shared registers) belongs to one owner above, see [`pci::Config`](crate::pci::Config).
pub trait Device: Send + Sync {
    /// Returns the name users know the device by: `0000:01:00.0`, `net_ixgbe0`, a socket's path.
    fn name(&self) -> &str;

    /// Returns the latch that closes when the device is gone.
    fn lost(&self) -> &Lost;

    /// Opens base address register `index`, 0 to 5. Each call may map again; drivers call it once.
    fn bar(&self, index: u8) -> Result<Bar, DeviceError>;

    /// Returns the device's way to memory.
    fn dma(&self) -> &dyn Dma;

    /// Returns the device's interrupts, `None` where it has no way to deliver any.
    fn irqs(&self) -> Option<&dyn Irqs> {
        None
    }

    /// Reads configuration space from `offset`. Fills all of `data` or fails: a short read is an error.
    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        let _ = (offset, data);
        Err(DeviceError::Unsupported { what: "configuration space" })
    }

    /// Writes configuration space from `offset`, all of `data` or none.
    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        let _ = (offset, data);
        Err(DeviceError::Unsupported { what: "configuration space" })
    }

    /// Resets the whole function (FLR or what the backend has). All DMA has stopped when it returns `Ok`.
    fn reset(&self) -> Result<(), DeviceError> {
        Err(DeviceError::Unsupported { what: "function reset" })
    }
}

/// Why a device could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The device was removed, its server died, or it no longer answers.
    #[error("the device is gone: it was removed, or the process that served it ended")]
    Lost,
    /// This device or backend has no such thing.
    #[error("this device has no {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The device has no such BAR.
    #[error(
        "BAR {index} is not there: the device does not implement it, or it is the upper half of a 64-bit BAR"
    )]
    NoBar {
        /// The BAR asked for.
        index: u8,
    },
    /// The BAR is too small for the driver's registers: not the device the driver is for.
    #[error(
        "BAR {index} has {len:#x} bytes, the driver's registers need {need:#x}: not the device it is for?"
    )]
    BarTooSmall {
        /// Which BAR.
        index: u8,
        /// Its length in bytes.
        len: u64,
        /// The bytes that the register block spans.
        need: u64,
    },
    /// A register access outside of every window of the BAR.
    #[error("BAR {index} has no window that holds offset {offset:#x}, {width} bytes wide")]
    OutOfBar {
        /// Which BAR.
        index: u8,
        /// The offset in bytes.
        offset: u64,
        /// The access width in bytes.
        width: u8,
    },
    /// An index beyond a register array.
    #[error("register {register} has {count} entries, there is no number {index}")]
    RegisterIndex {
        /// The register's name.
        register: &'static str,
        /// The index asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A configuration-space access outside of what the device has.
    #[error("configuration space ends before offset {offset:#x} + {len} bytes")]
    ConfigRange {
        /// The first byte of the access.
        offset: u16,
        /// The bytes asked for.
        len: u16,
    },
    /// A bus address of one address space for a device that is in another.
    #[error("that memory belongs to another IOVA space than the device: allocate it from the device's space")]
    ForeignSpace,
    /// A proof that one device stopped, shown for the memory of another.
    #[error("the proof that DMA has stopped is of another device: stop the one that has the memory")]
    ForeignProof,
    /// A bus address register before anyone said which address space the device is in.
    #[error(
        "{register} takes a bus address, but its block is bound to no IOVA space: bind it to the device's first"
    )]
    Unbound {
        /// The register's name.
        register: &'static str,
    },
    /// A bus address that the register cannot hold.
    #[error(
        "{register} cannot hold the address {iova}: it must be a multiple of {align} and fit the register"
    )]
    BusAlign {
        /// The register's name.
        register: &'static str,
        /// The address.
        iova: Iova,
        /// What it must be a multiple of, in bytes.
        align: u64,
    },
    /// The device did not do in time what it must.
    #[error(
        "the device did not finish '{what}' within {millis} ms: reset it, and if that fails, power-cycle it"
    )]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long, in milliseconds.
        millis: u32,
    },
    /// The operating system or the other side of a socket refused.
    #[error("the system refused '{what}' (errno {errno})")]
    System {
        /// What was tried.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
}

/// The latch of a lost device. Clones share it; it never opens again.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Returns a latch that is open: the device is there.
    pub fn new() -> Lost {
        Lost::default()
    }

    /// Closes the latch.
    #[cold]
    pub fn latch(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Returns whether the device is gone.
    #[inline]
    pub fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns whether both are the latch of the same device.
    pub fn is_same(&self, other: &Lost) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns [`DeviceError::Lost`] if the device is gone.
    pub fn check(&self) -> Result<(), DeviceError> {
        if self.is_lost() { Err(DeviceError::Lost) } else { Ok(()) }
    }
}
