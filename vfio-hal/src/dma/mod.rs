//! Memory that devices reach: mapping, regions, hugepages, the buffer pool.
//!
//! - [`Dma`] is the part of a [`Device`](crate::Device) that maps memory for it.
//! - [`IovaSpace`] holds the mappings of one or more devices and hands out addresses.
//! - [`Region`] owns a piece of mapped memory; [`Memory`] is where that memory comes from.
//! - `Pool`, `Cache` and `Buf` (in [`pool`]) cut a region into packet buffers.
//!
//! Rings and drivers build on regions and buffers and never see a pointer.

pub(crate) mod copy;
mod error;
pub mod iova;
pub mod memory;
pub mod pool;
mod region;
mod space;

#[cfg(feature = "std")]
pub(crate) use copy::{copy_in, copy_out};
pub use error::DmaError;
pub use memory::Memory;
pub use region::{Region, RegionOptions};
pub use space::{IovaSpace, RegionInfo, SpaceOptions, SpaceStats};

use alloc::vec::Vec;
use core::ptr::NonNull;

use crate::addr::{Iova, IovaRange};
use crate::device::{DeviceError, Lost};

/// How a device's addresses come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// An IOMMU or a table translates: any IOVA in these inclusive ranges may be chosen. Sorted, disjoint.
    Translated(Vec<IovaRange>),
    /// The device sees physical addresses (no-IOMMU, bare metal): an IOVA is what [`Dma::physical`] answers.
    Physical,
}

/// What a device's mapper can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmaCaps {
    /// How addresses come about.
    pub addressing: Addressing,
    /// Bit n is set when mappings may be aligned to 2^n bytes; the lowest bit is the smallest granule.
    pub page_sizes: u64,
    /// How many mappings there may be at once, `None` without a limit.
    pub max_mappings: Option<u32>,
    /// Processor caches and the device's view agree without [`Dma::sync_for_cpu`] and [`Dma::sync_for_device`].
    pub coherent: bool,
}

/// Which way a device may use memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DmaAccess {
    /// The device reads.
    Read,
    /// The device writes.
    Write,
    /// Both.
    ReadWrite,
}

impl DmaAccess {
    /// Returns whether the device may read.
    pub const fn reads(self) -> bool {
        matches!(self, DmaAccess::Read | DmaAccess::ReadWrite)
    }

    /// Returns whether the device may write.
    pub const fn writes(self) -> bool {
        matches!(self, DmaAccess::Write | DmaAccess::ReadWrite)
    }
}

/// One mapping that a [`Dma`] is asked for. Only a [`Region`] makes one, so the memory behind it is live.
#[derive(Clone, Copy, Debug)]
pub struct DmaMapping<'a> {
    iova: Iova,
    ptr: NonNull<u8>,
    len: u64,
    access: DmaAccess,
    backing: Option<Backing<'a>>,
}

impl<'a> DmaMapping<'a> {
    /// Describes `len` bytes at `ptr` that the device shall see at `iova`.
    ///
    /// # Safety
    /// `ptr` must be valid for reads and writes of `len` bytes, shared with a device (so only accessed as
    /// atomics, volatile, or by whoever owns a buffer at the time), until a [`Dma::unmap`] of the same range
    /// has returned [`Unmapped::Fenced`], or for ever.
    pub unsafe fn new(
        iova: Iova,
        ptr: NonNull<u8>,
        len: u64,
        access: DmaAccess,
        backing: Option<Backing<'a>>,
    ) -> Self {
        DmaMapping { iova, ptr, len, access, backing }
    }

    /// Returns the address the device uses.
    pub fn iova(&self) -> Iova {
        self.iova
    }

    /// Returns the address this process uses. Valid as long as [`DmaMapping::new`] says.
    pub fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether there is nothing to map.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns which way the device may use it.
    pub fn access(&self) -> DmaAccess {
        self.access
    }

    /// Returns the file behind the memory, if there is one.
    pub fn backing(&self) -> Option<Backing<'a>> {
        self.backing
    }
}

/// The file that memory is mapped from, so that another process can map it too.
#[derive(Clone, Copy, Debug)]
pub struct Backing<'a> {
    /// The file.
    #[cfg(feature = "std")]
    pub fd: std::os::fd::BorrowedFd<'a>,
    /// Where in the file the mapping starts, in bytes.
    pub offset: u64,
    /// Without an operating system there are no files, so this is never made.
    #[cfg(not(feature = "std"))]
    pub never: core::marker::PhantomData<&'a core::convert::Infallible>,
}

/// A device's way to memory.
pub trait Dma: Send + Sync {
    /// Returns what the mapper can do.
    fn caps(&self) -> DmaCaps;

    /// Maps memory for the device; all or nothing.
    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError>;

    /// Unmaps exactly what one [`map`](Self::map) mapped.
    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError>;

    /// Returns the physical address of `len` contiguous bytes at `ptr`, for [`Addressing::Physical`] only.
    fn physical(&self, ptr: NonNull<u8>, len: u64) -> Option<Iova> {
        let _ = (ptr, len);
        None
    }

    /// Makes what the device wrote visible to the processor. Nothing on a coherent platform.
    fn sync_for_cpu(&self, iova: Iova, len: u64) {
        let _ = (iova, len);
    }

    /// Makes what the processor wrote visible to the device. Nothing on a coherent platform.
    fn sync_for_device(&self, iova: Iova, len: u64) {
        let _ = (iova, len);
    }
}

/// What an unmap achieved.
#[derive(Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// The device can no longer reach the memory: it may be freed.
    Fenced(Fence),
    /// The device shares its address translation with others that still have the mapping. The unmap of the last of
    /// them fences off all.
    Shared,
    /// The mapping is forgotten, but nothing stops the device (no IOMMU): only a quiesced device lets go.
    Unfenced,
}

/// The proof that a device can no longer reach some memory.
#[derive(Debug, PartialEq, Eq)]
pub struct Fence(());

impl Fence {
    /// Asserts it.
    ///
    /// # Safety
    /// No access by the device to the memory just unmapped may be in flight or come later.
    pub unsafe fn new() -> Fence {
        Fence(())
    }
}

/// The proof that a device, or the one queue a memory was given to, has stopped its DMA: ENABLE reads 0, a
/// reset is done. [`poll`](crate::poll) makes one after it saw the register say so. It speaks for that device only.
#[derive(Debug)]
pub struct Quiesced(pub(crate) Lost);

impl Quiesced {
    /// Returns whether the proof is of the device that `lost` is the latch of.
    pub fn is_of(&self, lost: &Lost) -> bool {
        self.0.is_same(lost)
    }

    /// Returns [`DeviceError::ForeignProof`] if it is of another.
    pub fn check(&self, lost: &Lost) -> Result<(), DeviceError> {
        if self.is_of(lost) { Ok(()) } else { Err(DeviceError::ForeignProof) }
    }
}
