//! What can go wrong with device memory.

use crate::addr::{Iova, IovaRange};
use crate::device::DeviceError;

/// Why memory could not be had, mapped or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaError {
    /// A length of zero, or one that is not whole pages.
    #[error(
        "{len:#x} bytes are not a length that can be mapped: it must be a multiple of {page:#x} and not 0"
    )]
    Length {
        /// The length asked for, in bytes.
        len: u64,
        /// The page size it must be a multiple of, in bytes.
        page: u64,
    },
    /// The caller's memory or address is not aligned. It is refused, never rounded.
    #[error("address {address:#x} is not aligned to {page:#x} bytes")]
    Unaligned {
        /// The address.
        address: u64,
        /// The alignment it needs, in bytes.
        page: u64,
    },
    /// The operating system has no memory of that kind.
    #[error(
        "no memory: {len:#x} bytes in pages of {page:#x}; reserve hugepages (vm.nr_hugepages), or allow 4 KiB pages"
    )]
    NoMemory {
        /// The length asked for, in bytes.
        len: u64,
        /// The page size asked for, in bytes.
        page: u64,
    },
    /// The machine has no such NUMA node, or it has no memory.
    #[error("there is no NUMA node {node} with memory: see /sys/devices/system/node, or leave the node out")]
    NoNode {
        /// The node asked for.
        node: u32,
    },
    /// The memory could not be locked.
    #[error(
        "locking {len:#x} bytes exceeds the memlock limit of {limit:#x}: raise it with `ulimit -l` or in limits.conf"
    )]
    Memlock {
        /// The length asked for, in bytes.
        len: u64,
        /// RLIMIT_MEMLOCK, in bytes.
        limit: u64,
    },
    /// No free range is left in the address space.
    #[error(
        "no free IOVA range of {len:#x} bytes aligned to {align:#x}: release regions, or use larger pages"
    )]
    IovaExhausted {
        /// The length asked for, in bytes.
        len: u64,
        /// The alignment asked for, in bytes.
        align: u64,
    },
    /// The range asked for is taken.
    #[error("the IOVA range {range} overlaps one that is in use")]
    IovaInUse {
        /// The range.
        range: IovaRange,
    },
    /// A device cannot reach the range: it is reserved, or beyond its address width.
    #[error(
        "the device cannot use the IOVA range {range}: it is reserved, or outside of what its IOMMU translates"
    )]
    IovaReserved {
        /// The range.
        range: IovaRange,
    },
    /// Nothing is mapped there.
    #[error("nothing is mapped at IOVA {iova}, {len:#x} bytes, in exactly this length")]
    NotMapped {
        /// The first address.
        iova: Iova,
        /// The length in bytes.
        len: u64,
    },
    /// The same memory is mapped already, with other rights or another length.
    #[error("this memory is mapped already at IOVA {iova}, with other rights or another length")]
    MappedDifferently {
        /// Where.
        iova: Iova,
    },
    /// The same memory is mapped already.
    #[error("this memory, or a part of it, is mapped already at IOVA {iova}: share that region instead")]
    AlreadyMapped {
        /// Where.
        iova: Iova,
    },
    /// An alignment that is none.
    #[error("an alignment of {align:#x} bytes is not a power of two")]
    Alignment {
        /// The alignment asked for, in bytes.
        align: u64,
    },
    /// An access beyond the end of a region.
    #[error("a region of {region:#x} bytes has no {len:#x} bytes at offset {offset:#x}")]
    OutOfRegion {
        /// The first byte of the access.
        offset: usize,
        /// The bytes of the access.
        len: usize,
        /// The region's length in bytes.
        region: usize,
    },
    /// The device allows no further mapping.
    #[error("the limit of {limit} mappings is reached (dma_entry_limit): use larger pages or fewer regions")]
    EntryLimit {
        /// How many there may be.
        limit: u32,
    },
    /// Memory without a physical address that the device can use.
    #[error("memory at {ptr:#x} has no contiguous physical address: without an IOMMU, hugepages are needed")]
    NoPhysical {
        /// The process address.
        ptr: u64,
    },
    /// Devices with and without address translation cannot share a space.
    #[error("a device that sees physical addresses cannot join a space with translated ones")]
    MixedAddressing,
    /// The device is in the space already.
    #[error("the device is attached to this IOVA space already")]
    AlreadyAttached,
    /// The device is not in the space.
    #[error("the device is not attached to this IOVA space: attach it before its memory is allocated")]
    NotAttached,
    /// The space was closed.
    #[error("the IOVA space was closed: make a new one")]
    Closed,
    /// Regions of the space are alive.
    #[error(
        "in use: {regions} regions are still mapped, '{name}' among them; stop the queues and drop their owners first"
    )]
    SpaceInUse {
        /// How many.
        regions: u32,
        /// The name that the first of them was allocated under.
        name: &'static str,
    },
    /// The region is still used by a ring, a pool or a buffer.
    #[error(
        "in use: {users} rings, pools or buffers still use this memory; stop the queues and drop them first"
    )]
    InUse {
        /// How many.
        users: u32,
    },
    /// A pool too small for what will use it.
    #[error("the pool has {have} buffers, the rings, caches and bursts need {need}: make it larger")]
    PoolTooSmall {
        /// Buffers there are.
        have: u32,
        /// Buffers needed.
        need: u32,
    },
    /// A pool or buffer shape that cannot work.
    #[error("a pool of {count} buffers of {size} bytes cannot be made: {reason}")]
    PoolShape {
        /// Buffers asked for.
        count: u32,
        /// Bytes of data room each.
        size: u32,
        /// Why not.
        reason: &'static str,
    },
    /// A buffer or pool of another address space.
    #[error("the memory belongs to another IOVA space than the ring: allocate it from the device's space")]
    ForeignSpace,
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
