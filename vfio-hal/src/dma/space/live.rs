//! One live region, with the memory that it owns.

use alloc::boxed::Box;

use super::{RegionInfo, RegionOptions};
use crate::addr::Iova;
use crate::dma::{DmaMapping, Memory};

pub(super) struct Live {
    pub(super) memory: Box<dyn Memory>,
    pub(super) options: RegionOptions,
    /// A device was detached that may still reach the memory.
    pub(super) held: bool,
}

impl Live {
    pub(super) fn len(&self) -> u64 {
        self.memory.len() as u64
    }

    pub(super) fn mapping(&self, iova: Iova) -> DmaMapping<'_> {
        let (ptr, access) = (self.memory.ptr(), self.options.access);
        // SAFETY: `Memory` promises `len` bytes at `ptr` until it is dropped, or for ever if it is leaked, and
        // `State::unmap` drops it only after every device that got the mapping answered `Fenced`, or answered
        // `Unfenced` and cannot know the address or was seen to stop. Until then the memory is only accessed
        // atomically, or by the owner of a buffer.
        unsafe { DmaMapping::new(iova, ptr, self.len(), access, self.memory.backing()) }
    }

    pub(super) fn info(&self, iova: Iova) -> RegionInfo {
        RegionInfo {
            name: self.options.name,
            iova,
            address: self.memory.ptr().as_ptr().addr(),
            len: self.len(),
            page_size: self.memory.page_size(),
            access: self.options.access,
        }
    }
}
