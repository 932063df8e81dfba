//! Interrupts: which a device has, and where they are delivered.
//!
//! [`Irqs`] is the part of a [`Device`](crate::Device) that arms interrupts; [`IrqSink`] is what one vector
//! fires. With `std`, an eventfd is a sink, and the only kind the kernel's VFIO and vfio-user accept.

use alloc::sync::Arc;

use crate::device::DeviceError;

/// The interrupt kinds of a PCI device, in the order of VFIO's indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IrqKind {
    /// The legacy pin, level-triggered.
    IntX,
    /// Message-signalled interrupts.
    Msi,
    /// Extended message-signalled interrupts.
    MsiX,
    /// Unrecoverable PCIe error.
    Error,
    /// Somebody asks for the device back.
    Request,
}

/// What one interrupt kind can do on this device (VFIO_IRQ_INFO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IrqInfo {
    /// How many vectors there are.
    pub count: u32,
    /// Vectors can signal an eventfd.
    pub eventfd: bool,
    /// Vectors can be masked and unmasked through [`Irqs`].
    pub maskable: bool,
    /// A vector masks itself when it fires and must be unmasked.
    pub automasked: bool,
    /// The set of vectors cannot grow while enabled.
    pub no_resize: bool,
}

/// What a vector fires. Called from any thread; must not block.
pub trait IrqSink: Send + Sync {
    /// Signals once.
    fn fire(&self);

    /// Returns the eventfd behind the sink, for backends that hand it to the kernel or over a socket.
    #[cfg(feature = "std")]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

/// A device's interrupts.
pub trait Irqs: Send + Sync {
    /// Returns what the device says of `kind`; a count of 0 where it has none.
    fn info(&self, kind: IrqKind) -> IrqInfo;

    /// Delivers vector `first` of `kind` to `sinks[0]`, the next to `sinks[1]` and so on. `None` stops that
    /// vector; vectors outside of the list keep what they have.
    fn enable(
        &self,
        kind: IrqKind,
        first: u32,
        sinks: &[Option<Arc<dyn IrqSink>>],
    ) -> Result<(), DeviceError>;

    /// Stops all vectors of `kind`.
    fn disable(&self, kind: IrqKind) -> Result<(), DeviceError>;

    /// Masks one vector; an error where the backend cannot.
    fn mask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError>;

    /// Unmasks one vector; an error where the backend cannot.
    fn unmask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError>;

    /// Fires one vector from software.
    fn trigger(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError>;
}

/// An eventfd: what interrupts of an operating system's backend are delivered to.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct EventFd(std::os::fd::OwnedFd);

#[cfg(feature = "std")]
impl EventFd {
    /// Returns a new non-blocking, close-on-exec eventfd that counts from 0.
    pub fn new() -> Result<EventFd, DeviceError> {
        use rustix::event::{EventfdFlags, eventfd};
        eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map(EventFd)
            .map_err(|error| DeviceError::System { what: "eventfd", errno: error.raw_os_error() })
    }

    /// Returns how often it was signalled since the last call, and starts again from 0.
    pub fn take(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }

    /// Waits until it is signalled or `timeout` is over; returns how often it was signalled.
    pub fn wait(&self, timeout: core::time::Duration) -> Result<u64, DeviceError> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let limit = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)) {
            // A signal is a wake-up without an interrupt: the caller polls again.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(self.take()),
            Err(error) => Err(DeviceError::System { what: "poll", errno: error.raw_os_error() }),
        }
    }
}

#[cfg(feature = "std")]
impl std::os::fd::AsFd for EventFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(feature = "std")]
impl IrqSink for EventFd {
    fn fire(&self) {
        // Full (2^64 - 2 signals not taken) still reads as signalled, so nothing is lost.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(&self.0))
    }
}
