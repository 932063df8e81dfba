//! The system calls of VFIO and iommufd, typed. All `unsafe` of this backend is here.
//!
//! A function is one ioctl with its argument built and checked; it knows the ABI and nothing else. Structures are those
//! of `vfio-bindings` and `iommufd-bindings`, whose layouts are asserted at compile time; what has a variable length goes
//! through a [`Buffer`]. Numbers are from `linux/vfio.h` and `linux/iommufd.h`.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use iommufd_bindings::iommufd as fd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use vfio_bindings::bindings::vfio as abi;

use crate::addr::Iova;
use crate::dma::{DmaAccess, DmaMapping, Fence};

/// `_IO(';', number)`: neither VFIO nor iommufd encodes size and direction.
const fn io(number: u32) -> u64 {
    (abi::VFIO_TYPE as u64) << 8 | number as u64
}

const fn vfio(number: u32) -> u64 {
    io(abi::VFIO_BASE + number)
}

const GET_API_VERSION: u64 = vfio(0);
const CHECK_EXTENSION: u64 = vfio(1);
const SET_IOMMU: u64 = vfio(2);
const GROUP_GET_STATUS: u64 = vfio(3);
const GROUP_SET_CONTAINER: u64 = vfio(4);
const GROUP_UNSET_CONTAINER: u64 = vfio(5);
const GROUP_GET_DEVICE_FD: u64 = vfio(6);
const DEVICE_GET_INFO: u64 = vfio(7);
const DEVICE_GET_REGION_INFO: u64 = vfio(8);
const DEVICE_GET_IRQ_INFO: u64 = vfio(9);
const DEVICE_SET_IRQS: u64 = vfio(10);
const DEVICE_RESET: u64 = vfio(11);
const DEVICE_GET_PCI_HOT_RESET_INFO: u64 = vfio(12);
const DEVICE_PCI_HOT_RESET: u64 = vfio(13);
const DEVICE_FEATURE: u64 = vfio(17);
const DEVICE_BIND_IOMMUFD: u64 = vfio(18);
const DEVICE_ATTACH_IOMMUFD_PT: u64 = vfio(19);
const DEVICE_DETACH_IOMMUFD_PT: u64 = vfio(20);
const MIG_GET_PRECOPY_INFO: u64 = vfio(21);
const IOMMU_GET_INFO: u64 = vfio(12);
const IOMMU_MAP_DMA: u64 = vfio(13);
const IOMMU_UNMAP_DMA: u64 = vfio(14);

/// VFIO_DEVICE_BIND_FLAG_TOKEN.
const BIND_FLAG_TOKEN: u32 = 1 << 0;
/// VFIO_GROUP_FLAGS_VIABLE.
const GROUP_VIABLE: u32 = 1 << 0;

/// Memory for a structure of variable length, aligned as all of them need.
pub(super) struct Buffer(Vec<u64>);

impl Buffer {
    pub(super) fn new(len: usize) -> Buffer {
        Buffer(vec![0; len.div_ceil(8)])
    }

    /// Returns a buffer that starts with these 32-bit words.
    pub(super) fn with(len: usize, words: &[u32]) -> Buffer {
        let mut buffer = Buffer::new(len.max(words.len() * 4));
        for (place, word) in words.iter().enumerate() {
            buffer.put(place * 4, &word.to_ne_bytes());
        }
        buffer
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the vector's elements are initialised, and any byte is a valid `u8`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 8) }
    }

    /// Writes `data` at `offset`; what does not fit is left out.
    pub(super) fn put(&mut self, offset: usize, data: &[u8]) {
        // SAFETY: as for `bytes`, and any bytes are a valid `u64`.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<u8>(), self.0.len() * 8) };
        for (to, from) in bytes.iter_mut().skip(offset).zip(data) {
            *to = *from;
        }
    }

