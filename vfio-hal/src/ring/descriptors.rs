//! The memory of a descriptor ring.
//!
//! [`RingMemory`] cuts one region into rings; [`Descriptors`] is one of them: 16-byte descriptors as two 64-bit
//! atomics each, little endian. The ring types above move buffers over it.

use alloc::sync::Arc;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::addr::{BusAddr, SpaceId};
use crate::device::DeviceError;
use crate::dma::pool::{Buf, Packet};
use crate::dma::{DmaError, Region};

/// Why a ring cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// A size that the ring cannot have.
    #[error("{size} descriptors are not a ring size: it must be a power of two from {min} to {max}")]
    Size {
        /// The size asked for.
        size: u32,
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// The memory set apart for rings is used up.
    #[error("the memory for rings is used up: {need} bytes are needed, {left} are left")]
    NoRoom {
        /// Bytes needed.
        need: usize,
        /// Bytes left.
        left: usize,
    },
    /// Outputs of an in-place forwarder that do not fit together.
    #[error(
        "the first output must share the receive ring's descriptors, up to 31 others have as many of their own"
    )]
    Outputs,
    /// Buffers and ring are mapped in different address spaces.
    #[error("the pool belongs to another IOVA space than the ring: make both in the device's space")]
    ForeignSpace,
    /// The memory could not be had.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// The device is gone, or another one stopped.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Bytes of one descriptor.
const DESCRIPTOR_BYTES: usize = 16;

/// Smallest and largest ring, as the 82599 and 82576 have it (a multiple of 8 there; a power of two here, so
/// that an index is masked and cannot leave the ring).
const SIZES: core::ops::RangeInclusive<u32> = 64..=4096;

/// What the start of a ring is aligned to, in bytes (82599 datasheet 8.2.3.8.1).
const RING_ALIGN: u64 = 128;

/// Bytes of a write-back block, and what it is aligned to: a cache line, for two devices never to write to one.
const BLOCK_BYTES: usize = 64;

/// A region that is cut into rings from the start, and into write-back blocks from the end; each of them keeps it
/// alive.
#[derive(Debug)]
pub struct RingMemory {
    region: Arc<Region>,
    /// `front..back` is left. `front` is a multiple of the smallest ring, so whatever is aligned at the region's
    /// start is aligned there.
    front: usize,
    back: usize,
}

impl RingMemory {
    /// Returns the bytes that rings of these sizes take together.
    pub fn bytes(sizes: impl IntoIterator<Item = u32>) -> usize {
        sizes
            .into_iter()
            .map(|size| (size as usize).saturating_mul(DESCRIPTOR_BYTES))
            .fold(0, usize::saturating_add)
    }

    /// Takes a region to cut.
    pub fn new(region: Region) -> RingMemory {
        let back = region.len();
        RingMemory { region: Arc::new(region), front: 0, back }
    }

    /// Cuts off a ring of `size` descriptors, all zero.
    pub fn ring(&mut self, size: u32) -> Result<Descriptors, RingError> {
        if !size.is_power_of_two() || !SIZES.contains(&size) {
            return Err(RingError::Size { size, min: *SIZES.start(), max: *SIZES.end() });
        }
        let (need, left) = (size as usize * DESCRIPTOR_BYTES, self.back - self.front);
        if need > left {
            return Err(RingError::NoRoom { need, left });
        }
        let bus = self.region.bus(self.front as u64)?;
        // SAFETY: the region has `need` bytes from `front` on.
        let base = unsafe { self.region.ptr().add(self.front) };
        for address in [base.as_ptr().addr() as u64, bus.iova().0] {
            if !address.is_multiple_of(RING_ALIGN) {
                return Err(DmaError::Unaligned { address, page: RING_ALIGN }.into());
            }
        }
        self.front += need;
        let ring = Descriptors { base: base.cast(), mask: size - 1, bus, _region: self.region.clone() };
        ring.clear();
        Ok(ring)
    }

