//! Memory that devices see.
//!
//! - [`Region`] owns a piece of [`Memory`] in an [`IovaSpace`] and keeps it mapped in every device there.
//! - [`RegionOptions`] names it, fixes its address, aligns it.
//!
//! When a region is dropped, it is unmapped everywhere first. The memory is freed only if every device answered
//! that it cannot reach it any more, or if no bus address of it was ever given out; otherwise it is leaked and
//! counted, see [`IovaSpace::stats`]. [`Region::release`] frees under a device that was seen to stop.
//!
//! Rings and pools keep their region in an `Arc`, so that it cannot be unmapped under them. A region that holds
//! packet buffers must never be shared beyond its pool: buffers are ordinary slices.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::{ManuallyDrop, align_of, size_of};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::{DmaAccess, DmaError, IovaSpace, Memory, Quiesced, copy};
use crate::addr::{BusAddr, Iova, SpaceId};

/// How a [`Region`] shall be mapped.
#[derive(Clone, Copy, Debug)]
pub struct RegionOptions {
    pub(super) access: DmaAccess,
    pub(super) iova: Option<Iova>,
    pub(super) align: Option<u64>,
    pub(super) name: &'static str,
}

impl RegionOptions {
    /// Lets devices use the region as `access` says, at any free address.
    pub fn new(access: DmaAccess) -> RegionOptions {
        RegionOptions { access, iova: None, align: None, name: "unnamed" }
    }

    /// Maps at exactly `iova`.
    pub fn at(mut self, iova: Iova) -> RegionOptions {
        self.iova = Some(iova);
        self
    }

    /// Aligns the IOVA to `bytes`, a power of two, or to the page size if that is larger.
    pub fn align(mut self, bytes: u64) -> RegionOptions {
        self.align = Some(bytes);
        self
    }

    /// Names the region, for [`IovaSpace::regions`] and [`DmaError::SpaceInUse`].
    pub fn name(mut self, name: &'static str) -> RegionOptions {
        self.name = name;
        self
    }

    /// Maps `memory` into every device of `space`.
    pub fn alloc(&self, space: &IovaSpace, memory: impl Memory + 'static) -> Result<Region, DmaError> {
        let (ptr, len, page_size) = (memory.ptr(), memory.len(), memory.page_size());
        let iova = space.map(Box::new(memory), self)?;
        Ok(Region {
            space: space.clone(),
            iova,
            ptr,
            len,
            page_size,
            access: self.access,
            exposed: AtomicBool::new(false),
        })
    }
}

/// Memory that is mapped for the devices of an [`IovaSpace`] as long as it lives.
///
/// The accessors are safe while a device reads and writes the same bytes: they are atomic, bounds-checked, and
/// give out no reference to plain bytes.
pub struct Region {
    space: IovaSpace,
    iova: Iova,
    ptr: NonNull<u8>,
    len: usize,
    page_size: u64,
    access: DmaAccess,
    /// A bus address was given out, so a device may know where the memory is.
    exposed: AtomicBool,
}

