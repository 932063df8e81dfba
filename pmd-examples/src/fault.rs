//! What a command ends with when it does not succeed: one line for people, an exit code for programs.

use pmd_links::{LinkError, SpecError};
use vfio_hal::DeviceError;
use vfio_hal::dma::DmaError;
use vfio_hal::pci::discovery::{BindError, DiscoveryError};
use vfio_hal::pmd::PortError;

/// Exit code for a command line that cannot be carried out.
pub(crate) const USAGE: u8 = 2;

/// Exit code for anything that went wrong while running.
const FAILED: u8 = 1;

/// A failure, as a sentence that names the cause and the way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// It went wrong while running.
    #[error("{0}")]
    Run(String),
}

impl Fault {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Fault::Usage(_) => USAGE,
            Fault::Run(_) => FAILED,
        }
    }

    /// Puts the name of what failed before the sentence.
    pub(crate) fn of(self, what: &str) -> Fault {
        match self {
            Fault::Usage(text) => Fault::Usage(format!("{what}: {text}")),
            Fault::Run(text) => Fault::Run(format!("{what}: {text}")),
        }
    }
}

impl From<SpecError> for Fault {
    fn from(error: SpecError) -> Fault {
        Fault::Usage(error.to_string())
    }
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Fault {
        Fault::Run(error.to_string())
    }
}

impl From<DmaError> for Fault {
    fn from(error: DmaError) -> Fault {
        match error {
            DmaError::PoolTooSmall { .. } | DmaError::PoolShape { .. } => Fault::Usage(error.to_string()),
            _ => Fault::Run(error.to_string()),
        }
    }
}

impl From<DeviceError> for Fault {
    fn from(error: DeviceError) -> Fault {
        Fault::Run(error.to_string())
    }
}

impl From<PortError> for Fault {
    fn from(error: PortError) -> Fault {
        match error {
            PortError::OutOfRange { .. } | PortError::Invalid { .. } => Fault::Usage(error.to_string()),
            PortError::Dma(error) => error.into(),
            PortError::Ring(vfio_hal::ring::RingError::Size { .. }) => Fault::Usage(error.to_string()),
            _ => Fault::Run(error.to_string()),
        }
    }
}

impl From<BindError> for Fault {
    fn from(error: BindError) -> Fault {
        match error {
            BindError::NoDriver { .. }
            | BindError::TooManyFunctions { .. }
            | BindError::NothingToRestore { .. } => Fault::Usage(error.to_string()),
            BindError::Discovery(error) => error.into(),
            _ => Fault::Run(error.to_string()),
        }
    }
}

impl From<DiscoveryError> for Fault {
    fn from(error: DiscoveryError) -> Fault {
        match error {
            DiscoveryError::NoDevice { .. } | DiscoveryError::NoSuch { .. } => {
                Fault::Usage(error.to_string())
            }
            _ => Fault::Run(error.to_string()),
        }
    }
}
