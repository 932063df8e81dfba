//! Where a driver takes the memory for its rings from.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;

use super::{HeapMemory, Memory, PAGE_4K};
use crate::dma::{Backing, DmaError};

/// Makes memory of at least a given length. The application chooses: the heap by default, pages of a file where
/// another process must map them too, contiguous pages where the device sees physical addresses.
#[derive(Clone)]
pub struct MemorySource(Arc<Make>);

type Make = dyn Fn(usize) -> Result<Box<dyn Memory>, DmaError> + Send + Sync;

impl MemorySource {
    /// Takes memory from `make`, which is given the bytes needed.
    pub fn new(
        make: impl Fn(usize) -> Result<Box<dyn Memory>, DmaError> + Send + Sync + 'static,
    ) -> MemorySource {
        MemorySource(Arc::new(make))
    }

    /// Returns memory of at least `len` bytes.
    pub fn memory(&self, len: usize) -> Result<Box<dyn Memory>, DmaError> {
        (self.0)(len)
    }
}

impl Default for MemorySource {
    /// The heap, in whole 4 KiB pages.
    fn default() -> MemorySource {
        MemorySource::new(|len| {
            let page = PAGE_4K as usize;
            let none = DmaError::NoMemory { len: len as u64, page: PAGE_4K };
            let len = len.max(1).checked_next_multiple_of(page).ok_or(none)?;
            Ok(Box::new(HeapMemory::new(len)?))
        })
    }
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemorySource")
    }
}

// SAFETY: every answer is that of the boxed memory, which keeps the contract; moving the box moves no byte of it.
unsafe impl Memory for Box<dyn Memory> {
    fn ptr(&self) -> NonNull<u8> {
        (**self).ptr()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    fn page_size(&self) -> u64 {
        (**self).page_size()
    }

    fn backing(&self) -> Option<Backing<'_>> {
        (**self).backing()
    }
}
