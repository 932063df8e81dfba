//! What can go wrong.

use vfio_hal::DeviceError;
use vfio_hal::dma::DmaError;
use vfio_hal::pci::ConfigError;
use vfio_hal::ring::RingError;

use crate::dfl::DflError;
use crate::fme::PrError;
use crate::guid::Uuid;

/// Why a card, a port or an accelerator did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AfuError {
    /// The feature lists are damaged.
    #[error(transparent)]
    Dfl(#[from] DflError),
    /// Partial reconfiguration failed.
    #[error(transparent)]
    Pr(#[from] PrError),
    /// Memory could not be had or mapped.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// A ring could not be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// Configuration space is damaged.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The device failed, is gone, or did not answer in time.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No accelerator with this GUID.
    #[error("the card has no accelerator {guid}: list what it has, or reconfigure it")]
    NoAccelerator {
        /// The GUID asked for.
        guid: Uuid,
    },
    /// Nothing fits what was asked for.
    #[error("no accelerator has all of the properties asked for: ask for fewer, or list what there is")]
    NoMatch,
    /// An accelerator of another kind than the driver is for.
    #[error("the accelerator is {found}, the driver is for {wanted}")]
    WrongAccelerator {
        /// What it is.
        found: Uuid,
        /// What the driver is for.
        wanted: Uuid,
    },
    /// No such port.
    #[error("the card has no port {port}")]
    NoPort {
        /// Which.
        port: u8,
    },
    /// A feature that this card or port does not have.
    #[error("this card has no {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// Somebody else has it, or it is wanted for one alone.
    #[error("port {port} is in use by {users} others: close them first, or open it shared in all places")]
    InUse {
        /// Which port.
        port: u8,
        /// How many have it.
        users: u32,
    },
    /// The port is held in reset.
    #[error("port {port} is held in reset: its accelerator cannot be used until it is released")]
    InReset {
        /// Which port.
        port: u8,
    },
    /// Accesses to the accelerator did not end, so its port was not reset.
    #[error("port {port} was not reset: accesses to its accelerator are still under way")]
    Busy {
        /// Which port.
        port: u8,
    },
    /// The port is throttled to a stop (AP6), where errors cannot be cleared.
    #[error(
        "port {port} is stopped for its temperature or power (AP6): its errors cannot be cleared until it is not"
    )]
    Throttled {
        /// Which port.
        port: u8,
    },
    /// Errors came up between reading and clearing.
    #[error("the errors are {now:#x} now, not the {seen:#x} that were to be cleared: read them again")]
    Changed {
        /// What was to be cleared.
        seen: u64,
        /// What there is.
        now: u64,
    },
    /// The accelerator did not finish in time. It was reset, and its buffers are free.
    #[error("the accelerator did not finish within {millis} ms; it was reset, its buffers are free")]
    Unfinished {
        /// How long it was waited for, in milliseconds.
        millis: u32,
    },
    /// The accelerator reported an error of its own.
    #[error("the accelerator reports error {code:#x}: see the port's errors; reset it")]
    Accelerator {
        /// The code, see the accelerator's documentation.
        code: u64,
    },
    /// A parameter that the accelerator or card does not take.
    #[error("{what} cannot be {value}: {reason}")]
    Parameter {
        /// Which parameter.
        what: &'static str,
        /// Its value.
        value: u64,
        /// Why not.
        reason: &'static str,
    },
    /// A buffer that is too small.
    #[error("the {what} buffer has {have} bytes, the test needs {need}")]
    BufferTooSmall {
        /// Which buffer.
        what: &'static str,
        /// Its length.
        have: u64,
        /// What is needed.
        need: u64,
    },
    /// A buffer that the device may not use in this way.
    #[error("the {what} buffer is not mapped for the device to {access} it")]
    BufferAccess {
        /// Which buffer.
        what: &'static str,
        /// `read` or `write`.
        access: &'static str,
    },
}
