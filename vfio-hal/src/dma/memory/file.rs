//! Memory of a file: hugepages, or ordinary pages when there are none.
//!
//! Key type: [`FileMemory`]. Pages are allocated in the file, not by touching them, so that running out of
//! hugepages is an error and not a SIGBUS. An anonymous file is sealed against shrinking: whoever else gets it
//! (a vfio-user server) cannot pull the pages away.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

use rustix::fs::{
    FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
    open, unlink,
};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, munmap};

use super::request::{Fallback, Info, Kind, Request, Why};
use super::system::{Memlock, hugepage_pools, hugepage_pools_of_node, hugetlbfs_mounts};
use super::{Memory, PAGE_1G, PAGE_2M, PAGE_4K, numa};
use crate::device::DeviceError;
use crate::dma::{Backing, DmaError};

/// Memory mapped from a file that other processes can map too. Made by [`Request::alloc`].
#[derive(Debug)]
pub struct FileMemory {
    mapping: Mapping,
    fd: OwnedFd,
    info: Info,
}

impl FileMemory {
    /// Returns what the memory is: sizes, kind, node, and why it is not what was wanted.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Tries pages from the wanted size down.
    pub(super) fn find(request: &Request) -> Result<FileMemory, DmaError> {
        let len = request.len;
        if len == 0 {
            return Err(DmaError::Length { len, page: PAGE_4K });
        }
        let pools = request.node.map_or_else(hugepage_pools, hugepage_pools_of_node);
        let free_1g = pools.iter().find(|pool| pool.page == PAGE_1G).map_or(0, |pool| pool.free);
        // A kind of file has pages of some sizes only.
        let (smallest, largest) = match request.only {
            Some(Kind::HugeMemfd | Kind::Hugetlbfs) => (PAGE_2M, PAGE_1G),
            Some(Kind::Memfd) => (PAGE_4K, PAGE_4K),
            None => (PAGE_4K, PAGE_1G),
        };
        let wanted = request.pages.size(len, free_1g).clamp(smallest, largest);
        let mut fallback = None;
        let sizes = [PAGE_1G, PAGE_2M, PAGE_4K].into_iter();
        for page in sizes.filter(|page| (smallest..=wanted).contains(page)) {
            let failure = match FileMemory::of_size(request, page) {
                Ok(mut memory) => {
                    memory.info.fallback = fallback;
                    return Ok(memory);
                }
                Err(failure) => failure,
            };
            let why = match failure {
                // Smaller pages would not help.
                Failure::Final(error) => return Err(error),
                Failure::NoPages => {
                    let free = pools.iter().find(|pool| pool.page == page).map(|pool| pool.free);
                    free.map_or(Why::NoSuchSize, |free| Why::TooFew { free, need: len.div_ceil(page) })
                }
                Failure::Refused { what, errno } => Why::Refused { what, errno },
            };
            if request.exactly || page == smallest {
                return Err(match why {
                    Why::Refused { what, errno } => DeviceError::System { what, errno }.into(),
                    _ => DmaError::NoMemory { len, page },
                });
            }
            fallback.get_or_insert(Fallback { wanted: page, why });
        }
        // At least one size is tried.
        Err(DmaError::NoMemory { len, page: wanted })
    }

    /// Tries every kind of file that has pages of one size, and returns why the first could not do it.
    fn of_size(request: &Request, page: u64) -> Result<FileMemory, Failure> {
        let allowed = |kind| request.only.is_none_or(|only| only == kind);
        if page == PAGE_4K {
            return FileMemory::map(request, page, Kind::Memfd, anonymous_file(page)?);
        }
        let mut failure = None;
        // Returns what ends the search: memory, or a failure that no other file would help against.
        let mut attempt = |kind, file: Result<OwnedFd, Failure>| match file
            .and_then(|fd| FileMemory::map(request, page, kind, fd))
        {
            Err(next) if !matches!(next, Failure::Final(_)) => {
                failure.get_or_insert(next);
                None
            }
            end => Some(end),
        };
        if allowed(Kind::HugeMemfd)
            && let Some(end) = attempt(Kind::HugeMemfd, anonymous_file(page))
        {
            return end;
        }
        if allowed(Kind::Hugetlbfs) {
            for (path, _) in hugetlbfs_mounts().into_iter().filter(|(_, size)| *size == page) {
                if let Some(end) = attempt(Kind::Hugetlbfs, file_in(&path)) {
                    return end;
                }
            }
        }
        let no_mount =
            Failure::Refused { what: "find a hugetlbfs mount", errno: Errno::NOENT.raw_os_error() };
        Err(failure.unwrap_or(no_mount))
    }

