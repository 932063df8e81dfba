//! Devices behind the kernel's VFIO.
//!
//! - [`VfioDevice`] is a [`Device`](crate::Device) that the kernel hands out, with everything else that VFIO can do
//!   with one: regions, resets, low power, migration, device features.
//! - [`Iommu`] is the context in which devices see memory. Devices that share one share its mappings.
//! - [`Options`] chooses the interface ([`Api`]), the context and the [`Token`] of a VF.
//! - [`VfioError`] says why a device could not be opened, and what to do.
//!
//! Three interfaces of the kernel look alike from here: a device file with an iommufd, a group in a container (type1),
//! and a group without an IOMMU, in which a device reaches all memory and which must be asked for.
//!
//! ```no_run
//! use std::sync::Arc;
//! use vfio_hal::Device;
//! use vfio_hal::backend::vfio::{Options, VfioDevice};
//! use vfio_hal::dma::IovaSpace;
//!
//! let first = VfioDevice::open("0000:01:00.0", &Options::default())?;
//! // The second shares the IOMMU context of the first: what both map is pinned once.
//! let options = Options { iommu: Some(first.iommu().clone()), ..Options::default() };
//! let second = VfioDevice::open("0000:01:00.1", &options)?;
//!
//! let space = IovaSpace::new();
//! for device in [first, second] {
//!     let device: Arc<dyn Device> = device;
//!     space.attach(&device)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

mod chain;
mod core;
mod device;
mod dirty;
mod error;
mod events;
#[cfg(test)]
mod fake;
mod feature;
mod info;
mod iommu;
mod irqs;
mod migration;
mod open;
mod pagemap;
mod reset;
mod sys;
mod sysfs;
mod token;
mod window;

pub use device::VfioDevice;
pub use dirty::DirtyTracking;
pub use error::{Label, Members, VfioError};
pub use events::{DeviceEvent, DeviceEvents};
pub use feature::Feature;
pub use info::{Atomics, DeviceInfo, DeviceKind, RegionInfo, UnknownCapability};
pub use iommu::{Iommu, Limits};
pub use migration::MigrationStream;
pub use reset::{Dependent, Owner};
pub use token::{Token, TokenError};
pub use window::{MappedWindow, Protection};

/// An interface of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Api {
    /// An iommufd if there is one and the device file may be opened, else type1. Never no-IOMMU.
    #[default]
    Auto,
    /// A device file and an iommufd (Linux 6.6 and later).
    Iommufd,
    /// A group in a container with a type1 IOMMU.
    Type1,
    /// A group without an IOMMU: the device reaches all memory of the machine.
    NoIommu,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Api::Auto => "auto",
            Api::Iommufd => "iommufd",
            Api::Type1 => "type1",
            Api::NoIommu => "noiommu",
        })
    }
}

/// A text that names no interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an interface of VFIO: write auto, iommufd, type1 or noiommu")]
pub struct ApiError;

impl FromStr for Api {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Api, ApiError> {
        let all = [Api::Auto, Api::Iommufd, Api::Type1, Api::NoIommu];
        all.into_iter().find(|api| api.to_string() == text).ok_or(ApiError)
    }
}

/// How a device is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The interface. No-IOMMU mode is only used when it is named here.
    pub api: Api,
    /// The secret that a PF shares with its VFs.
    pub token: Option<Token>,
    /// The IOMMU context to join. Without it, a device gets one of its own, or that of its IOMMU group if this process
    /// has a device of it open.
    pub iommu: Option<Iommu>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_as_they_are_written() {
        for api in [Api::Auto, Api::Iommufd, Api::Type1, Api::NoIommu] {
            assert_eq!(api.to_string().parse(), Ok(api));
        }
        assert_eq!("vfio".parse::<Api>(), Err(ApiError));
    }

    #[test]
    fn what_is_not_there_cannot_be_opened() {
        let open = |address: &str| VfioDevice::open(address, &Options::default()).map(drop);
        assert!(matches!(open("ffff:ff:1f.7"), Err(VfioError::NoDevice { .. })));
        assert!(matches!(open("lo"), Err(VfioError::Address { .. })));
    }
}
