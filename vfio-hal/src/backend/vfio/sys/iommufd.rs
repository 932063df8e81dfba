//! iommufd: binding devices, address spaces, page tables that note writes.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use iommufd_bindings::iommufd as fd;
use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

#[cfg(test)]
use super::Buffer;
use super::{call, io, rights, vfio};
use crate::dma::{DmaAccess, DmaMapping};

const DEVICE_BIND_IOMMUFD: u64 = vfio(18);
const DEVICE_ATTACH_IOMMUFD_PT: u64 = vfio(19);
const DEVICE_DETACH_IOMMUFD_PT: u64 = vfio(20);

/// VFIO_DEVICE_BIND_FLAG_TOKEN.
const BIND_FLAG_TOKEN: u32 = 1 << 0;

/// Binds a device to an iommufd, with the token of a VF or its PF. Returns the device's number there.
pub(in crate::backend::vfio) fn bind_iommufd(
    device: BorrowedFd<'_>,
    iommufd: BorrowedFd<'_>,
    token: Option<&[u8; 16]>,
) -> Result<u32, Errno> {
    let mut bind = abi::vfio_device_bind_iommufd {
        // Older kernels take the structure without the token only.
        argsz: if token.is_some() { size_of::<abi::vfio_device_bind_iommufd>() as u32 } else { 16 },
        flags: if token.is_some() { BIND_FLAG_TOKEN } else { 0 },
        iommufd: iommufd.as_raw_fd(),
        out_devid: 0,
        token_uuid_ptr: token.map_or(0, |token| token.as_ptr().expose_provenance() as u64),
    };
    // SAFETY: a live structure, of which the kernel uses as much as it says; the token is 16 bytes, borrowed meanwhile.
    unsafe { call(device, DEVICE_BIND_IOMMUFD, &mut bind) }?;
    Ok(bind.out_devid)
}

/// Lets a bound device see an address space.
pub(in crate::backend::vfio) fn attach(device: BorrowedFd<'_>, ioas: u32) -> Result<(), Errno> {
    let mut attach = abi::vfio_device_attach_iommufd_pt {
        // Without the PASID, as all kernels take it.
        argsz: 12,
        flags: 0,
        pt_id: ioas,
        pasid: 0,
    };
    // SAFETY: a live structure, of which the kernel uses as much as it says.
    unsafe { call(device, DEVICE_ATTACH_IOMMUFD_PT, &mut attach) }.map(drop)
}

/// Lets a bound device see nothing.
pub(in crate::backend::vfio) fn detach(device: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut detach = abi::vfio_device_detach_iommufd_pt { argsz: 8, flags: 0, pasid: 0 };
    // SAFETY: a live structure, of which the kernel uses as much as it says.
    unsafe { call(device, DEVICE_DETACH_IOMMUFD_PT, &mut detach) }.map(drop)
}

/// Makes an address space in an iommufd. Returns its number.
pub(in crate::backend::vfio) fn ioas_alloc(iommufd: BorrowedFd<'_>) -> Result<u32, Errno> {
    let size = size_of::<fd::iommu_ioas_alloc>() as u32;
    let mut alloc = fd::iommu_ioas_alloc { size, ..Default::default() };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_ALLOC), &mut alloc) }?;
    Ok(alloc.out_ioas_id)
}

/// Returns the (first, last) addresses that may be mapped, and what they must be aligned to.
pub(in crate::backend::vfio) fn ioas_ranges(
    iommufd: BorrowedFd<'_>,
    ioas: u32,
) -> Result<(Vec<(u64, u64)>, u64), Errno> {
    let mut ranges = vec![fd::iommu_iova_range::default(); 16];
    loop {
        let mut query = fd::iommu_ioas_iova_ranges {
            size: size_of::<fd::iommu_ioas_iova_ranges>() as u32,
            ioas_id: ioas,
            num_iovas: ranges.len() as u32,
            allowed_iovas: ranges.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: a live structure of the size it says, and room for as many ranges as it says.
        let result = unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_IOVA_RANGES), &mut query) };
        let count = query.num_iovas as usize;
        match result {
            Err(Errno::MSGSIZE) if count > ranges.len() && count < 1 << 16 => {
                ranges.resize(count, fd::iommu_iova_range::default());
            }
            Ok(_) => {
                ranges.truncate(count);
                let ranges = ranges.iter().map(|range| (range.start, range.last)).collect();
                return Ok((ranges, query.out_iova_alignment));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Keeps (first, last) ranges available, whatever device joins the address space.
pub(in crate::backend::vfio) fn ioas_allow(
    iommufd: BorrowedFd<'_>,
    ioas: u32,
    ranges: &[(u64, u64)],
) -> Result<(), Errno> {
    let ranges: Vec<fd::iommu_iova_range> =
        ranges.iter().map(|&(start, last)| fd::iommu_iova_range { start, last }).collect();
    let mut allow = fd::iommu_ioas_allow_iovas {
        size: size_of::<fd::iommu_ioas_allow_iovas>() as u32,
        ioas_id: ioas,
        num_iovas: ranges.len() as u32,
        allowed_iovas: ranges.as_ptr().expose_provenance() as u64,
        ..Default::default()
    };
    // SAFETY: a live structure of the size it says; the kernel reads as many ranges as it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_ALLOW_IOVAS), &mut allow) }.map(drop)
}

/// Maps memory by its address in an iommufd's address space.
pub(in crate::backend::vfio) fn ioas_map(
    iommufd: BorrowedFd<'_>,
    ioas: u32,
    mapping: &DmaMapping<'_>,
) -> Result<(), Errno> {
    let mut map = fd::iommu_ioas_map {
        size: size_of::<fd::iommu_ioas_map>() as u32,
        flags: ioas_flags(mapping.access()),
        ioas_id: ioas,
        user_va: mapping.ptr().as_ptr().expose_provenance() as u64,
        length: mapping.len(),
        iova: mapping.iova().0,
        ..Default::default()
    };
    // SAFETY: as for `type1_map`.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_MAP), &mut map) }.map(drop)
}

/// Maps memory by the file behind it. `None` if there is no file.
pub(in crate::backend::vfio) fn ioas_map_file(
    iommufd: BorrowedFd<'_>,
    ioas: u32,
    mapping: &DmaMapping<'_>,
) -> Option<Result<(), Errno>> {
    let backing = mapping.backing()?;
    let mut map = fd::iommu_ioas_map_file {
        size: size_of::<fd::iommu_ioas_map_file>() as u32,
        flags: ioas_flags(mapping.access()),
        ioas_id: ioas,
        fd: backing.fd.as_raw_fd(),
        start: backing.offset,
        length: mapping.len(),
        iova: mapping.iova().0,
    };
    // SAFETY: 1. a live structure of the size it says; 2. the file's bytes are the memory's, see `Memory` 5., which
    // `DmaMapping::new` promised may be shared with a device until it is unmapped.
    Some(unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_MAP_FILE), &mut map) }.map(drop))
}