    /// Returns the 32-bit word at `offset`, 0 beyond the end.
    pub(super) fn word(&self, offset: usize) -> u32 {
        let at = self.bytes().get(offset..).and_then(|rest| rest.first_chunk());
        at.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn as_mut_ptr(&mut self) -> *mut u64 {
        self.0.as_mut_ptr()
    }
}

/// Calls an ioctl whose argument is a pointer. Interrupted calls are made again.
///
/// # Safety
/// `argument` must be valid for all that the kernel reads and writes for this request.
unsafe fn call<T>(file: BorrowedFd<'_>, request: u64, argument: *mut T) -> Result<i32, Errno> {
    loop {
        // SAFETY: the caller's promise; `file` is open as long as it is borrowed.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), request as _, argument) };
        if result >= 0 {
            return Ok(result);
        }
        match last_error() {
            Errno::INTR => {}
            error => return Err(error),
        }
    }
}

/// Calls an ioctl whose argument is a number, which the kernel takes for no pointer.
fn call_number(file: BorrowedFd<'_>, request: u64, argument: u64) -> Result<i32, Errno> {
    // SAFETY: only the requests of this file that take a number, or nothing, come here.
    unsafe { call(file, request, argument as usize as *mut u8) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Returns the container's API version, which has always been 0.
pub(super) fn api_version(container: BorrowedFd<'_>) -> Result<i32, Errno> {
    call_number(container, GET_API_VERSION, 0)
}

/// Returns whether a container knows an IOMMU type or extension.
pub(super) fn has_extension(container: BorrowedFd<'_>, extension: u32) -> bool {
    call_number(container, CHECK_EXTENSION, extension.into()).is_ok_and(|answer| answer > 0)
}

/// Gives a container with a group its IOMMU type.
pub(super) fn set_iommu(container: BorrowedFd<'_>, kind: u32) -> Result<(), Errno> {
    call_number(container, SET_IOMMU, kind.into()).map(drop)
}

/// Returns whether all devices of a group are free for user space.
pub(super) fn group_is_viable(group: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut status = abi::vfio_group_status { argsz: size_of::<abi::vfio_group_status>() as u32, flags: 0 };
    // SAFETY: a live structure of the size it says.
    unsafe { call(group, GROUP_GET_STATUS, &mut status) }?;
    Ok(status.flags & GROUP_VIABLE != 0)
}

/// Puts a group into a container.
pub(super) fn set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut number = container.as_raw_fd();
    // SAFETY: a pointer to a live `int`, which the kernel reads.
    unsafe { call(group, GROUP_SET_CONTAINER, &mut number) }.map(drop)
}

/// Takes a group out of its container.
pub(super) fn unset_container(group: BorrowedFd<'_>) -> Result<(), Errno> {
    call_number(group, GROUP_UNSET_CONTAINER, 0).map(drop)
}

/// Opens a device of a group by its name, which may be followed by ` vf_token=UUID`.
pub(super) fn group_device(group: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads a string that ends with 0.
    let file = unsafe { call(group, GROUP_GET_DEVICE_FD, name.as_ptr().cast_mut()) }?;
    // SAFETY: a new file that the kernel made for us and nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Reads a structure whose first word says how long it wants to be, with its capability chain.
fn read_grown(file: BorrowedFd<'_>, request: u64, head: &[u32], len: usize) -> Result<Buffer, Errno> {
    // No chain of the kernel's comes near it.
    const LARGEST: usize = 1 << 20;
    let mut len = len;
    loop {
        let mut buffer = Buffer::with(len, head);
        buffer.put(0, &(len as u32).to_ne_bytes());
        // SAFETY: the buffer has as many bytes as its first word says; the kernel writes no more.
        let result = unsafe { call(file, request, buffer.as_mut_ptr()) };
        let wants = buffer.word(0) as usize;
        match result {
            Ok(_) | Err(Errno::NOSPC) if wants > len && wants <= LARGEST => len = wants,
            Ok(_) => return Ok(buffer),
            Err(error) => return Err(error),
        }
    }
}

/// Returns a `vfio_device_info` with its chain.
pub(super) fn device_info(device: BorrowedFd<'_>) -> Result<Buffer, Errno> {
    read_grown(device, DEVICE_GET_INFO, &[], size_of::<abi::vfio_device_info>())
}

/// Returns a `vfio_region_info` with its chain.
pub(super) fn region_info(device: BorrowedFd<'_>, index: u32) -> Result<Buffer, Errno> {
    read_grown(device, DEVICE_GET_REGION_INFO, &[0, 0, index], size_of::<abi::vfio_region_info>())
}

/// Returns a `vfio_iommu_type1_info` with its chain.
pub(super) fn iommu_info(container: BorrowedFd<'_>) -> Result<Buffer, Errno> {
    read_grown(container, IOMMU_GET_INFO, &[], size_of::<abi::vfio_iommu_type1_info>())
}

/// Returns a `vfio_pci_hot_reset_info` with all its devices.
pub(super) fn hot_reset_info(device: BorrowedFd<'_>) -> Result<Buffer, Errno> {
    const HEAD: usize = size_of::<abi::vfio_pci_hot_reset_info>();
    const EACH: usize = size_of::<abi::vfio_pci_dependent_device>();
    let mut room = 8;
    loop {
        let len = HEAD + room * EACH;
        let mut buffer = Buffer::with(len, &[len as u32]);
        // SAFETY: as for `read_grown`.
        let result = unsafe { call(device, DEVICE_GET_PCI_HOT_RESET_INFO, buffer.as_mut_ptr()) };
        let count = buffer.word(8) as usize;
        match result {
            // The kernel says how many there are; a bus has 256 functions.
            Err(Errno::NOSPC) if room < count.max(256) => room = count.max(256),
            Ok(_) => return Ok(buffer),
            Err(error) => return Err(error),
        }
    }
}

/// Resets all devices on the bus; `owners` are group files, none for an iommufd device.
pub(super) fn hot_reset(device: BorrowedFd<'_>, owners: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let len = size_of::<abi::vfio_pci_hot_reset>() + owners.len() * 4;
    let mut buffer = Buffer::with(len, &[len as u32, 0, owners.len() as u32]);
    for (place, owner) in owners.iter().enumerate() {
        buffer.put(12 + place * 4, &owner.as_raw_fd().to_ne_bytes());
    }
    // SAFETY: a live structure of the size that its first word says.
    unsafe { call(device, DEVICE_PCI_HOT_RESET, buffer.as_mut_ptr()) }.map(drop)
}

/// Resets the function.
pub(super) fn reset(device: BorrowedFd<'_>) -> Result<(), Errno> {
    call_number(device, DEVICE_RESET, 0).map(drop)
}

/// Returns (flags, count) of an interrupt index.
pub(super) fn irq_info(device: BorrowedFd<'_>, index: u32) -> Result<(u32, u32), Errno> {
    let mut info =
        abi::vfio_irq_info { argsz: size_of::<abi::vfio_irq_info>() as u32, flags: 0, index, count: 0 };
    // SAFETY: a live structure of the size it says.
    unsafe { call(device, DEVICE_GET_IRQ_INFO, &mut info) }?;
    Ok((info.flags, info.count))
}

/// What VFIO_DEVICE_SET_IRQS does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum IrqAction {
    Mask = abi::VFIO_IRQ_SET_ACTION_MASK,
    Unmask = abi::VFIO_IRQ_SET_ACTION_UNMASK,
    Trigger = abi::VFIO_IRQ_SET_ACTION_TRIGGER,
}

/// Does `action` once for `count` interrupts of an index; a count of 0 with `Trigger` disables them all.
pub(super) fn irqs_now(
    device: BorrowedFd<'_>,
    index: u32,
    start: u32,
    count: u32,
    action: IrqAction,
) -> Result<(), Errno> {
    let flags = abi::VFIO_IRQ_SET_DATA_NONE | action as u32;
    let mut buffer = Buffer::with(20, &[20, flags, index, start, count]);
    // SAFETY: a `vfio_irq_set` without data.
    unsafe { call(device, DEVICE_SET_IRQS, buffer.as_mut_ptr()) }.map(drop)
}

/// Ties `action` of the interrupts from `start` on to eventfds; `None` unties.
pub(super) fn irqs_by_eventfd(
    device: BorrowedFd<'_>,
    index: u32,
    start: u32,
    files: &[Option<BorrowedFd<'_>>],
    action: IrqAction,
) -> Result<(), Errno> {
    let len = 20 + files.len() * 4;
    let flags = abi::VFIO_IRQ_SET_DATA_EVENTFD | action as u32;
    let mut buffer = Buffer::with(len, &[len as u32, flags, index, start, files.len() as u32]);
    for (place, file) in files.iter().enumerate() {
        let number = file.map_or(-1, |file| file.as_raw_fd());
        buffer.put(20 + place * 4, &number.to_ne_bytes());
    }
    // SAFETY: a `vfio_irq_set` with as many files as it says.
    unsafe { call(device, DEVICE_SET_IRQS, buffer.as_mut_ptr()) }.map(drop)
}

/// Calls VFIO_DEVICE_FEATURE with `data` behind the head, and returns what is there afterwards.
///
/// # Safety
/// Where the feature's data has addresses, they must be valid for what the kernel does with them.
unsafe fn feature_raw(device: BorrowedFd<'_>, flags: u32, data: &[u8]) -> Result<Vec<u8>, Errno> {
    let len = size_of::<abi::vfio_device_feature>() + data.len();
    let mut buffer = Buffer::with(len, &[len as u32, flags]);
    buffer.put(8, data);
    // SAFETY: the head and as many bytes as it says; the rest is the caller's promise.
    unsafe { call(device, DEVICE_FEATURE, buffer.as_mut_ptr()) }?;
    Ok(buffer.bytes().get(8..len).unwrap_or_default().to_vec())
}

/// Reads, sets or probes a feature whose data holds no address.
pub(super) fn feature(
    device: BorrowedFd<'_>,
    number: PlainFeature,
    operation: Operation,
    data: &[u8],
) -> Result<Vec<u8>, Errno> {
    // SAFETY: `PlainFeature` names only features without addresses.
    unsafe { feature_raw(device, number as u32 | operation as u32, data) }
}

/// Asks whether the device takes a feature with an operation. No data is read or written.
pub(super) fn probe_feature(device: BorrowedFd<'_>, number: u16, operation: Operation) -> Result<(), Errno> {
    let flags = u32::from(number) | operation as u32 | abi::VFIO_DEVICE_FEATURE_PROBE;
    // SAFETY: a probe has no data.
    unsafe { feature_raw(device, flags, &[]) }.map(drop)
}

/// What is done with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Operation {
    Get = abi::VFIO_DEVICE_FEATURE_GET,
    Set = abi::VFIO_DEVICE_FEATURE_SET,
}

/// Features whose data is plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum PlainFeature {
    VfToken = abi::VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    Migration = abi::VFIO_DEVICE_FEATURE_MIGRATION,
    MigrationState = abi::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
    LowPower = abi::VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
    LowPowerWithWakeup = abi::VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    LowPowerExit = abi::VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
    LoggingStop = abi::VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
    MigrationSize = abi::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
}

/// Starts to log which pages of (first address, length) ranges a device writes. Returns the page size it took.
pub(super) fn start_logging(device: BorrowedFd<'_>, page: u64, ranges: &[(u64, u64)]) -> Result<u64, Errno> {
    let ranges: Vec<abi::vfio_device_feature_dma_logging_range> = ranges
        .iter()
        .map(|&(iova, length)| abi::vfio_device_feature_dma_logging_range { iova, length })
        .collect();
    let mut data = [0; size_of::<abi::vfio_device_feature_dma_logging_control>()];
    data[..8].copy_from_slice(&page.to_ne_bytes());
    data[8..12].copy_from_slice(&(ranges.len() as u32).to_ne_bytes());
    data[16..].copy_from_slice(&(ranges.as_ptr().expose_provenance() as u64).to_ne_bytes());
    let flags = abi::VFIO_DEVICE_FEATURE_DMA_LOGGING_START | Operation::Set as u32;
    // SAFETY: the kernel reads the ranges, of which there are as many as the data says, during the call.
    let answer = unsafe { feature_raw(device, flags, &data) }?;
    Ok(answer.first_chunk().map_or(page, |bytes| u64::from_ne_bytes(*bytes)))
}

/// Fills `bitmap` with one bit for each page of a range that was written since the last report. It must have a bit for
/// each page.
pub(super) fn report_logging(
    device: BorrowedFd<'_>,
    iova: u64,
    length: u64,
    page: u64,
    bitmap: &mut [u64],
) -> Result<(), Errno> {
    if page == 0 || length.div_ceil(page) > bitmap.len() as u64 * 64 {
        return Err(Errno::INVAL);
    }
    let mut data = [0; size_of::<abi::vfio_device_feature_dma_logging_report>()];
    let words = [iova, length, page, bitmap.as_mut_ptr().expose_provenance() as u64];
    for (place, word) in data.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let flags = abi::VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT | Operation::Get as u32;
    // SAFETY: the bitmap was found large enough for what the kernel writes, and is borrowed during the call.
    unsafe { feature_raw(device, flags, &data) }.map(drop)
}

/// Exports a part of a region as a dma-buf.
pub(super) fn export_dma_buf(
    device: BorrowedFd<'_>,
    region: u32,
    offset: u64,
    length: u64,
) -> Result<OwnedFd, Errno> {
    let len = size_of::<abi::vfio_device_feature>() + size_of::<abi::vfio_device_feature_dma_buf>() + 16;
    let flags = abi::VFIO_DEVICE_FEATURE_DMA_BUF | Operation::Get as u32;
    let open_flags = (libc::O_RDWR | libc::O_CLOEXEC) as u32;
    let mut buffer = Buffer::with(len, &[len as u32, flags, region, open_flags, 0, 1]);
    buffer.put(24, &offset.to_ne_bytes());
    buffer.put(32, &length.to_ne_bytes());
    // SAFETY: the head, the feature's data and one range behind it, as long as the first word says.
    let file = unsafe { call(device, DEVICE_FEATURE, buffer.as_mut_ptr()) }?;
    // SAFETY: a new file that the kernel made for us and nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Makes a file of the kind that a feature answered with.
///
/// # Safety
/// `number` must be a file that the kernel just made for this process.
pub(super) unsafe fn new_file(number: i32) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Returns (initial bytes, dirty bytes) of a migration stream in its pre-copy phase.
pub(super) fn precopy_info(stream: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let mut info =
        abi::vfio_precopy_info { argsz: size_of::<abi::vfio_precopy_info>() as u32, ..Default::default() };
    // SAFETY: a live structure of the size it says.
    unsafe { call(stream, MIG_GET_PRECOPY_INFO, &mut info) }?;
    Ok((info.initial_bytes, info.dirty_bytes))
}

/// Binds a device to an iommufd, with the token of a VF or its PF. Returns the device's number there.
pub(super) fn bind_iommufd(
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
pub(super) fn attach(device: BorrowedFd<'_>, ioas: u32) -> Result<(), Errno> {
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
pub(super) fn detach(device: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut detach = abi::vfio_device_detach_iommufd_pt { argsz: 8, flags: 0, pasid: 0 };
    // SAFETY: a live structure, of which the kernel uses as much as it says.
    unsafe { call(device, DEVICE_DETACH_IOMMUFD_PT, &mut detach) }.map(drop)
}

/// Maps memory in a type1 container.
pub(super) fn type1_map(container: BorrowedFd<'_>, mapping: &DmaMapping<'_>) -> Result<(), Errno> {
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
pub(super) fn type1_unmap(container: BorrowedFd<'_>, iova: u64, size: u64, flags: u32) -> Result<u64, Errno> {
    let argsz = size_of::<abi::vfio_iommu_type1_dma_unmap>() as u32;
    let mut unmap = abi::vfio_iommu_type1_dma_unmap { argsz, flags, iova, size, ..Default::default() };
    // SAFETY: a live structure of the size it says; without the bitmap flag there are no data behind it.
    unsafe { call(container, IOMMU_UNMAP_DMA, &mut unmap) }?;
    Ok(unmap.size)
}

/// Makes an address space in an iommufd. Returns its number.
pub(super) fn ioas_alloc(iommufd: BorrowedFd<'_>) -> Result<u32, Errno> {
    let size = size_of::<fd::iommu_ioas_alloc>() as u32;
    let mut alloc = fd::iommu_ioas_alloc { size, ..Default::default() };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_ALLOC), &mut alloc) }?;
    Ok(alloc.out_ioas_id)
}

/// Returns the (first, last) addresses that may be mapped, and what they must be aligned to.
pub(super) fn ioas_ranges(iommufd: BorrowedFd<'_>, ioas: u32) -> Result<(Vec<(u64, u64)>, u64), Errno> {
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
pub(super) fn ioas_allow(iommufd: BorrowedFd<'_>, ioas: u32, ranges: &[(u64, u64)]) -> Result<(), Errno> {
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
pub(super) fn ioas_map(iommufd: BorrowedFd<'_>, ioas: u32, mapping: &DmaMapping<'_>) -> Result<(), Errno> {
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
pub(super) fn ioas_map_file(
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
pub(super) fn ioas_unmap(iommufd: BorrowedFd<'_>, ioas: u32, iova: u64, length: u64) -> Result<u64, Errno> {
    let mut unmap =
        fd::iommu_ioas_unmap { size: size_of::<fd::iommu_ioas_unmap>() as u32, ioas_id: ioas, iova, length };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_IOAS_UNMAP), &mut unmap) }?;
    Ok(unmap.length)
}

/// Makes a page table for a bound device over an address space, one that notes which pages are written.
pub(super) fn dirty_table_alloc(iommufd: BorrowedFd<'_>, device: u32, ioas: u32) -> Result<u32, Errno> {
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
pub(super) fn dirty_table_track(iommufd: BorrowedFd<'_>, table: u32, on: bool) -> Result<(), Errno> {
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
pub(super) fn dirty_table_read(
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
pub(super) fn destroy(iommufd: BorrowedFd<'_>, id: u32) -> Result<(), Errno> {
    let mut destroy = fd::iommu_destroy { size: size_of::<fd::iommu_destroy>() as u32, id };
    // SAFETY: a live structure of the size it says.
    unsafe { call(iommufd, io(fd::IOMMUFD_CMD_DESTROY), &mut destroy) }.map(drop)
}

/// Calls iommufd's test device (CONFIG_IOMMUFD_TEST).
///
/// # Safety
/// Where the command has an address, it must be valid for what the kernel does with it.
#[cfg(test)]
pub(super) unsafe fn test_command(iommufd: BorrowedFd<'_>, command: &mut Buffer) -> Result<(), Errno> {
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

fn rights(access: DmaAccess, read: u32, write: u32) -> u32 {
    (if access.reads() { read } else { 0 }) | (if access.writes() { write } else { 0 })
}

/// The proof that a range is out of reach.
///
/// # Safety
/// The kernel must have unmapped the range, all of it, from every IOMMU that the device is behind: VFIO and iommufd
/// flush the IOMMU's caches before they say so, and with that no access is in flight.
pub(super) unsafe fn fence(_iova: Iova) -> Fence {
    // SAFETY: the caller's promise.
    unsafe { Fence::new() }
}

/// A part of a region of a device, mapped.
pub(super) struct Window {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread.
unsafe impl Send for Window {}
// SAFETY: as for Send: `&self` gives out nothing but the address.
unsafe impl Sync for Window {}

impl Window {
    /// Maps `len` bytes at `offset` of the device's file.
    pub(super) fn new(
        device: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        read: bool,
        write: bool,
    ) -> Result<Window, Errno> {
        let mut rights = ProtFlags::empty();
        rights.set(ProtFlags::READ, read);
        rights.set(ProtFlags::WRITE, write);
        let len = usize::try_from(len).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the kernel chooses a free place, so nothing else is mapped over.
        let ptr =
            unsafe { mmap(std::ptr::null_mut(), len, rights, MapFlags::SHARED, device.as_fd(), offset) }?;
        let ptr = NonNull::new(ptr.cast()).ok_or(Errno::NOMEM)?;
        Ok(Window { ptr, len })
    }

    /// Returns the first byte. It stays mapped as long as the window lives.
    pub(super) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and nobody uses it any more.
        let _ = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        // From the comments of `linux/vfio.h` and `linux/iommufd.h`: type ';', base 100 and 128, no size encoded.
        assert_eq!(GET_API_VERSION, 0x3b64);
        assert_eq!(GROUP_GET_DEVICE_FD, 0x3b6a);
        assert_eq!(DEVICE_SET_IRQS, 0x3b6e);
        assert_eq!(DEVICE_FEATURE, 0x3b75);
        assert_eq!(DEVICE_BIND_IOMMUFD, 0x3b76);
        assert_eq!(IOMMU_MAP_DMA, 0x3b71);
        assert_eq!(io(fd::IOMMUFD_CMD_IOAS_MAP), 0x3b85);
        assert_eq!(io(fd::IOMMUFD_CMD_IOAS_MAP_FILE), 0x3b8f);
    }

    #[test]
    fn structures_have_the_kernels_layout() {
        assert_eq!(size_of::<abi::vfio_device_bind_iommufd>(), 24);
        assert_eq!(std::mem::offset_of!(abi::vfio_device_bind_iommufd, token_uuid_ptr), 16);
        assert_eq!(size_of::<abi::vfio_iommu_type1_dma_map>(), 32);
        assert_eq!(size_of::<abi::vfio_iommu_type1_dma_unmap>(), 24);
        assert_eq!(size_of::<abi::vfio_region_info>(), 32);
        assert_eq!(size_of::<abi::vfio_device_feature>(), 8);
        assert_eq!(size_of::<abi::vfio_device_feature_dma_logging_control>(), 24);
        assert_eq!(size_of::<abi::vfio_device_feature_dma_logging_report>(), 32);
        assert_eq!(size_of::<fd::iommu_ioas_map_file>(), 40);
        assert_eq!(std::mem::offset_of!(fd::iommu_ioas_map_file, fd), 12);
        assert_eq!(std::mem::offset_of!(fd::iommu_ioas_map_file, start), 16);
    }

    #[test]
    fn buffers_keep_to_their_length() {
        let mut buffer = Buffer::with(12, &[1, 2, 3]);
        assert_eq!(buffer.bytes().len(), 16);
        buffer.put(14, &[9, 9, 9, 9]);
        assert_eq!(&buffer.bytes()[12..], [0, 0, 9, 9]);
        assert_eq!((buffer.word(8), buffer.word(13), buffer.word(1000)), (3, 0, 0));
    }

    #[test]
    fn a_file_that_is_no_device_says_so() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(api_version(file.as_fd()), Err(Errno::NOTTY));
        assert!(!has_extension(file.as_fd(), abi::VFIO_TYPE1v2_IOMMU));
        assert_eq!(device_info(file.as_fd()).map(drop), Err(Errno::NOTTY));
        assert_eq!(hot_reset_info(file.as_fd()).map(drop), Err(Errno::NOTTY));
        assert_eq!(ioas_ranges(file.as_fd(), 1).map(drop), Err(Errno::NOTTY));
        assert_eq!(report_logging(file.as_fd(), 0, 1 << 20, 4096, &mut [0; 3]), Err(Errno::INVAL));
    }
}
