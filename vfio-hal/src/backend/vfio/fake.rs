//! A device of a file, for tests without one of the kernel's: its regions are the file's bytes.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::core::Core;
use super::device::VfioDevice;
use super::info::RegionInfo;
use super::iommu::Iommu;
use super::open::{Membership, Opened};
use super::sys::Buffer;

/// Where the regions start in the file, 1 MiB each.
pub(super) const REGION: u64 = 1 << 20;

pub(super) fn file(len: u64) -> OwnedFd {
    let file = memfd_create("device", MemfdFlags::CLOEXEC).expect("memfd");
    ftruncate(&file, len).expect("a length");
    file
}

/// Returns a region that is there in full.
pub(super) fn region(index: u32, len: u64) -> RegionInfo {
    let mut buffer = Buffer::with(32, &[32, 7, index]);
    buffer.put(16, &len.to_ne_bytes());
    buffer.put(24, &(u64::from(index) * REGION).to_ne_bytes());
    RegionInfo::parse(&buffer)
}

/// Returns a device with these regions; those that lack have no length. Its own file is returned, too.
pub(super) fn device(regions: Vec<RegionInfo>) -> (VfioDevice, OwnedFd) {
    let file = file(9 * REGION);
    let all = (0..9).map(|index| regions.iter().find(|region| region.index == index).cloned());
    let all = (0..).zip(all).map(|(index, found)| found.unwrap_or_else(|| region(index, 0))).collect();
    let membership = Arc::new(Membership::without_group(Iommu::fake()));
    let opened =
        Opened { name: "fake".to_owned(), file: file.try_clone().expect("a file"), membership, number: None };
    (VfioDevice::of(Arc::new(Core::of(opened, all))), file)
}
