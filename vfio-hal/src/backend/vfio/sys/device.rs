//! The file of a device: what it is, its interrupts, resets and features.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::{Buffer, call, call_number, read_grown, vfio};

const DEVICE_GET_INFO: u64 = vfio(7);
const DEVICE_GET_REGION_INFO: u64 = vfio(8);
const DEVICE_GET_IRQ_INFO: u64 = vfio(9);
const DEVICE_SET_IRQS: u64 = vfio(10);
const DEVICE_RESET: u64 = vfio(11);
const DEVICE_GET_PCI_HOT_RESET_INFO: u64 = vfio(12);
const DEVICE_PCI_HOT_RESET: u64 = vfio(13);
const DEVICE_FEATURE: u64 = vfio(17);
const MIG_GET_PRECOPY_INFO: u64 = vfio(21);

/// Returns a `vfio_device_info` with its chain.
pub(in crate::backend::vfio) fn device_info(device: BorrowedFd<'_>) -> Result<Buffer, Errno> {
    read_grown(device, DEVICE_GET_INFO, &[], size_of::<abi::vfio_device_info>())
}

/// Returns a `vfio_region_info` with its chain.
pub(in crate::backend::vfio) fn region_info(device: BorrowedFd<'_>, index: u32) -> Result<Buffer, Errno> {
    read_grown(device, DEVICE_GET_REGION_INFO, &[0, 0, index], size_of::<abi::vfio_region_info>())
}

/// Returns a `vfio_pci_hot_reset_info` with all its devices.
pub(in crate::backend::vfio) fn hot_reset_info(device: BorrowedFd<'_>) -> Result<Buffer, Errno> {
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
pub(in crate::backend::vfio) fn hot_reset(
    device: BorrowedFd<'_>,
    owners: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let len = size_of::<abi::vfio_pci_hot_reset>() + owners.len() * 4;
    let mut buffer = Buffer::with(len, &[len as u32, 0, owners.len() as u32]);
    for (place, owner) in owners.iter().enumerate() {
        buffer.put(12 + place * 4, &owner.as_raw_fd().to_ne_bytes());
    }
    // SAFETY: a live structure of the size that its first word says.
    unsafe { call(device, DEVICE_PCI_HOT_RESET, buffer.as_mut_ptr()) }.map(drop)
}

/// Resets the function.
pub(in crate::backend::vfio) fn reset(device: BorrowedFd<'_>) -> Result<(), Errno> {
    call_number(device, DEVICE_RESET, 0).map(drop)
}

/// Returns (flags, count) of an interrupt index.
pub(in crate::backend::vfio) fn irq_info(device: BorrowedFd<'_>, index: u32) -> Result<(u32, u32), Errno> {
    let mut info =
        abi::vfio_irq_info { argsz: size_of::<abi::vfio_irq_info>() as u32, flags: 0, index, count: 0 };
    // SAFETY: a live structure of the size it says.
    unsafe { call(device, DEVICE_GET_IRQ_INFO, &mut info) }?;
    Ok((info.flags, info.count))
}

/// What VFIO_DEVICE_SET_IRQS does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::backend::vfio) enum IrqAction {
    Mask = abi::VFIO_IRQ_SET_ACTION_MASK,
    Unmask = abi::VFIO_IRQ_SET_ACTION_UNMASK,
    Trigger = abi::VFIO_IRQ_SET_ACTION_TRIGGER,
}

/// Does `action` once for `count` interrupts of an index; a count of 0 with `Trigger` disables them all.
pub(in crate::backend::vfio) fn irqs_now(
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
pub(in crate::backend::vfio) fn irqs_by_eventfd(
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
pub(in crate::backend::vfio) fn feature(
    device: BorrowedFd<'_>,
    number: PlainFeature,
    operation: Operation,
    data: &[u8],
) -> Result<Vec<u8>, Errno> {
    // SAFETY: `PlainFeature` names only features without addresses.
    unsafe { feature_raw(device, number as u32 | operation as u32, data) }
}

/// Asks whether the device takes a feature with an operation. No data is read or written.
pub(in crate::backend::vfio) fn probe_feature(
    device: BorrowedFd<'_>,
    number: u16,
    operation: Operation,
) -> Result<(), Errno> {
    let flags = u32::from(number) | operation as u32 | abi::VFIO_DEVICE_FEATURE_PROBE;
    // SAFETY: a probe has no data.
    unsafe { feature_raw(device, flags, &[]) }.map(drop)
}

/// What is done with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::backend::vfio) enum Operation {
    Get = abi::VFIO_DEVICE_FEATURE_GET,
    Set = abi::VFIO_DEVICE_FEATURE_SET,
}

/// Features whose data is plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::backend::vfio) enum PlainFeature {
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
pub(in crate::backend::vfio) fn start_logging(
    device: BorrowedFd<'_>,
    page: u64,
    ranges: &[(u64, u64)],
) -> Result<u64, Errno> {
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
pub(in crate::backend::vfio) fn report_logging(
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
pub(in crate::backend::vfio) fn export_dma_buf(
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

/// Brings a device to another migration state. Returns the file of its state, where there is one.
pub(in crate::backend::vfio) fn set_migration_state(
    device: BorrowedFd<'_>,
    state: u32,
) -> Result<Option<OwnedFd>, Errno> {
    let data = [state.to_ne_bytes(), (-1i32).to_ne_bytes()].concat();
    let answer = feature(device, PlainFeature::MigrationState, Operation::Set, &data)?;
    let file = answer.get(4..).and_then(|rest| rest.first_chunk());
    let file = file.map_or(-1, |bytes| i32::from_ne_bytes(*bytes));
    // SAFETY: a new file that the kernel made for us and nobody else knows of; -1 is none.
    Ok((file >= 0).then(|| unsafe { OwnedFd::from_raw_fd(file) }))
}

/// Returns (initial bytes, dirty bytes) of a migration stream in its pre-copy phase.
pub(in crate::backend::vfio) fn precopy_info(stream: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let mut info =
        abi::vfio_precopy_info { argsz: size_of::<abi::vfio_precopy_info>() as u32, ..Default::default() };
    // SAFETY: a live structure of the size it says.
    unsafe { call(stream, MIG_GET_PRECOPY_INFO, &mut info) }?;
    Ok((info.initial_bytes, info.dirty_bytes))
}
