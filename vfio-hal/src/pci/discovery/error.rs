//! What is in the way of finding a device, or of giving it to another driver.

use std::io;

use super::interface::InUse;
use super::name::Name;
use crate::addr::Bdf;

/// Why a device could not be found or described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// No sysfs, or a kernel without PCI.
    #[error("this system shows no PCI devices: /sys/bus/pci/devices is missing (is /sys mounted?)")]
    NoPci,
    /// Nothing sits at the address.
    #[error("there is no PCI device {address}: `pmd status` and lspci list those there are")]
    NoDevice {
        /// The address.
        address: Bdf,
    },
    /// A name that is neither an address nor an interface of a PCI device.
    #[error("\"{name}\" is no PCI address such as 0000:01:00.0, and no interface of a PCI device")]
    NoSuch {
        /// The name.
        name: Name,
    },
    /// A file that every PCI device has does not say what it must.
    #[error(
        "{address}: its file {file} in sysfs cannot be read: the kernel is older than 3.0, or sysfs is not real"
    )]
    Unreadable {
        /// The device.
        address: Bdf,
        /// The file.
        file: &'static str,
    },
    /// Reading failed.
    #[error("reading {what} failed (errno {errno})")]
    Read {
        /// What.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
}

impl DiscoveryError {
    pub(super) fn read(what: &'static str, error: &io::Error) -> DiscoveryError {
        DiscoveryError::Read { what, errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}

/// Why a device could not be given to another driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The device could not be looked at.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// A bridge is for the kernel only.
    #[error("{address} is a bridge: VFIO takes only devices that end there")]
    Bridge {
        /// The device.
        address: Bdf,
    },
    /// The kernel has no such driver now.
    #[error(
        "the kernel has no PCI driver {driver}: load it (modprobe {driver}), or choose one of /sys/bus/pci/drivers"
    )]
    NoDriver {
        /// The driver.
        driver: Name,
    },
    /// The interface of the device is in use.
    #[error(
        "{address} is in use: its interface {interface} {why}; `ip addr flush dev {interface}` and `ip link set {interface} \
         down` free it, --force takes it all the same and cuts its connections"
    )]
    InterfaceInUse {
        /// The device.
        address: Bdf,
        /// Its interface.
        interface: Name,
        /// What it is in use for.
        why: InUse,
    },
    /// A network driver holds the device, but its interface is not in this network namespace.
    #[error(
        "{address} is held by {driver}, and its interface is in another network namespace: free it there, or use --force"
    )]
    InterfaceElsewhere {
        /// The device.
        address: Bdf,
        /// The driver.
        driver: Name,
    },
    /// A program has the device open, and the kernel would wait for it without end.
    #[error("{address} is in use: process {pid} has it open; end that program first")]
    Open {
        /// The device.
        address: Bdf,
        /// The process.
        pid: u32,
    },
    /// Virtual functions go with the physical one's driver.
    #[error(
        "{address} has {count} virtual functions, which would vanish: remove them first with --vfs 0, or use --force"
    )]
    HasFunctions {
        /// The device.
        address: Bdf,
        /// How many.
        count: u32,
    },
    /// No IOMMU stands between the device and memory.
    #[error(
        "{address} is in no IOMMU group: switch the IOMMU on (firmware, and intel_iommu=on or amd_iommu=on), or give up its \
         protection with --noiommu-mode"
    )]
    NoIommu {
        /// The device.
        address: Bdf,
    },
    /// The kernel was built without VFIO's no-IOMMU mode.
    #[error("this kernel has no no-IOMMU mode: load vfio, or use a kernel with CONFIG_VFIO_NOIOMMU")]
    NoNoIommuMode,
    /// The kernel's driver did not take the device.
    #[error("{driver} did not take {address}: the kernel's log (dmesg) says why; {back}")]
    Refused {
        /// The device.
        address: Bdf,
        /// The driver.
        driver: Name,
        /// What became of the device.
        back: Back,
    },
    /// Writing needs rights.
    #[error("no permission to write {what}: run as root")]
    Permission {
        /// What.
        what: &'static str,
    },
    /// Writing failed.
    #[error("writing {what} failed (errno {errno})")]
    Write {
        /// What.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
    /// The device is held by VFIO, and nobody wrote down which driver had it before.
    #[error("which driver {address} had before is not known: name it with -d DRIVER")]
    NothingToRestore {
        /// The device.
        address: Bdf,
    },
    /// The device has no virtual functions.
    #[error("{address} cannot have virtual functions: it has no SR-IOV")]
    NoSriov {
        /// The device.
        address: Bdf,
    },
    /// More virtual functions than the device can have.
    #[error("{address} can have 0 to {total} virtual functions, not {asked}")]
    TooManyFunctions {
        /// The device.
        address: Bdf,
        /// How many were asked for.
        asked: u16,
        /// How many there can be.
        total: u16,
    },
    /// The driver that holds the device makes no virtual functions.
    #[error(
        "{driver} makes no virtual functions for {address}: bind it to its kernel driver or, with SR-IOV allowed, to vfio-pci"
    )]
    DriverWithoutSriov {
        /// The device.
        address: Bdf,
        /// The driver.
        driver: Name,
    },
}

/// What became of a device that a driver did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The driver that had it has it again.
    Restored(Name),
    /// No driver has it, as before.
    Free,
    /// The driver that had it did not take it back.
    Lost(Name),
}

impl core::fmt::Display for Back {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Back::Restored(driver) => write!(f, "{driver} has it again"),
            Back::Free => f.write_str("no driver has it, as before"),
            Back::Lost(driver) => write!(f, "{driver}, which had it, did not take it back either"),
        }
    }
}
