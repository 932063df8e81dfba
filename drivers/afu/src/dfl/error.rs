//! What can be wrong with a feature list.

use vfio_hal::DeviceError;
use vfio_hal::pci::ConfigError;

/// Why a feature list cannot be walked. `at` is the header's offset in its BAR, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DflError {
    /// The header is not where one can be.
    #[error("a feature header cannot be at {at:#x} of BAR {bar}: it must be a multiple of 8")]
    Misaligned {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
    },
    /// The list leaves its BAR.
    #[error("the feature list leaves BAR {bar}: {what} at {at:#x} lies beyond its {len:#x} bytes")]
    Overrun {
        /// Which BAR.
        bar: u8,
        /// What was to be read.
        what: &'static str,
        /// Where.
        at: u64,
        /// The BAR's length in bytes.
        len: u64,
    },
    /// The list comes back to where it has been, or two lists meet.
    #[error("the feature list of BAR {bar} comes to {at:#x} a second time: the card's lists are damaged")]
    Loop {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
    },
    /// A feature that is not the last names no next one.
    #[error("the feature at {at:#x} of BAR {bar} is neither the last nor says where the next is")]
    NoNext {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
    },
    /// There is no list.
    #[error(
        "no feature list at {at:#x} of BAR {bar} (it reads {word:#x}): not a DFL card, or it is held in reset"
    )]
    Absent {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
        /// What is there instead of a header.
        word: u64,
    },
    /// A version of the header that is not known.
    #[error("the feature at {at:#x} of BAR {bar} has header version {version}: 0 and 1 are known")]
    Version {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
        /// The version.
        version: u8,
    },
    /// More features than any card has.
    #[error("more than {limit} features: the card's lists are damaged")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// Parameters of a feature that lead nowhere, or too many.
    #[error("the parameters of the feature at {at:#x} of BAR {bar} are damaged")]
    Parameters {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
    },
    /// Registers of a feature that lie outside of the BAR.
    #[error("the registers of the feature at {at:#x} of BAR {bar} would be at {registers:#x}, outside of it")]
    Registers {
        /// Which BAR.
        bar: u8,
        /// Where.
        at: u64,
        /// Where its registers would be: bytes from the BAR's start, or the address if it is absolute.
        registers: u64,
    },
    /// A port that the management engine puts where there is nothing.
    #[error("the management engine says that port {port} is in BAR {bar}: there is no such BAR")]
    PortBar {
        /// Which port.
        port: u8,
        /// Which BAR.
        bar: u8,
    },
    /// The vendor-specific capability with the lists is damaged.
    #[error("the capability that says where the feature lists are (VSEC 43h) is damaged: {what}")]
    Capability {
        /// What is wrong.
        what: &'static str,
    },
    /// Configuration space is damaged.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