    /// Returns a block of 64 bytes to whose start the device may write a word (head write-back), 0 for now, and its
    /// address.
    pub fn block(&mut self) -> Result<(WriteBack, BusAddr), RingError> {
        let left = self.back - self.front;
        let no_room = RingError::NoRoom { need: BLOCK_BYTES, left };
        let at = self.back.checked_sub(BLOCK_BYTES).filter(|&at| at >= self.front).ok_or(no_room)?;
        let bus = self.region.bus(at as u64)?;
        // SAFETY: the region has the bytes.
        let base = unsafe { self.region.ptr().add(at) };
        for address in [base.as_ptr().addr() as u64, bus.iova().0] {
            if !address.is_multiple_of(BLOCK_BYTES as u64) {
                return Err(DmaError::Unaligned { address, page: BLOCK_BYTES as u64 }.into());
            }
        }
        self.back = at;
        let block = WriteBack { at: base.cast(), _region: self.region.clone() };
        block.clear();
        Ok((block, bus))
    }
}

/// One word that a device writes, and that nobody trusts.
#[derive(Debug)]
pub struct WriteBack {
    at: NonNull<AtomicU64>,
    _region: Arc<Region>,
}

// SAFETY: the word is an atomic, in memory that the region keeps alive.
unsafe impl Send for WriteBack {}
// SAFETY: as for Send.
unsafe impl Sync for WriteBack {}

impl WriteBack {
    fn cell(&self) -> &AtomicU64 {
        // SAFETY: aligned to 64 by construction, live with the region, and only ever used as an atomic.
        unsafe { self.at.as_ref() }
    }

    /// Sets it to 0, before a queue is enabled that writes it.
    pub(super) fn clear(&self) {
        self.cell().store(0, Ordering::Release);
    }

    /// Returns the low 32 bits with Acquire order.
    #[inline]
    pub fn load(&self) -> u32 {
        u64::from_le(self.cell().load(Ordering::Acquire)) as u32
    }
}

/// One descriptor: two little-endian words, shared with the device.
pub(super) type Descriptor = [AtomicU64; 2];

/// Bytes of the place of a buffer in a shadow, a burst or a cache: a pointer. The loops of the rings count in these, so
/// that one register is the offset into all of them, and into the descriptors, [`WIDER`] times as far.
pub(super) const PLACE: usize = size_of::<Buf>();

/// How many places a descriptor is as wide as.
pub(super) const WIDER: usize = DESCRIPTOR_BYTES / PLACE;

const _: () = assert!(PLACE == size_of::<*mut Packet>() && WIDER * PLACE == size_of::<Descriptor>());

/// The descriptors of one ring.
#[derive(Debug)]
pub struct Descriptors {
    base: NonNull<Descriptor>,
    mask: u32,
    bus: BusAddr,
    _region: Arc<Region>,
}

// SAFETY: the descriptors are atomics, in memory that the region keeps alive.
unsafe impl Send for Descriptors {}
// SAFETY: as for Send.
unsafe impl Sync for Descriptors {}

impl Descriptors {
    /// Returns the number of descriptors, a power of two.
    #[inline]
    pub fn size(&self) -> u32 {
        self.mask + 1
    }

    /// Returns the length in bytes, for the ring's length register.
    pub fn bytes(&self) -> u32 {
        self.size() * DESCRIPTOR_BYTES as u32
    }

    /// Returns the address of the first descriptor, for the ring's base register.
    pub fn bus(&self) -> BusAddr {
        self.bus
    }

    /// Returns the address space the ring is mapped in.
    pub fn space(&self) -> SpaceId {
        self.bus.space()
    }

    /// Returns the mask that keeps an index inside the ring.
    #[inline]
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// Returns both words of descriptor `index` (masked), the second read first, with Acquire order.
    pub fn read(&self, index: u32) -> [u64; 2] {
        let cell = self.at(index);
        let second = u64::from_le(cell[1].load(Ordering::Acquire));
        [u64::from_le(cell[0].load(Ordering::Relaxed)), second]
    }

    /// Zeroes every descriptor.
    pub(super) fn clear(&self) {
        for index in 0..self.size() {
            let cell = self.at(index);
            cell[0].store(0, Ordering::Relaxed);
            cell[1].store(0, Ordering::Release);
        }
    }

    /// Returns a pointer to descriptor `index`, masked; those behind it follow up to the ring's end.
    #[inline(always)]
    pub(super) fn from(&self, index: u32) -> *const Descriptor {
        self.at(index)
    }

    /// Returns descriptor `index`, masked.
    #[inline(always)]
    pub(super) fn at(&self, index: u32) -> &Descriptor {
        // SAFETY: the masked index is below the size, for which there is memory that `_region` keeps alive and
        // that is only ever used as atomics; ring memory is aligned to 128 bytes.
        unsafe { self.base.add((index & self.mask) as usize).as_ref() }
    }
}
