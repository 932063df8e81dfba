//! Containers and groups: VFIO's first interface, and the type1 IOMMU in it.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::{Buffer, call, call_number, read_grown, rights, vfio};
use crate::dma::DmaMapping;

const GET_API_VERSION: u64 = vfio(0);
const CHECK_EXTENSION: u64 = vfio(1);
const SET_IOMMU: u64 = vfio(2);
const GROUP_GET_STATUS: u64 = vfio(3);
const GROUP_SET_CONTAINER: u64 = vfio(4);
const GROUP_UNSET_CONTAINER: u64 = vfio(5);
const GROUP_GET_DEVICE_FD: u64 = vfio(6);
const IOMMU_GET_INFO: u64 = vfio(12);
const IOMMU_MAP_DMA: u64 = vfio(13);
const IOMMU_UNMAP_DMA: u64 = vfio(14);

/// VFIO_GROUP_FLAGS_VIABLE.
const GROUP_VIABLE: u32 = 1 << 0;

/// Returns the container's API version, which has always been 0.
pub(in crate::backend::vfio) fn api_version(container: BorrowedFd<'_>) -> Result<i32, Errno> {
    call_number(container, GET_API_VERSION, 0)
}

/// Returns whether a container knows an IOMMU type or extension.
pub(in crate::backend::vfio) fn has_extension(container: BorrowedFd<'_>, extension: u32) -> bool {
    call_number(container, CHECK_EXTENSION, extension.into()).is_ok_and(|answer| answer > 0)
}

/// Gives a container with a group its IOMMU type.
pub(in crate::backend::vfio) fn set_iommu(container: BorrowedFd<'_>, kind: u32) -> Result<(), Errno> {
    call_number(container, SET_IOMMU, kind.into()).map(drop)
}

/// Returns whether all devices of a group are free for user space.
pub(in crate::backend::vfio) fn group_is_viable(group: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut status = abi::vfio_group_status { argsz: size_of::<abi::vfio_group_status>() as u32, flags: 0 };
    // SAFETY: a live structure of the size it says.
    unsafe { call(group, GROUP_GET_STATUS, &mut status) }?;
    Ok(status.flags & GROUP_VIABLE != 0)
}

/// Puts a group into a container.
pub(in crate::backend::vfio) fn set_container(
    group: BorrowedFd<'_>,
    container: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let mut number = container.as_raw_fd();
    // SAFETY: a pointer to a live `int`, which the kernel reads.
    unsafe { call(group, GROUP_SET_CONTAINER, &mut number) }.map(drop)
}

/// Takes a group out of its container.
pub(in crate::backend::vfio) fn unset_container(group: BorrowedFd<'_>) -> Result<(), Errno> {
    call_number(group, GROUP_UNSET_CONTAINER, 0).map(drop)
}

/// Opens a device of a group by its name, which may be followed by ` vf_token=UUID`.
pub(in crate::backend::vfio) fn group_device(group: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads a string that ends with 0.
    let file = unsafe { call(group, GROUP_GET_DEVICE_FD, name.as_ptr().cast_mut()) }?;
    // SAFETY: a new file that the kernel made for us and nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Returns a `vfio_iommu_type1_info` with its chain.
pub(in crate::backend::vfio) fn iommu_info(container: BorrowedFd<'_>) -> Result<Buffer, Errno> {
    read_grown(container, IOMMU_GET_INFO, &[], size_of::<abi::vfio_iommu_type1_info>())
}

/// Maps memory in a type1 container.
pub(in crate::backend::vfio) fn type1_map(
    container: BorrowedFd<'_>,
    mapping: &DmaMapping<'_>,
) -> Result<(), Errno> {
    let mut map = abi::vfio_iommu_type1_dma_map {
        argsz: size_of::<abi::vfio_iommu_type1_dma_map>() as u32,
        flags: rights(mapping.access(), abi::VFIO_DMA_MAP_FLAG_READ, abi::VFIO_DMA_MAP_FLAG_WRITE),
        vaddr: mapping.ptr().as_ptr().expose_provenance() as u64,
        iova: mapping.iova().0,
        size: mapping.len(),
    };
    // SAFETY: 1. a live structure of the size it says; 2. `DmaMapping::new` promised that the memory may be shared with
    // a device until it is unmapped.
    unsafe { call(container, IOMMU_MAP_DMA, &mut map) }.map(drop)
}

/// Unmaps a range in a type1 container, with flags. Returns how many bytes were mapped there.
pub(in crate::backend::vfio) fn type1_unmap(
    container: BorrowedFd<'_>,
    iova: u64,
    size: u64,
    flags: u32,
) -> Result<u64, Errno> {
    let argsz = size_of::<abi::vfio_iommu_type1_dma_unmap>() as u32;
    let mut unmap = abi::vfio_iommu_type1_dma_unmap { argsz, flags, iova, size, ..Default::default() };
    // SAFETY: a live structure of the size it says; without the bitmap flag there are no data behind it.
    unsafe { call(container, IOMMU_UNMAP_DMA, &mut unmap) }?;
    Ok(unmap.size)
}
