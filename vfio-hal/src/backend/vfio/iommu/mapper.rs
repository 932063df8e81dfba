//! One device's [`Dma`] in an IOMMU context that others may share.

use std::os::fd::AsFd;
use std::ptr::NonNull;

use vfio_bindings::bindings::vfio as abi;

use super::{Entry, Iommu, Way};
use crate::addr::{Iova, IovaRange};
use crate::backend::vfio::{Api, pagemap, sys};
use crate::dma::memory::PAGE_4K;
use crate::dma::{Addressing, Dma, DmaCaps, DmaError, DmaMapping, Unmapped};

/// One device's way to memory.
pub(in crate::backend::vfio) struct Mapper {
    pub(super) iommu: Iommu,
    pub(super) id: u64,
}

impl Mapper {
    pub(in crate::backend::vfio) fn iommu(&self) -> &Iommu {
        &self.iommu
    }
}

impl Dma for Mapper {
    fn caps(&self) -> DmaCaps {
        let (ranges, page_sizes) = self.iommu.translation();
        let mappings = self.iommu.table().mappings();
        let coherent = cfg!(any(target_arch = "x86", target_arch = "x86_64"));
        let (addressing, coherent) = match &self.iommu.0.way {
            Way::NoIommu { .. } => (Addressing::Physical, coherent),
            // iommufd binds no other device.
            Way::Iommufd { .. } => (Addressing::Translated(ranges), true),
            Way::Type1 { file, .. } => {
                let enforced = sys::has_extension(file.as_fd(), abi::VFIO_DMA_CC_IOMMU);
                (Addressing::Translated(ranges), coherent || enforced)
            }
        };
        let max_mappings = self.iommu.entries_left().map(|left| left.saturating_add(mappings));
        DmaCaps { addressing, page_sizes, max_mappings, coherent }
    }

    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        let (iova, len) = (mapping.iova(), mapping.len());
        let range = IovaRange::new(iova, len).ok_or(DmaError::Length { len, page: PAGE_4K })?;
        let address = mapping.ptr().as_ptr().addr();
        let mut table = self.iommu.table();
        if let Some((first, entry)) = table.overlapping(range) {
            let same =
                (first, entry.len, entry.address, entry.access) == (iova.0, len, address, mapping.access());
            if !same || !entry.mapped || entry.holders.contains(&self.id) {
                return Err(DmaError::IovaInUse { range });
            }
            entry.holders.push(self.id);
            return Ok(());
        }
        if self.iommu.api() != Api::NoIommu {
            self.iommu.check_memlock(len, &table)?;
        }
        self.iommu.enter(mapping, &mut table)?;
        let entry = Entry { len, address, access: mapping.access(), holders: vec![self.id], mapped: true };
        table.live.insert(iova.0, entry);
        Ok(())
    }

    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError> {
        let mut table = self.iommu.table();
        let not_mapped = DmaError::NotMapped { iova, len };
        let entry = table.live.get_mut(&iova.0).filter(|entry| entry.len == len).ok_or(not_mapped)?;
        let place = entry.holders.iter().position(|&holder| holder == self.id).ok_or(not_mapped)?;
        if !entry.mapped {
            entry.holders.swap_remove(place);
            if entry.holders.is_empty() {
                table.live.remove(&iova.0);
            }
            // SAFETY: `unmap_all` has unmapped it.
            return Ok(Unmapped::Fenced(unsafe { sys::fence(iova) }));
        }
        if entry.holders.len() > 1 {
            entry.holders.swap_remove(place);
            // Without an IOMMU nobody is ever fenced off: each device must be seen to stop.
            let fenced_by_the_last = self.iommu.api() != Api::NoIommu;
            return Ok(if fenced_by_the_last { Unmapped::Shared } else { Unmapped::Unfenced });
        }
        let unmapped = self.iommu.leave(iova.0, len)?;
        table.live.remove(&iova.0);
        Ok(unmapped)
    }

    fn physical(&self, ptr: NonNull<u8>, len: u64) -> Option<Iova> {
        match self.iommu.0.way {
            Way::NoIommu { .. } => pagemap::physical(ptr, len),
            Way::Iommufd { .. } | Way::Type1 { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{page_mask, ranges};
    use super::*;
    use crate::dma::memory::HeapMemory;
    use crate::dma::{DmaAccess, Memory};

    /// A page of memory for ever.
    fn page() -> NonNull<u8> {
        let memory = HeapMemory::new(4096).expect("a page");
        let ptr = memory.ptr();
        std::mem::forget(memory);
        ptr
    }

    fn mapping(iova: u64, ptr: NonNull<u8>, access: DmaAccess) -> DmaMapping<'static> {
        // SAFETY: the memory is leaked, and nobody uses it.
        unsafe { DmaMapping::new(Iova(iova), ptr, 4096, access, None) }
    }

    #[test]
    fn the_last_device_unmaps_what_several_mapped() {
        let iommu = Iommu::fake();
        let (one, two, ptr) = (iommu.mapper(), iommu.mapper(), page());
        let shared = mapping(0x1000, ptr, DmaAccess::Read);
        assert_eq!((one.map(&shared), two.map(&shared)), (Ok(()), Ok(())));
        assert_eq!(iommu.limits().mappings, 1);
        assert_eq!(one.unmap(Iova(0x1000), 4096), Ok(Unmapped::Unfenced), "there is no IOMMU");
        assert_eq!(one.unmap(Iova(0x1000), 4096), Err(DmaError::NotMapped { iova: Iova(0x1000), len: 4096 }));
        assert_eq!(two.unmap(Iova(0x1000), 4096), Ok(Unmapped::Unfenced));
        assert_eq!(iommu.limits().mappings, 0);
    }

    #[test]
    fn what_differs_is_refused() {
        let iommu = Iommu::fake();
        let (one, two, ptr) = (iommu.mapper(), iommu.mapper(), page());
        one.map(&mapping(0x1000, ptr, DmaAccess::Read)).unwrap();
        let range = IovaRange::new(Iova(0x1000), 4096).unwrap();
        let in_use = Err(DmaError::IovaInUse { range });
        assert_eq!(one.map(&mapping(0x1000, ptr, DmaAccess::Read)), in_use, "twice by one device");
        assert_eq!(two.map(&mapping(0x1000, ptr, DmaAccess::ReadWrite)), in_use, "other rights");
        assert_eq!(two.map(&mapping(0x1000, page(), DmaAccess::Read)), in_use, "other memory");
        let range = IovaRange::new(Iova(0x1800), 4096).unwrap();
        assert_eq!(two.map(&mapping(0x1800, page(), DmaAccess::Read)), Err(DmaError::IovaInUse { range }));
        assert_eq!(two.unmap(Iova(0x1000), 4096), Err(DmaError::NotMapped { iova: Iova(0x1000), len: 4096 }));
        assert_eq!(one.unmap(Iova(0x1000), 2048), Err(DmaError::NotMapped { iova: Iova(0x1000), len: 2048 }));
        let top = u64::MAX - 4095;
        two.map(&mapping(top, page(), DmaAccess::Read)).unwrap();
        assert_eq!(two.unmap(Iova(top), 4096), Ok(Unmapped::Unfenced));
        assert!(two.map(&mapping(top + 1, page(), DmaAccess::Read)).is_err(), "past the end");
    }

    #[test]
    fn masks_and_ranges() {
        assert_eq!(page_mask(4096), !0xfff);
        let range = |first, last| IovaRange { first: Iova(first), last: Iova(last) };
        assert_eq!(ranges([(5, 4), (9, 9), (1, 2)].into_iter()), [range(1, 2), range(9, 9)]);
    }
}
