//! Resets: of the function, and of everything on its bus.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::core::Core;
use super::device::VfioDevice;
use super::sys;
use crate::addr::Bdf;
use crate::device::DeviceError;

const NO_RESET: DeviceError = DeviceError::Unsupported { what: "function reset" };
const NO_HOT_RESET: DeviceError = DeviceError::Unsupported { what: "hot reset: no bus of its own to reset" };

impl Core {
    pub(super) fn reset(&self) -> Result<(), DeviceError> {
        self.lost.check()?;
        if !self.info.resettable {
            return Err(NO_RESET);
        }
        sys::reset(self.fd()).map_err(|error| match error {
            Errno::NOTTY | Errno::INVAL => NO_RESET,
            error => self.error("VFIO_DEVICE_RESET", error),
        })
    }
}

/// A device that a hot reset also resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependent {
    /// Where it is.
    pub bdf: Bdf,
    /// Who has it.
    pub owner: Owner,
}

/// Who has a device that a hot reset also resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is of this IOMMU group; whoever has the group may reset it.
    Group(u32),
    /// It is bound to the same iommufd under this number.
    Device(u32),
    /// It is not open, but in a group that is bound to the same iommufd.
    Ours,
    /// It is somebody else's: a hot reset will be refused.
    Other,
}

impl VfioDevice {
    /// Returns which devices a hot reset resets: all on the bus, this one among them.
    pub fn hot_reset_info(&self) -> Result<Vec<Dependent>, DeviceError> {
        self.core().lost.check()?;
        let info = sys::hot_reset_info(self.core().fd()).map_err(|error| match error {
            // Not on a PCI bus at all.
            Errno::NOTTY => NO_HOT_RESET,
            error => self.hot_error(error),
        })?;
        Ok(parse(info.bytes()))
    }

    /// Resets the bus that the device is on. All devices of [`hot_reset_info`](Self::hot_reset_info) must be in groups
    /// that this device's context has; `others` are further devices whose groups are to be named, for a container.
    pub fn hot_reset(&self, others: &[&VfioDevice]) -> Result<(), DeviceError> {
        self.core().lost.check()?;
        let own = self.core().membership.group_file();
        let others = others.iter().filter_map(|other| other.core().membership.group_file());
        let mut files: Vec<BorrowedFd<'_>> = own.into_iter().chain(others).collect();
        files.sort_unstable_by_key(std::os::fd::AsRawFd::as_raw_fd);
        files.dedup_by_key(|file| std::os::fd::AsRawFd::as_raw_fd(file));
        sys::hot_reset(self.core().fd(), &files).map_err(|error| self.hot_error(error))
    }

    fn hot_error(&self, error: Errno) -> DeviceError {
        match error {
            Errno::NODEV => NO_HOT_RESET,
            Errno::INVAL | Errno::PERM => DeviceError::Unsupported {
                what: "hot reset for this process alone: devices on the same bus belong to others",
            },
            error => self.core().error("VFIO_DEVICE_PCI_HOT_RESET", error),
        }
    }
}

/// Reads a `vfio_pci_hot_reset_info`.
fn parse(info: &[u8]) -> Vec<Dependent> {
    let word = |at: usize| info.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_ne_bytes(*b));
    let (flags, count) = (word(4).unwrap_or(0), word(8).unwrap_or(0));
    let by_device = flags & abi::VFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0;
    let (entries, _) = info.get(12..).unwrap_or_default().as_chunks::<8>();
    let entry = |entry: &[u8; 8]| {
        let [a, b, c, d, e, f, bus, devfn] = *entry;
        let (id, segment) = (u32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]));
        let owner = match (by_device, id) {
            (false, group) => Owner::Group(group),
            (true, abi::VFIO_PCI_DEVID_OWNED) => Owner::Ours,
            (true, u32::MAX) => Owner::Other,
            (true, device) => Owner::Device(device),
        };
        // Five bits of device and three of function always name one.
        Bdf::new(segment.into(), bus, devfn >> 3, devfn & 7).map(|bdf| Dependent { bdf, owner })
    };
    entries.iter().take(count as usize).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(flags: u32, entries: &[(u32, u16, u8, u8)]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [12u32, flags, entries.len() as u32].iter().flat_map(|w| w.to_ne_bytes()).collect();
        for (id, segment, bus, devfn) in entries {
            bytes.extend(id.to_ne_bytes());
            bytes.extend(segment.to_ne_bytes());
            bytes.extend([*bus, *devfn]);
        }
        bytes
    }

    #[test]
    fn dependent_devices_are_read_by_group_or_by_device() {
        let bdf: Bdf = "0001:02:1f.7".parse().unwrap();
        assert_eq!(parse(&info(0, &[(9, 1, 2, 0xff)])), [Dependent { bdf, owner: Owner::Group(9) }]);
        let owners: Vec<Owner> = parse(&info(3, &[(5, 0, 0, 0), (0, 0, 0, 1), (u32::MAX, 0, 0, 2)]))
            .iter()
            .map(|dependent| dependent.owner)
            .collect();
        assert_eq!(owners, [Owner::Device(5), Owner::Ours, Owner::Other]);
        assert!(parse(&[0; 7]).is_empty());
        let mut short = info(0, &[(1, 0, 0, 0)]);
        short.pop();
        assert!(parse(&short).is_empty());
    }
}
