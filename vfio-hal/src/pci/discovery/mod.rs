//! PCI devices as the operating system knows them, and which driver holds them.
//!
//! What it does: reads sysfs, and gives a device to another driver and back.
//!
//! Key types:
//! - [`System`] is where to look: this machine, or a copy of its files below another root.
//! - [`Found`] is one device: ids, class, driver, IOMMU group, NUMA node, [`PciLink`], [`Virtual`] functions and
//!   [`Interface`]s with what they are in use for.
//! - [`Plan`] is what binding will write, to be looked at or carried out: [`System::plan_bind`],
//!   [`System::plan_unbind`], [`System::plan_release`], [`System::plan_functions`].
//! - [`DiscoveryError`] and [`BindError`] say what is in the way, and how to get past it.
//!
//! Neighbours: the backend for the kernel's VFIO opens what is bound here; the parent module reads configuration
//! space, which needs no operating system.

mod bind;
mod device;
mod error;
mod files;
mod interface;
mod link;
mod name;
mod plan;
mod state;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::{fs, io};

use crate::addr::Bdf;

pub use bind::{BindOptions, Owner};
pub use device::{Found, Holder, Virtual};
pub use error::{BindError, DiscoveryError};
pub use files::VfioFiles;
pub use interface::{InUse, Interface};
pub use link::{LinkSpeed, PciLink};
pub use name::Name;
pub use plan::{Carried, Plan, Step};

/// How a file of the kernel is written.
type Write = dyn Fn(&Path, &str) -> io::Result<()> + Send + Sync;

/// The files of an operating system: `/sys`, `/proc`, `/dev` and `/run` below a root.
#[derive(Clone)]
pub struct System {
    root: PathBuf,
    write: Arc<Write>,
}

impl System {
    /// Returns this machine.
    pub fn new() -> System {
        System::at("/")
    }

    /// Returns the machine whose files are below `root`: a copy of another one's, or what a test has made.
    pub fn at(root: impl Into<PathBuf>) -> System {
        System { root: root.into(), write: Arc::new(write) }
    }

    /// Writes files of the kernel by `write` instead of by opening them: for a test that plays the kernel.
    pub fn with_write(self, write: impl Fn(&Path, &str) -> io::Result<()> + Send + Sync + 'static) -> System {
        System { write: Arc::new(write), ..self }
    }

    /// Returns every PCI device, in the order of their addresses.
    pub fn devices(&self) -> Result<Vec<Found>, DiscoveryError> {
        let entries = match fs::read_dir(self.path("sys/bus/pci/devices")) {
            Ok(entries) => entries,
            // A kernel without PCI, or a container without sysfs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(DiscoveryError::NoPci),
            Err(error) => return Err(DiscoveryError::read("the list of PCI devices", &error)),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<Bdf>().ok());
        let mut addresses: Vec<Bdf> = names.collect();
        addresses.sort_unstable();
        let mut all = Vec::new();
        for address in addresses {
            match self.device(address) {
                Ok(found) => all.push(found),
                // It was removed meanwhile.
                Err(DiscoveryError::NoDevice { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Returns the device at `address`.
    pub fn device(&self, address: Bdf) -> Result<Found, DiscoveryError> {
        device::read(self, address)
    }

    /// Returns the device that a user means: an address with or without domain, a path in sysfs, or the name of a
    /// network interface.
    pub fn resolve(&self, text: &str) -> Result<Bdf, DiscoveryError> {
        let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if let Ok(address) = Bdf::from_str(last) {
            let there = self.device_dir(address).is_dir();
            return if there { Ok(address) } else { Err(DiscoveryError::NoDevice { address }) };
        }
        let unknown = DiscoveryError::NoSuch { name: Name::new(last) };
        let valid = !last.is_empty() && last != "." && last != "..";
        let link = valid.then(|| fs::canonicalize(self.path("sys/class/net").join(last).join("device")));
        // The interface of a virtio device hangs one folder below the PCI device.
        let place = link.and_then(Result::ok).ok_or(unknown)?;
        let address = place.ancestors().find_map(|part| part.file_name()?.to_str()?.parse().ok());
        address.ok_or(unknown)
    }

    /// Returns whether the kernel may give devices to VFIO without an IOMMU; `None` where it cannot at all.
    pub fn no_iommu_mode(&self) -> Option<bool> {
        let text = fs::read_to_string(self.path(NO_IOMMU)).ok()?;
        Some(matches!(text.trim(), "Y" | "1"))
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    fn device_dir(&self, address: Bdf) -> PathBuf {
        self.path("sys/bus/pci/devices").join(address.to_string())
    }
}

/// The switch for VFIO without an IOMMU, below the root.
const NO_IOMMU: &str = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

impl Default for System {
    fn default() -> System {
        System::new()
    }
}

impl core::fmt::Debug for System {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("System").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Writes to a file that is there, in one call, as sysfs wants it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    use io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(value.as_bytes())
}

/// Reads a small file without the white space around it.
fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Reads what a link points to, the last part of it.
fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned())
}