/// Unmaps a range of an iommufd's address space; 0 and `u64::MAX` is everything. Returns how many bytes were mapped.
pub(in crate::backend::vfio) fn ioas_unmap(
    iommufd: BorrowedFd<'_>,
    ioas: u32,
    iova: u64,
    length: u64,
) -> Result<u64, Errno> {
    let mut unmap =
        fd::iommu_ioas_unmap { size: size_of::<fd::iommu_ioas_unmap>() as u32, ioas_id: ioas, iova, length };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_UNMAP), &mut unmap) }?;
    Ok(unmap.length)
}

/// Makes a page table for a bound device over an address space, one that notes which pages are written.
pub(in crate::backend::vfio) fn dirty_table_alloc(
    iommufd: BorrowedFd<'_>,
    device: u32,
    ioas: u32,
) -> Result<u32, Errno> {
    let mut alloc = fd::iommu_hwpt_alloc {
        size: size_of::<fd::iommu_hwpt_alloc>() as u32,
        flags: fd::iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
        dev_id: device,
        pt_id: ioas,
        ..Default::default()
    };
    // SAFETY: a live structure of the size it says; without data of its own, the kernel follows no pointer in it.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_HWPT_ALLOC), &mut alloc) }?;
    Ok(alloc.out_hwpt_id)
}

/// Switches the noting of written pages on or off.
pub(in crate::backend::vfio) fn dirty_table_track(
    iommufd: BorrowedFd<'_>,
    table: u32,
    on: bool,
) -> Result<(), Errno> {
    let enable = fd::iommufd_hwpt_set_dirty_tracking_flags_IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
    let mut set = fd::iommu_hwpt_set_dirty_tracking {
        size: size_of::<fd::iommu_hwpt_set_dirty_tracking>() as u32,
        flags: if on { enable } else { 0 },
        hwpt_id: table,
        ..Default::default()
    };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING), &mut set) }.map(drop)
}

/// Fills `bitmap` with one bit for each page of a range that was written since the last time. It must have a bit for each
/// page.
pub(in crate::backend::vfio) fn dirty_table_read(
    iommufd: BorrowedFd<'_>,
    table: u32,
    iova: u64,
    length: u64,
    page_size: u64,
    bitmap: &mut [u64],
) -> Result<(), Errno> {
    if page_size == 0 || length.div_ceil(page_size) > bitmap.len() as u64 * 64 {
        return Err(Errno::INVAL);
    }
    let mut get = fd::iommu_hwpt_get_dirty_bitmap {
        size: size_of::<fd::iommu_hwpt_get_dirty_bitmap>() as u32,
        hwpt_id: table,
        iova,
        length,
        page_size,
        data: bitmap.as_mut_ptr().expose_provenance() as u64,
        ..Default::default()
    };
    // SAFETY: 1. a live structure of the size it says; 2. the bitmap was found large enough for what the kernel writes,
    // and is borrowed during the call.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP), &mut get) }.map(drop)
}

/// Ends an object of an iommufd.
pub(in crate::backend::vfio) fn destroy(iommufd: BorrowedFd<'_>, id: u32) -> Result<(), Errno> {
    let mut destroy = fd::iommu_destroy { size: size_of::<fd::iommu_destroy>() as u32, id };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_DESTROY), &mut destroy) }.map(drop)
}

/// Calls iommufd's test device (CONFIG_IOMMUFD_TEST).
///
/// # Safety
/// Where the command has an address, it must be valid for what the kernel does with it.
#[cfg(test)]
pub(in crate::backend::vfio) unsafe fn test_command(
    iommufd: BorrowedFd<'_>,
    command: &mut Buffer,
) -> Result<(), Errno> {
    // SAFETY: the buffer has as many bytes as its first word says; the rest is the caller's promise.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_BASE + 32), command.as_mut_ptr()) }.map(drop)
}

fn ioas_flags(access: DmaAccess) -> u32 {
    fd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA
        | rights(
            access,
            fd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE,
            fd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE,
        )
}