    fn map(request: &Request, page: u64, kind: Kind, fd: OwnedFd) -> Result<FileMemory, Failure> {
        let mapped = request.len.checked_next_multiple_of(page).ok_or(Failure::NoPages)?;
        let len = usize::try_from(mapped).map_err(|_| Failure::NoPages)?;
        ftruncate(&fd, mapped).map_err(|error| Failure::of("set the file's length", error))?;
        let mapping = Mapping::new(&fd, len)?;
        if let Some(node) = request.node {
            numa::bind(mapping.ptr, len, node).map_err(|error| {
                if error == Errno::INVAL {
                    Failure::Final(DmaError::NoNode { node })
                } else {
                    Failure::of("mbind", error)
                }
            })?;
        }
        mapping.fill(&fd, mapped)?;
        if kind != Kind::Hugetlbfs {
            let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            fcntl_add_seals(&fd, seals).map_err(|error| Failure::of("seal the file", error))?;
        }
        // Hugepages are never swapped out.
        let locked = page > PAGE_4K || request.lock;
        if page == PAGE_4K && request.lock {
            mapping.lock(mapped)?;
        }
        let node = numa::node_of(mapping.ptr);
        let info = Info { requested: request.len, mapped, page, kind, node, locked, fallback: None };
        Ok(FileMemory { mapping, fd, info })
    }
}

// SAFETY: 1. and 2. the mapping is of whole pages, which `mmap` aligns; it is shared and zeroed by the kernel,
// and unmapped only on drop; 3. the file is ours, and given only to devices that map it for DMA; 4. it is
// sealed, or unlinked and never shrunk here; 5. the mapping starts at the file's first byte.
unsafe impl Memory for FileMemory {
    fn ptr(&self) -> NonNull<u8> {
        self.mapping.ptr
    }

    fn len(&self) -> usize {
        self.mapping.len
    }

    fn page_size(&self) -> u64 {
        self.info.page
    }

    fn backing(&self) -> Option<Backing<'_>> {
        Some(Backing { fd: self.fd.as_fd(), offset: 0 })
    }
}

/// A shared, writable mapping of a whole file.
#[derive(Debug)]
struct Mapping {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned, and belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as for Send: `&self` gives out nothing but the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: &OwnedFd, len: usize) -> Result<Mapping, Failure> {
        let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses a free place, so nothing else is mapped over.
        let ptr = unsafe { mmap(std::ptr::null_mut(), len, rights, flags, fd, 0) };
        let ptr = ptr.map_err(|error| Failure::of("map the file", error))?;
        let ptr = NonNull::new(ptr.cast::<u8>()).ok_or(Failure::NoPages)?;
        Ok(Mapping { ptr, len })
    }

    /// Allocates every page, and enters it into the page table so that the first packet does not fault.
    fn fill(&self, fd: &OwnedFd, mapped: u64) -> Result<(), Failure> {
        // SAFETY: the range is this mapping. Advice about page sizes changes no content; it may be refused.
        let _ = unsafe { madvise(self.ptr.as_ptr().cast(), self.len, Advice::LinuxHugepage) };
        loop {
            match fallocate(fd, FallocateFlags::empty(), 0, mapped) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::of("allocate the file's pages", error)),
            }
        }
        // SAFETY: the range is this mapping, and populating it changes no content.
        match unsafe { madvise(self.ptr.as_ptr().cast(), self.len, Advice::LinuxPopulateWrite) } {
            // Kernels before 5.14 do not know it: the pages are there, and enter the table when touched.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(Failure::of("populate the mapping", error)),
        }
    }

    fn lock(&self, mapped: u64) -> Result<(), Failure> {
        let memlock = Memlock::read();
        let too_much = DmaError::Memlock { len: mapped, limit: memlock.limit.unwrap_or(u64::MAX) };
        if !memlock.allows(mapped) {
            return Err(Failure::Final(too_much));
        }
        // SAFETY: the range is this mapping, and locking it changes no content.
        match unsafe { mlock(self.ptr.as_ptr().cast(), self.len) } {
            Ok(()) => Ok(()),
            // Somebody else of the process took what was left.
            Err(Errno::NOMEM | Errno::PERM) => Err(Failure::Final(too_much)),
            Err(error) => Err(Failure::of("mlock", error)),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and whoever drops it promises that nobody uses it any more. It cannot
        // fail for a range that was mapped as a whole.
        let _ = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
    }
}

fn anonymous_file(page: u64) -> Result<OwnedFd, Failure> {
    let size = match page {
        PAGE_1G => MemfdFlags::HUGETLB | MemfdFlags::HUGE_1GB,
        PAGE_2M => MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB,
        _ => MemfdFlags::empty(),
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | size;
    memfd_create(c"dma", flags).map_err(|error| match error {
        // What the kernel answers for a hugepage size it does not have.
        Errno::NODEV | Errno::INVAL if page > PAGE_4K => Failure::NoPages,
        error => Failure::of("memfd_create", error),
    })
}

/// Creates a file in a hugetlbfs mount and takes its name away again, so that it goes with the last mapping.
fn file_in(mount: &Path) -> Result<OwnedFd, Failure> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = mount.join(format!("dma-{}-{number}", std::process::id()));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = open(&path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| Failure::of("create a file in hugetlbfs", error))?;
    unlink(&path).map_err(|error| Failure::of("unlink a file in hugetlbfs", error))?;
    Ok(fd)
}

/// Why one kind of file did not do.
enum Failure {
    /// There are no, or too few, pages of that size.
    NoPages,
    Refused {
        what: &'static str,
        errno: i32,
    },
    /// No other kind of file or page can do better.
    Final(DmaError),
}

impl Failure {
    fn of(what: &'static str, error: Errno) -> Failure {
        match error {
            Errno::NOMEM | Errno::NOSPC | Errno::FAULT => Failure::NoPages,
            error => Failure::Refused { what, errno: error.raw_os_error() },
        }
    }
}
