//! Where the memory comes from that devices reach.
//!
//! [`Memory`] is what a [`Region`](super::Region) is made of. [`HeapMemory`] is the allocator's, for models, RAM
//! devices and bare metal; [`CallerMemory`] is somebody else's; with `std`, `FileMemory` is huge or ordinary
//! pages of a file that other processes can map too, found as `Request` says and described by `Info`.
//!
//! Nothing here is mapped for a device: that is the region's work.

use core::ptr::NonNull;

use super::Backing;

mod caller;
#[cfg(feature = "std")]
mod file;
mod heap;
#[cfg(feature = "std")]
mod numa;
#[cfg(feature = "std")]
mod request;
mod source;
#[cfg(feature = "std")]
mod system;

pub use caller::CallerMemory;
#[cfg(feature = "std")]
pub use file::FileMemory;
pub use heap::HeapMemory;
#[cfg(feature = "std")]
pub use request::{Fallback, Info, Kind, Pages, Request, Why};
pub use source::MemorySource;
#[cfg(feature = "std")]
pub use system::{HugepagePool, Memlock, hugepage_pools, hugepage_pools_of_node, hugetlbfs_mounts};

/// A page of the smallest size there is on the machines the kit runs on.
pub const PAGE_4K: u64 = 4 << 10;
/// A 2 MiB hugepage.
pub const PAGE_2M: u64 = 2 << 20;
/// A 1 GiB hugepage.
pub const PAGE_1G: u64 = 1 << 30;

/// Memory that a device may be let at.
///
/// # Safety
/// 1. [`ptr`](Self::ptr), [`len`](Self::len) and [`page_size`](Self::page_size) always answer the same. The
///    page size is a power of two, the pointer a multiple of it, the length a multiple of it and not 0.
/// 2. All `len` bytes are valid for reads and writes by any thread, and initialised, until the value is
///    dropped; for ever, if it is never dropped (`mem::forget`). Moving the value moves no byte.
/// 3. Until then, nobody else reads or writes them, other than atomically.
/// 4. The page behind a byte never changes: nothing is unmapped, remapped, moved or punched out.
/// 5. If [`backing`](Self::backing) answers, the file holds the same bytes from the given offset on.
// Memory of no bytes does not exist, so there is no `is_empty`.
#[allow(clippy::len_without_is_empty)]
pub unsafe trait Memory: Send + Sync {
    /// Returns the first byte.
    fn ptr(&self) -> NonNull<u8>;

    /// Returns the length in bytes.
    fn len(&self) -> usize;

    /// Returns the size in bytes of the pages that hold the memory, each physically contiguous.
    fn page_size(&self) -> u64;

    /// Returns the file behind the memory, if there is one.
    fn backing(&self) -> Option<Backing<'_>> {
        None
    }
}
