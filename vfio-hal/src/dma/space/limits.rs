//! What mappers can do, each and together.

use alloc::vec::Vec;

use crate::addr::{Iova, IovaRange};
use crate::device::DeviceError;
use crate::dma::{Addressing, Dma, DmaCaps, DmaError, Memory};

/// Returns the smallest page a mapper takes.
pub(super) fn granule(caps: &DmaCaps) -> Result<u64, DmaError> {
    match caps.page_sizes {
        0 => Err(DeviceError::Unsupported { what: "page size for DMA mappings" }.into()),
        sizes => Ok(1 << sizes.trailing_zeros()),
    }
}

/// Checks that memory consists of whole pages of `granule`.
pub(super) fn check_pages(memory: &dyn Memory, granule: u64) -> Result<(), DmaError> {
    let (address, len) = (memory.ptr().as_ptr().addr() as u64, memory.len() as u64);
    if !len.is_multiple_of(granule) {
        return Err(DmaError::Length { len, page: granule });
    }
    if !address.is_multiple_of(granule) {
        return Err(DmaError::Unaligned { address, page: granule });
    }
    Ok(())
}

/// Returns where `memory` is physically. It is asked page by page, and must be one run.
pub(super) fn physical_run(dma: &dyn Dma, memory: &dyn Memory) -> Result<Iova, DmaError> {
    let (ptr, page) = (memory.ptr(), memory.page_size());
    let none = DmaError::NoPhysical { ptr: ptr.as_ptr().addr() as u64 };
    let mut start = None;
    for offset in (0..memory.len()).step_by(page as usize) {
        // SAFETY: inside of the memory, whose length is a multiple of the page size.
        let at = unsafe { ptr.add(offset) };
        let here = dma.physical(at, page).ok_or(none)?;
        let first = here.0.checked_sub(offset as u64).ok_or(none)?;
        if *start.get_or_insert(first) != first {
            return Err(none);
        }
    }
    start.map(Iova).ok_or(none)
}

/// Returns what `limit` and all mappers allow.
pub(super) fn usable<'a>(limit: IovaRange, all: impl Iterator<Item = &'a DmaCaps>) -> Vec<IovaRange> {
    all.fold(Vec::from([limit]), |usable, caps| match &caps.addressing {
        Addressing::Physical => usable,
        Addressing::Translated(ranges) => usable
            .iter()
            .flat_map(|range| ranges.iter().filter_map(|other| range.intersection(*other)))
            .collect(),
    })
}
