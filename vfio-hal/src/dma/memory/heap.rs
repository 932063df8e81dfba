//! Memory from the global allocator.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ptr::NonNull;

use super::{Memory, PAGE_4K};
use crate::dma::DmaError;

/// Zeroed, page-aligned memory from the global allocator, without a file behind it.
///
/// It serves devices in this process, and devices behind an IOMMU. Physically it is contiguous only as far as
/// the platform's allocator makes it so.
#[derive(Debug)]
pub struct HeapMemory {
    ptr: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the allocation is owned; nothing in it belongs to a thread.
unsafe impl Send for HeapMemory {}
// SAFETY: as for Send: `&self` gives out nothing but the address.
unsafe impl Sync for HeapMemory {}

impl HeapMemory {
    /// Allocates `len` bytes, rounded up to whole 4 KiB pages.
    pub fn new(len: usize) -> Result<HeapMemory, DmaError> {
        let none = DmaError::NoMemory { len: len as u64, page: PAGE_4K };
        if len == 0 {
            return Err(DmaError::Length { len: 0, page: PAGE_4K });
        }
        let rounded = len.checked_next_multiple_of(PAGE_4K as usize).ok_or(none)?;
        let layout = Layout::from_size_align(rounded, PAGE_4K as usize).map_err(|_| none)?;
        // SAFETY: the layout's size is not 0.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(none)?;
        Ok(HeapMemory { ptr, layout })
    }
}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}

// SAFETY: 1. and 2. one zeroed allocation of whole, aligned pages, freed on drop; 3. and 4. it is owned, and
// the pointer leaves it only through this trait; 5. there is no file.
unsafe impl Memory for HeapMemory {
    fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    fn len(&self) -> usize {
        self.layout.size()
    }

    fn page_size(&self) -> u64 {
        PAGE_4K
    }
}
