//! What memory is asked for, and what came of it.

use core::fmt;

use super::{FileMemory, PAGE_1G, PAGE_2M, PAGE_4K};
use crate::dma::DmaError;

/// Which pages memory shall be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Up to 4 KiB one small page, up to 2 MiB one hugepage of that size. More goes into 1 GiB pages where
    /// enough of them are free and at most an eighth of the request is wasted, else into 2 MiB pages.
    Auto,
    /// 4 KiB pages.
    Size4K,
    /// 2 MiB hugepages.
    Size2M,
    /// 1 GiB hugepages.
    Size1G,
}

impl Pages {
    /// Returns the page size in bytes that `len` bytes go into, when `free_1g` pages of 1 GiB are free.
    pub fn size(self, len: u64, free_1g: u64) -> u64 {
        match self {
            Pages::Size4K => PAGE_4K,
            Pages::Size2M => PAGE_2M,
            Pages::Size1G => PAGE_1G,
            Pages::Auto if len <= PAGE_4K => PAGE_4K,
            Pages::Auto if len <= PAGE_2M => PAGE_2M,
            Pages::Auto => {
                let pages = len.div_ceil(PAGE_1G);
                let waste = pages.saturating_mul(PAGE_1G) - len;
                if pages <= free_1g && waste <= len / 8 { PAGE_1G } else { PAGE_2M }
            }
        }
    }
}

/// A wish for memory. Only the length is needed; the rest has defaults.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub(super) len: u64,
    pub(super) pages: Pages,
    pub(super) exactly: bool,
    pub(super) lock: bool,
    pub(super) node: Option<u32>,
    pub(super) only: Option<Kind>,
}

impl Request {
    /// Asks for at least `len` bytes, in hugepages if there are enough of them, see [`Pages::Auto`].
    pub fn new(len: u64) -> Request {
        Request { len, pages: Pages::Auto, exactly: false, lock: false, node: None, only: None }
    }

    /// Asks for pages of a size.
    pub fn pages(mut self, pages: Pages) -> Request {
        self.pages = pages;
        self
    }

    /// Fails rather than to fall back to smaller pages.
    pub fn exactly(mut self) -> Request {
        self.exactly = true;
        self
    }

    /// Locks the memory, so that it is never swapped out or moved to disk. Hugepages are by themselves, and
    /// so is what the kernel's VFIO pins; a physical address needs it. Fails where RLIMIT_MEMLOCK is too low.
    pub fn lock(mut self) -> Request {
        self.lock = true;
        self
    }

    /// Takes all pages from one NUMA node, the one that the device is at, or fails.
    pub fn node(mut self, node: u32) -> Request {
        self.node = Some(node);
        self
    }

    /// Takes the memory from one kind of file only.
    pub fn only(mut self, kind: Kind) -> Request {
        self.only = Some(kind);
        self
    }

    /// Finds the memory. Every page is there when this returns.
    pub fn alloc(&self) -> Result<FileMemory, DmaError> {
        FileMemory::find(self)
    }
}

/// The kind of file that memory is mapped from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An anonymous file of hugepages (`memfd_create` with MFD_HUGETLB).
    HugeMemfd,
    /// An unlinked file in a hugetlbfs mount.
    Hugetlbfs,
    /// An anonymous file of ordinary pages.
    Memfd,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::HugeMemfd => "huge memfd",
            Kind::Hugetlbfs => "hugetlbfs",
            Kind::Memfd => "memfd",
        })
    }
}

/// What memory came of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Bytes asked for.
    pub requested: u64,
    /// Bytes mapped: whole pages.
    pub mapped: u64,
    /// The page size in bytes.
    pub page: u64,
    /// The kind of file.
    pub kind: Kind,
    /// The NUMA node of the first page, where the kernel tells.
    pub node: Option<u32>,
    /// It can never be swapped out.
    pub locked: bool,
    /// Set when the pages are smaller than wanted.
    pub fallback: Option<Fallback>,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mapped, page) = (Bytes(self.mapped), Bytes(self.page));
        write!(f, "{mapped} in pages of {page} ({})", self.kind)?;
        if let Some(node) = self.node {
            write!(f, ", NUMA node {node}")?;
        }
        f.write_str(if self.locked { ", locked" } else { ", not locked" })?;
        match self.fallback {
            Some(fallback) => write!(f, "; {fallback}"),
            None => Ok(()),
        }
    }
}

/// Why the pages are smaller than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The page size that was wanted, in bytes.
    pub wanted: u64,
    /// Why it could not be had.
    pub why: Why,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no pages of {}: {}", Bytes(self.wanted), self.why)
    }
}

/// Why pages of one size could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The kernel or processor has no pages of that size.
    NoSuchSize,
    /// Too few are reserved and free.
    TooFew {
        /// How many are free.
        free: u64,
        /// How many are needed.
        need: u64,
    },
    /// The system refused for another reason.
    Refused {
        /// What was tried.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoSuchSize => f.write_str("this kernel or processor has none"),
            Why::TooFew { free, need } => {
                write!(f, "{free} are free, {need} are needed (reserve more with vm.nr_hugepages)")
            }
            Why::Refused { what, errno } => write!(f, "the system refused '{what}' (errno {errno})"),
        }
    }
}

/// A length in the largest unit that divides it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(shift, _)| self.0 != 0 && self.0.is_multiple_of(1 << shift)) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} B", self.0),
        }
    }
}
