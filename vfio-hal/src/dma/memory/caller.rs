//! Memory that somebody else allocated.

use alloc::boxed::Box;
use core::any::Any;
use core::ptr::NonNull;

use super::Memory;
use crate::dma::{Backing, DmaError};

/// Memory of the caller: a static buffer, a mapping, a guest's memory. The kit never frees it.
pub struct CallerMemory {
    ptr: NonNull<u8>,
    len: usize,
    page_size: u64,
    owner: Option<Box<dyn Any + Send + Sync>>,
    #[cfg(feature = "std")]
    file: Option<(std::os::fd::OwnedFd, u64)>,
}

// SAFETY: `CallerMemory::new` requires memory that any thread may use.
unsafe impl Send for CallerMemory {}
// SAFETY: as for Send: `&self` gives out nothing but the address.
unsafe impl Sync for CallerMemory {}

impl CallerMemory {
    /// Takes `len` bytes at `ptr` in pages of `page_size`. An address or a length that is not a multiple of it
    /// is refused, never rounded.
    ///
    /// # Safety
    /// The memory must be as [`Memory`] says in 2., 3. and 4., as long as the value lives: until it is dropped,
    /// or for ever. What [`owned_by`](Self::owned_by) is given may free it on drop.
    pub unsafe fn new(ptr: NonNull<u8>, len: usize, page_size: u64) -> Result<CallerMemory, DmaError> {
        let address = ptr.as_ptr().addr() as u64;
        if !page_size.is_power_of_two() {
            return Err(DmaError::Alignment { align: page_size });
        }
        if len == 0 || !(len as u64).is_multiple_of(page_size) {
            return Err(DmaError::Length { len: len as u64, page: page_size });
        }
        if !address.is_multiple_of(page_size) {
            return Err(DmaError::Unaligned { address, page: page_size });
        }
        Ok(CallerMemory {
            ptr,
            len,
            page_size,
            owner: None,
            #[cfg(feature = "std")]
            file: None,
        })
    }

    /// Keeps `owner` until the memory is no longer needed, then drops it. If a device may still reach the
    /// memory then, it is never dropped.
    pub fn owned_by(mut self, owner: impl Any + Send + Sync) -> CallerMemory {
        self.owner = Some(Box::new(owner));
        self
    }

    /// Names the file the memory is mapped from, `offset` bytes in, so that another process can map it too.
    ///
    /// # Safety
    /// The memory must be a shared mapping of the file from that offset on.
    #[cfg(feature = "std")]
    pub unsafe fn backed_by(mut self, fd: std::os::fd::OwnedFd, offset: u64) -> CallerMemory {
        self.file = Some((fd, offset));
        self
    }
}

impl core::fmt::Debug for CallerMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CallerMemory")
            .field("ptr", &self.ptr)
            .field("len", &self.len)
            .field("page_size", &self.page_size)
            .field("owned", &self.owner.is_some())
            .finish_non_exhaustive()
    }
}

// SAFETY: 1. `new` checked it; 2. to 4. the caller of `new` promised it; 5. the caller of `backed_by` did.
unsafe impl Memory for CallerMemory {
    fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    fn len(&self) -> usize {
        self.len
    }

    fn page_size(&self) -> u64 {
        self.page_size
    }

    fn backing(&self) -> Option<Backing<'_>> {
        #[cfg(feature = "std")]
        if let Some((fd, offset)) = &self.file {
            return Some(Backing { fd: std::os::fd::AsFd::as_fd(fd), offset: *offset });
        }
        None
    }
}