// SAFETY: `Memory` promises memory that any thread may use; all else in here is Send and Sync by itself.
unsafe impl Send for Region {}
// SAFETY: as for Send, and all access through `&self` is atomic.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `memory` into every device of `space`, at an address that the space chooses.
    pub fn alloc(
        space: &IovaSpace,
        memory: impl Memory + 'static,
        access: DmaAccess,
    ) -> Result<Region, DmaError> {
        RegionOptions::new(access).alloc(space, memory)
    }

    /// Maps `memory` into every device of `space`, at `iova`.
    pub fn alloc_at(
        space: &IovaSpace,
        memory: impl Memory + 'static,
        access: DmaAccess,
        iova: Iova,
    ) -> Result<Region, DmaError> {
        RegionOptions::new(access).at(iova).alloc(space, memory)
    }

    /// Returns the space that the region is mapped in.
    pub fn space(&self) -> &IovaSpace {
        &self.space
    }

    /// Returns the identity of that space.
    pub fn space_id(&self) -> SpaceId {
        self.space.id()
    }

    /// Returns the first address that devices see the region at. The whole region is one run from there.
    pub fn iova(&self) -> Iova {
        self.iova
    }

    /// Returns the length in bytes.
    // A region of no bytes does not exist, so there is no `is_empty`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the size of the pages behind it, in bytes.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// Returns which way devices may use it.
    pub fn access(&self) -> DmaAccess {
        self.access
    }

    /// Returns the first byte. It stays valid as long as the region lives.
    ///
    /// Whoever forms a plain reference or makes a plain access through it must be the only one who can reach the
    /// region: see the module's documentation.
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Returns the bus address of the byte at `offset`, for a register or a descriptor. From then on a device
    /// may know where the memory is, and it is freed only on a proof that the device let go.
    pub fn bus(&self, offset: u64) -> Result<BusAddr, DmaError> {
        if offset >= self.len as u64 {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            return Err(DmaError::OutOfRegion { offset, len: 1, region: self.len });
        }
        // The whole region was mapped, so its last address exists.
        Ok(BusAddr::new(Iova(self.bus_base().iova().0 + offset), self.space.id()))
    }

    /// Returns the bus address of the first byte, see [`bus`](Self::bus).
    pub(crate) fn bus_base(&self) -> BusAddr {
        self.exposed.store(true, Ordering::Relaxed);
        BusAddr::new(self.iova, self.space.id())
    }

    /// Unmaps the region and frees its memory under the proofs that the devices which knew it have stopped; each
    /// device without an IOMMU needs one. Returns the bytes that had to be leaked all the same: all of them if
    /// an unmap failed, or if there is no proof of a device without an IOMMU, else 0.
    pub fn release(self, proofs: &[Quiesced]) -> u64 {
        let region = ManuallyDrop::new(self);
        let exposed = region.exposed.load(Ordering::Relaxed);
        let leaked = region.space.unmap(region.iova, exposed, proofs);
        // SAFETY: read once, out of a value that is never used or dropped again.
        drop(unsafe { core::ptr::read(&region.space) });
        leaked
    }

    /// Does [`release`](Self::release) for a region that rings or pools shared. [`DmaError::InUse`] if one of
    /// them still has it; it stays mapped then, and theirs.
    pub fn release_shared(region: Arc<Region>, proofs: &[Quiesced]) -> Result<u64, DmaError> {
        match Arc::try_unwrap(region) {
            Ok(region) => Ok(region.release(proofs)),
            Err(shared) => Err(DmaError::InUse {
                // One is the caller's own, which ends here.
                users: u32::try_from(Arc::strong_count(&shared).saturating_sub(1)).unwrap_or(u32::MAX),
            }),
        }
    }

    /// Copies `data` into the region from `offset` on. Whole words are written at once, in no promised order.
    pub fn copy_in(&self, offset: usize, data: &[u8]) -> Result<(), DmaError> {
        let at = self.check(offset, data.len())?;
        // SAFETY: 1. `check` found the range inside of the region; 2. see the module: whoever accesses a shared
        // region otherwise does so atomically.
        unsafe { copy::copy_in(data, at) }
        Ok(())
    }

    /// Copies from `offset` on into `data`. Whole words are read at once, in no promised order.
    pub fn copy_out(&self, offset: usize, data: &mut [u8]) -> Result<(), DmaError> {
        let at = self.check(offset, data.len())?;
        // SAFETY: as for `copy_in`.
        unsafe { copy::copy_out(at, data) }
        Ok(())
    }

    /// Sets `len` bytes from `offset` on to `value`.
    pub fn fill(&self, offset: usize, len: usize, value: u8) -> Result<(), DmaError> {
        self.check(offset, len)?;
        let block = [value; 256];
        let mut at = offset;
        while at < offset + len {
            let part = (offset + len - at).min(block.len());
            self.copy_in(at, &block[..part])?;
            at += part;
        }
        Ok(())
    }

    /// Returns the aligned 64-bit word at `offset` as an atomic. Devices see it in the processor's byte order.
    pub fn atomic_u64(&self, offset: usize) -> Result<&AtomicU64, DmaError> {
        // SAFETY: see `atomic`.
        Ok(unsafe { self.atomic::<AtomicU64>(offset)?.as_ref() })
    }

    /// Returns the aligned 32-bit word at `offset` as an atomic. Devices see it in the processor's byte order.
    pub fn atomic_u32(&self, offset: usize) -> Result<&AtomicU32, DmaError> {
        // SAFETY: see `atomic`.
        Ok(unsafe { self.atomic::<AtomicU32>(offset)?.as_ref() })
    }

    /// Returns a pointer to a `T` inside of the region.
    ///
    /// For an atomic `T` it may be turned into a shared reference that lives as long as `self`: 1. it is aligned
    /// and in bounds; 2. the bytes are initialised, and every value of them is a valid atomic; 3. nobody makes
    /// plain accesses to a region that is shared.
    fn atomic<T>(&self, offset: usize) -> Result<NonNull<T>, DmaError> {
        let at = self.check(offset, size_of::<T>())?.cast::<T>();
        if !at.is_aligned() {
            return Err(DmaError::Unaligned { address: offset as u64, page: align_of::<T>() as u64 });
        }
        Ok(at)
    }

    fn check(&self, offset: usize, len: usize) -> Result<NonNull<u8>, DmaError> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(DmaError::OutOfRegion { offset, len, region: self.len });
        }
        // SAFETY: at most one past the end of the memory.
        Ok(unsafe { self.ptr.add(offset) })
    }
}

/// Declares the aligned little-endian accessors of one width.
macro_rules! words {
    ($($bits:literal $int:ty, $atomic:ty, $read:ident, $write:ident;)*) => {
        impl Region {$(
            #[doc = concat!("Reads the aligned little-endian ", $bits, "-bit word at `offset`, with Acquire order: ")]
            /// what its writer stored before is seen by what follows.
            pub fn $read(&self, offset: usize) -> Result<$int, DmaError> {
                // SAFETY: see `atomic`.
                let word = unsafe { self.atomic::<$atomic>(offset)?.as_ref() };
                Ok(<$int>::from_le(word.load(Ordering::Acquire)))
            }

            #[doc = concat!("Writes the aligned little-endian ", $bits, "-bit word at `offset`, with Release order: ")]
            /// whoever sees it sees what was written before.
            pub fn $write(&self, offset: usize, value: $int) -> Result<(), DmaError> {
                // SAFETY: see `atomic`.
                let word = unsafe { self.atomic::<$atomic>(offset)?.as_ref() };
                word.store(value.to_le(), Ordering::Release);
                Ok(())
            }
        )*}
    };
}

words! {
    "8" u8, AtomicU8, read_u8, write_u8;
    "16" u16, AtomicU16, read_u16, write_u16;
    "32" u32, AtomicU32, read_u32, write_u32;
    "64" u64, AtomicU64, read_u64, write_u64;
}

impl Drop for Region {
    fn drop(&mut self) {
        // What had to be leaked is in the space's statistics.
        self.space.unmap(self.iova, *self.exposed.get_mut(), &[]);
    }
}

impl core::fmt::Debug for Region {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Region")
            .field("iova", &self.iova)
            .field("len", &self.len)
            .field("page_size", &self.page_size)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
