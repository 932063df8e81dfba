//! Why a device could not be opened, and what to do.

use std::fmt;

use rustix::io::Errno;

use super::Api;
use crate::addr::Bdf;
use crate::device::DeviceError;

/// A short text in an error: the name of a device, a driver, a file. What is longer is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    bytes: [u8; Label::MAX],
    len: u8,
}

impl Label {
    const MAX: usize = 40;

    pub(super) fn new(text: &str) -> Label {
        let len = text.floor_char_boundary(Label::MAX);
        let mut bytes = [0; Label::MAX];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Label { bytes, len: len as u8 }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        // It was cut between characters.
        self.bytes.get(..self.len.into()).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Some devices of a group, as many as fit into an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    first: [Option<Bdf>; 4],
    more: u32,
}

impl Members {
    pub(super) fn new(all: impl IntoIterator<Item = Bdf>) -> Members {
        let mut members = Members::default();
        for bdf in all {
            match members.first.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(bdf),
                None => members.more += 1,
            }
        }
        members
    }

    /// Returns those that are named.
    pub fn iter(&self) -> impl Iterator<Item = Bdf> + '_ {
        self.first.iter().flatten().copied()
    }

    /// Returns how many there are.
    pub fn count(&self) -> u32 {
        self.iter().count() as u32 + self.more
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 0 {
            return f.write_str("none that sysfs names");
        }
        for (place, bdf) in self.iter().enumerate() {
            write!(f, "{}{bdf}", if place == 0 { "" } else { ", " })?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// Why a VFIO device could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VfioError {
    /// A text that names no device.
    #[error("'{text}' is no device: write domain:bus:device.function, like 0000:01:00.0, or a path in /sys")]
    Address {
        /// What was given.
        text: Label,
    },
    /// There is no such device.
    #[error("there is no device {device}: `pmd info` lists those that there are")]
    NoDevice {
        /// What was looked for.
        device: Label,
    },
    /// The device is held by a driver of the kernel that gives it to nobody else.
    #[error(
        "{device} is held by the kernel's driver '{driver}': run `pmd bind {device}` to bind it to vfio-pci"
    )]
    OtherDriver {
        /// Which device.
        device: Label,
        /// Its driver.
        driver: Label,
    },
    /// No driver holds the device.
    #[error("{device} is not bound to vfio-pci: run `pmd bind {device}`")]
    Unbound {
        /// Which device.
        device: Label,
    },
    /// The device is in no IOMMU group.
    #[error(
        "{device} is behind no IOMMU: switch the IOMMU on (firmware set-up, and intel_iommu=on or amd_iommu=on for the kernel), or ask for no-IOMMU mode"
    )]
    NoIommu {
        /// Which device.
        device: Label,
    },
    /// The kernel gives the device out without an IOMMU, which nobody asked for.
    #[error(
        "{device} can only be opened without an IOMMU, where it reaches all memory: switch the IOMMU on, or ask for no-IOMMU mode explicitly"
    )]
    NoIommuNotAsked {
        /// Which device.
        device: Label,
    },
    /// No-IOMMU mode was asked for, but is switched off.
    #[error(
        "no-IOMMU mode is off: write 1 to /sys/module/vfio/parameters/enable_unsafe_noiommu_mode and bind the device again"
    )]
    NoIommuModeOff,
    /// No-IOMMU mode needs a privilege.
    #[error("no-IOMMU mode needs CAP_SYS_RAWIO: run as root, or give the program that capability")]
    NeedsRawIo,
    /// No-IOMMU mode was asked for, but the device has an IOMMU.
    #[error(
        "{device} is behind an IOMMU: no-IOMMU mode is for devices without one, leave the choice to Api::Auto"
    )]
    HasIommu {
        /// Which device.
        device: Label,
    },
    /// A file that is needed is not there.
    #[error("{file} is not there: {way_out}")]
    Missing {
        /// Which file.
        file: Label,
        /// What makes it appear.
        way_out: &'static str,
    },
    /// The files may not be opened.
    #[error(
        "no permission to open {file}: run `pmd bind -i -u USER DEVICE` as root to give it to a user, or run as root"
    )]
    Permission {
        /// Which file.
        file: Label,
    },
    /// Somebody else has the device.
    #[error("{file} is in use: another process has the device, or another one of its group; end that first")]
    Busy {
        /// The device file that cannot be opened.
        file: Label,
    },
    /// Some devices of the group are held by drivers of the kernel.
    #[error(
        "IOMMU group {group} is not viable: bind all its devices to vfio-pci, or unbind them; held by other drivers: {others}"
    )]
    GroupNotViable {
        /// The group's number.
        group: u32,
        /// Its devices that are in the way.
        others: Members,
    },
    /// The device's group belongs to another IOMMU context.
    #[error(
        "IOMMU group {group} is in another IOMMU context of this process: give its devices the same `Options::iommu`"
    )]
    OtherContext {
        /// The group's number.
        group: u32,
    },
    /// The context given is of another kind.
    #[error(
        "the IOMMU context given is for {has}, but {wants} was asked for: use one context for one interface"
    )]
    ContextKind {
        /// What the context is for.
        has: Api,
        /// What was asked for.
        wants: Api,
    },
    /// The IOMMU refused to take the device in beside those that are there.
    #[error(
        "the IOMMU does not take {device} into the context of the others: give it an IOMMU context of its own"
    )]
    Incompatible {
        /// Which device.
        device: Label,
    },
    /// A live mapping lies where this device reserves addresses.
    #[error(
        "{device} reserves addresses that are mapped already: open it before memory is allocated, or choose other IOVAs"
    )]
    Reserved {
        /// Which device.
        device: Label,
    },
    /// The platform cannot isolate message interrupts.
    #[error(
        "{device} cannot be opened safely: the platform does not remap interrupts; switch that on (intremap=on), or accept the risk with allow_unsafe_interrupts=1 (module vfio_iommu_type1, or iommufd)"
    )]
    UnsafeInterrupts {
        /// Which device.
        device: Label,
    },
    /// A VF or its PF needs a token.
    #[error(
        "{device} belongs to a PF and its VFs that share a secret: give the token that the PF was opened with (--vfio-vf-token)"
    )]
    Token {
        /// Which device.
        device: Label,
    },
    /// A token was given for a device that takes none.
    #[error("{device} takes no VF token: it is no VF of a PF under vfio-pci, nor a PF with VFs")]
    TokenNotTaken {
        /// Which device.
        device: Label,
    },
    /// The device has no such region.
    #[error("region {index} is not there: the device does not implement it")]
    NoRegion {
        /// The region asked for.
        index: u32,
    },
    /// An access outside of a region, or one that is not aligned to its width.
    #[error("region {index} has {size:#x} bytes and no aligned {len} of them at offset {offset:#x}")]
    OutOfRegion {
        /// Which region.
        index: u32,
        /// The first byte of the access.
        offset: u64,
        /// The bytes of the access.
        len: u64,
        /// The region's length in bytes.
        size: u64,
    },
    /// A part of a region that cannot be mapped, or not with these rights.
    #[error(
        "{len:#x} bytes at offset {offset:#x} of region {index} cannot be mapped with these rights: read and write them by calls"
    )]
    NotMappable {
        /// Which region.
        index: u32,
        /// The first byte.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// The running kernel does not have it.
    #[error("this kernel has no {what}")]
    Kernel {
        /// What it lacks.
        what: &'static str,
    },
    /// The system refused.
    #[error("the system refused '{what}' for {file} (errno {errno})")]
    System {
        /// What was tried.
        what: &'static str,
        /// On which file or device.
        file: Label,
        /// The error number.
        errno: i32,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl VfioError {
    pub(super) fn system(what: &'static str, file: &str, error: Errno) -> VfioError {
        VfioError::System { what, file: Label::new(file), errno: error.raw_os_error() }
    }

    /// Why a device file could not be opened.
    pub(super) fn open(file: &str, way_out: &'static str, error: Errno) -> VfioError {
        let label = Label::new(file);
        match error {
            Errno::ACCESS | Errno::PERM => VfioError::Permission { file: label },
            Errno::BUSY => VfioError::Busy { file: label },
            Errno::NOENT | Errno::NODEV | Errno::NXIO => VfioError::Missing { file: label, way_out },
            error => VfioError::system("open", file, error),
        }
    }
}

/// Returns the error of a call on an open device, which `lost` says is gone.
pub(super) fn device_error(what: &'static str, error: Errno) -> DeviceError {
    match error {
        Errno::NODEV => DeviceError::Lost,
        Errno::BUSY if what.starts_with("map ") => {
            DeviceError::Unsupported { what: "mapped registers while it may sleep: leave low power first" }
        }
        error => DeviceError::System { what, errno: error.raw_os_error() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_between_characters() {
        assert_eq!(Label::new("0000:01:00.0").to_string(), "0000:01:00.0");
        let long = "ä".repeat(100);
        assert_eq!(Label::new(&long).as_str(), "ä".repeat(20));
        assert_eq!(Label::new(&format!("x{long}")).as_str().len(), 39);
        assert_eq!(Label::new("").as_str(), "");
    }

    #[test]
    fn members_are_named_and_the_rest_counted() {
        let all: Vec<Bdf> = (0..6).filter_map(|function| Bdf::new(0, 1, 0, function)).collect();
        let text = Members::new(all.iter().copied()).to_string();
        assert_eq!(text, "0000:01:00.0, 0000:01:00.1, 0000:01:00.2, 0000:01:00.3 and 2 more");
        assert_eq!(Members::new([all[0]]).to_string(), "0000:01:00.0");
        assert_eq!(Members::new(all).count(), 6);
        assert_eq!(Members::default().to_string(), "none that sysfs names");
    }

    #[test]
    fn errors_say_the_way_out() {
        let device = Label::new("0000:01:00.0");
        let error = VfioError::OtherDriver { device, driver: Label::new("ixgbe") };
        assert!(error.to_string().contains("pmd bind 0000:01:00.0"), "{error}");
        let error = VfioError::open("/dev/vfio/7", "bind the device", Errno::ACCESS);
        assert_eq!(error, VfioError::Permission { file: Label::new("/dev/vfio/7") });
        assert!(matches!(VfioError::open("/dev/vfio/7", "", Errno::BUSY), VfioError::Busy { .. }));
        assert!(matches!(VfioError::open("/x", "do y", Errno::NOENT), VfioError::Missing { .. }));
        assert!(matches!(VfioError::open("/x", "", Errno::IO), VfioError::System { errno: 5, .. }));
        assert!(size_of::<VfioError>() <= 96);
    }
}
