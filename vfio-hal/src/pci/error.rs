//! What can be wrong with a configuration space.

use crate::device::DeviceError;

/// Why configuration space could not be understood or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A capability list comes back to an entry it has passed.
    #[error("the capability list loops: it comes back to {offset:#x}; the device is broken or hostile")]
    Loop {
        /// The entry, in bytes.
        offset: u16,
    },
    /// A capability pointer that is no multiple of 4.
    #[error(
        "a capability pointer leads to {offset:#x}, which is no multiple of 4; the device is broken or hostile"
    )]
    Misaligned {
        /// Where it leads, in bytes.
        offset: u16,
    },
    /// A capability pointer into the header or beyond the end.
    #[error(
        "a capability pointer leads to {offset:#x}, outside of {first:#x} to {last:#x}; the device is broken or hostile"
    )]
    Outside {
        /// Where it leads, in bytes.
        offset: u16,
        /// The first place for a capability.
        first: u16,
        /// The last place for one.
        last: u16,
    },
    /// A capability that ends beyond its part of configuration space.
    #[error(
        "capability {id:#x} at {offset:#x} has {len} bytes and ends beyond its space; the device is broken or hostile"
    )]
    Overrun {
        /// The capability's id.
        id: u16,
        /// Where it starts, in bytes.
        offset: u16,
        /// How long it says it is, in bytes.
        len: u16,
    },
    /// The device has no such capability.
    #[error("the device has no {what} capability")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// A field with a value that the specification reserves.
    #[error("{what} has the reserved value {value:#x}; the device is broken, or newer than this program")]
    Reserved {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// The device could not be reached.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
