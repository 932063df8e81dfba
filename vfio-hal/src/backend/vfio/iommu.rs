//! The IOMMU context that devices see memory through: an iommufd with one address space, or a container.
//!
//! [`Iommu`] is a context. Devices that are opened with the same one share its mappings: memory is pinned and entered
//! into the IOMMU once, whatever the number of devices. [`Mapper`] is one device's [`Dma`] in it, and counts: what
//! several devices mapped is unmapped when the last of them says so.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::chain::{self, Fields};
use super::error::VfioError;
use super::sysfs::Root;
use super::{Api, pagemap, sys};
use crate::addr::{Iova, IovaRange};
use crate::device::DeviceError;
use crate::dma::memory::{Memlock, PAGE_4K};
use crate::dma::{DmaAccess, DmaError, DmaMapping, Unmapped};

mod mapper;

pub(super) use mapper::Mapper;

const IOMMUFD: &str = "/dev/iommu";
const CONTAINER: &str = "/dev/vfio/vfio";

/// An IOMMU context. Clones share it; devices that were opened with it keep it.
#[derive(Clone)]
pub struct Iommu(Arc<Inner>);

struct Inner {
    way: Way,
    table: Mutex<Table>,
    next_mapper: AtomicU64,
}

enum Way {
    Iommufd {
        file: OwnedFd,
        ioas: u32,
        /// The kernel maps memory by its file (IOMMU_IOAS_MAP_FILE, from 6.13 on): set until it says no.
        by_file: AtomicBool,
    },
    Type1 {
        file: OwnedFd,
        kind: u32,
    },
    NoIommu {
        file: OwnedFd,
    },
}

#[derive(Default)]
struct Table {
    /// By first IOVA; no two overlap.
    live: BTreeMap<u64, Entry>,
    by_file: u64,
}

struct Entry {
    len: u64,
    address: usize,
    access: DmaAccess,
    /// The mappers that mapped it.
    holders: Vec<u64>,
    /// `unmap_all` has not taken it away.
    mapped: bool,
}

/// What a context allows and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Mappings that one container may have (`dma_entry_limit` of vfio_iommu_type1), where there is such a limit.
    pub entry_limit: Option<u32>,
    /// Mappings that may still be made (`dma_avail`), where there is such a limit.
    pub entries_left: Option<u32>,
    /// What this process may lock, which every mapping counts against.
    pub memlock: Memlock,
    /// Bytes mapped in the context.
    pub mapped_bytes: u64,
    /// Mappings in the context.
    pub mappings: u32,
    /// Those of them that were made by file.
    pub by_file: u64,
}

impl Iommu {
    /// Opens a context of its own: an iommufd, or a container. [`Api::Auto`] takes an iommufd if there is one.
    pub fn new(api: Api) -> Result<Iommu, VfioError> {
        match api {
            Api::Iommufd => Iommu::iommufd(),
            Api::Type1 => Iommu::type1(),
            Api::NoIommu => Iommu::no_iommu(),
            Api::Auto => match Iommu::iommufd() {
                Err(VfioError::Missing { .. } | VfioError::Permission { .. }) => Iommu::type1(),
                other => other,
            },
        }
    }

    fn of(way: Way) -> Iommu {
        Iommu(Arc::new(Inner { way, table: Mutex::default(), next_mapper: AtomicU64::new(0) }))
    }

    /// A context that maps nothing anywhere, for tests of the book-keeping.
    #[cfg(test)]
    pub(super) fn fake() -> Iommu {
        Iommu::of(Way::NoIommu { file: super::fake::file(0) })
    }

    fn iommufd() -> Result<Iommu, VfioError> {
        let file = open(IOMMUFD, "load the module iommufd (kernel 6.2 and later)")?;
        let ioas =
            sys::ioas_alloc(file.as_fd()).map_err(|error| VfioError::system("IOAS_ALLOC", IOMMUFD, error))?;
        Ok(Iommu::of(Way::Iommufd { file, ioas, by_file: AtomicBool::new(true) }))
    }

    fn container() -> Result<OwnedFd, VfioError> {
        let file = open(CONTAINER, "load the module vfio-pci")?;
        match sys::api_version(file.as_fd()) {
            Ok(0) => Ok(file),
            Ok(_) => Err(VfioError::Kernel { what: "VFIO container of API version 0" }),
            Err(error) => Err(VfioError::system("GET_API_VERSION", CONTAINER, error)),
        }
    }

    fn type1() -> Result<Iommu, VfioError> {
        let file = Iommu::container()?;
        let kinds = [abi::VFIO_TYPE1v2_IOMMU, abi::VFIO_TYPE1_IOMMU];
        let kind = kinds.into_iter().find(|&kind| sys::has_extension(file.as_fd(), kind));
        let kind = kind.ok_or(VfioError::Kernel { what: "type1 IOMMU (module vfio_iommu_type1)" })?;
        Ok(Iommu::of(Way::Type1 { file, kind }))
    }

    fn no_iommu() -> Result<Iommu, VfioError> {
        if !Root::new().no_iommu_mode() {
            return Err(VfioError::NoIommuModeOff);
        }
        if !pagemap::has_raw_io() {
            return Err(VfioError::NeedsRawIo);
        }
        let file = Iommu::container()?;
        if !sys::has_extension(file.as_fd(), abi::VFIO_NOIOMMU_IOMMU) {
            return Err(VfioError::NeedsRawIo);
        }
        Ok(Iommu::of(Way::NoIommu { file }))
    }

    /// Returns the interface that the context is of; never [`Api::Auto`].
    pub fn api(&self) -> Api {
        match self.0.way {
            Way::Iommufd { .. } => Api::Iommufd,
            Way::Type1 { .. } => Api::Type1,
            Way::NoIommu { .. } => Api::NoIommu,
        }
    }

    /// Returns whether both are the same context.
    pub fn is_same(&self, other: &Iommu) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns what may be mapped and what is. Most of it means something only after a device was opened.
    pub fn limits(&self) -> Limits {
        let table = self.table();
        let entry_limit = match self.0.way {
            Way::Type1 { .. } => Root::new()
                .parameter("vfio_iommu_type1", "dma_entry_limit")
                .and_then(|text| text.parse().ok()),
            Way::Iommufd { .. } | Way::NoIommu { .. } => None,
        };
        Limits {
            entry_limit,
            entries_left: self.entries_left(),
            memlock: Memlock::read(),
            mapped_bytes: table.bytes(),
            mappings: table.mappings(),
            by_file: table.by_file,
        }
    }

    /// Keeps ranges available: a device that cannot use them is refused from now on. For an iommufd only.
    pub fn allow(&self, ranges: &[IovaRange]) -> Result<(), DmaError> {
        let Way::Iommufd { file, ioas, .. } = &self.0.way else {
            return Err(DeviceError::Unsupported { what: "list of allowed IOVAs: only iommufd has" }.into());
        };
        let pairs: Vec<(u64, u64)> = ranges.iter().map(|range| (range.first.0, range.last.0)).collect();
        sys::ioas_allow(file.as_fd(), *ioas, &pairs).map_err(|error| match (error, ranges.first()) {
            (Errno::ADDRINUSE | Errno::INVAL, Some(&range)) => DmaError::IovaReserved { range },
            (error, _) => system("IOAS_ALLOW_IOVAS", error),
        })
    }

    /// Unmaps everything, of all devices: no memory can be reached any more. Regions stay valid memory, and their
    /// drop unmaps nothing again. Returns how many bytes were mapped.
    pub fn unmap_all(&self) -> Result<u64, DmaError> {
        let mut table = self.table();
        let unmapped = match &self.0.way {
            Way::Iommufd { file, ioas, .. } => {
                // iommufd says that there is nothing, if there is nothing.
                match sys::ioas_unmap(file.as_fd(), *ioas, 0, u64::MAX) {
                    Err(Errno::NOENT) => Ok(0),
                    other => other.map_err(|error| system("IOAS_UNMAP", error)),
                }?
            }
            Way::Type1 { file, .. } if sys::has_extension(file.as_fd(), abi::VFIO_UNMAP_ALL) => {
                sys::type1_unmap(file.as_fd(), 0, 0, abi::VFIO_DMA_UNMAP_FLAG_ALL)
                    .map_err(|error| system("VFIO_IOMMU_UNMAP_DMA", error))?
            }
            Way::Type1 { .. } | Way::NoIommu { .. } => {
                return Err(DeviceError::Unsupported { what: "way to unmap all at once" }.into());
            }
        };
        for entry in table.live.values_mut() {
            entry.mapped = false;
        }
        Ok(unmapped)
    }

    /// Returns the files that a program must keep open across `exec` for its mappings to stay.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.file()]
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        match &self.0.way {
            Way::Iommufd { file, .. } | Way::Type1 { file, .. } | Way::NoIommu { file } => file.as_fd(),
        }
    }

    /// Returns the number of the address space in an iommufd.
    pub(super) fn ioas(&self) -> Option<u32> {
        match self.0.way {
            Way::Iommufd { ioas, .. } => Some(ioas),
            Way::Type1 { .. } | Way::NoIommu { .. } => None,
        }
    }

    /// Returns the number by which a container's IOMMU is set.
    pub(super) fn container_kind(&self) -> Option<u32> {
        match self.0.way {
            Way::Iommufd { .. } => None,
            Way::Type1 { kind, .. } => Some(kind),
            Way::NoIommu { .. } => Some(abi::VFIO_NOIOMMU_IOMMU),
        }
    }

    /// Returns a new device's way to memory in this context.
    pub(super) fn mapper(&self) -> Mapper {
        Mapper { iommu: self.clone(), id: self.0.next_mapper.fetch_add(1, Ordering::Relaxed) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn type1_info(file: BorrowedFd<'_>) -> Option<Type1Info> {
        let info = sys::iommu_info(file).ok()?;
        let flags = info.word(4);
        let mut parsed = Type1Info { page_sizes: None, ranges: None, entries_left: None };
        if flags & abi::VFIO_IOMMU_INFO_PGSIZES != 0 {
            parsed.page_sizes = Fields(info.bytes()).u64(8);
        }
        let first = if flags & abi::VFIO_IOMMU_INFO_CAPS != 0 { info.word(16) } else { 0 };
        for entry in chain::walk(info.bytes(), first) {
            match (u32::from(entry.id), entry.content.u32(0)) {
                (abi::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, Some(count)) => {
                    parsed.ranges = Some(ranges(entry.content.pairs(8, count)));
                }
                (abi::VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, left) => parsed.entries_left = left,
                _ => {}
            }
        }
        Some(parsed)
    }

    fn entries_left(&self) -> Option<u32> {
        match &self.0.way {
            Way::Type1 { file, .. } => Iommu::type1_info(file.as_fd())?.entries_left,
            Way::Iommufd { .. } | Way::NoIommu { .. } => None,
        }
    }

    /// Returns the ranges that may be mapped and the page sizes.
    fn translation(&self) -> (Vec<IovaRange>, u64) {
        // What a kernel does not tell: everything but the place of x86's interrupt messages.
        let unknown = || {
            vec![
                IovaRange { first: Iova(0), last: Iova(0xfedf_ffff) },
                IovaRange { first: Iova(0xfef0_0000), last: Iova(u64::MAX) },
            ]
        };
        match &self.0.way {
            Way::Iommufd { file, ioas, .. } => match sys::ioas_ranges(file.as_fd(), *ioas) {
                // Every multiple of the alignment is taken. An alignment below a page is that of emulated devices.
                Ok((pairs, align)) => (ranges(pairs.into_iter()), page_mask(align.max(PAGE_4K))),
                Err(_) => (Vec::new(), page_mask(PAGE_4K)),
            },
            Way::Type1 { file, .. } => {
                let info = Iommu::type1_info(file.as_fd());
                let sizes = info.as_ref().and_then(|info| info.page_sizes).unwrap_or(PAGE_4K);
                // Larger runs are cut by the kernel; what counts is the smallest.
                (info.and_then(|info| info.ranges).unwrap_or_else(unknown), sizes)
            }
            Way::NoIommu { .. } => (Vec::new(), page_mask(PAGE_4K)),
        }
    }

    /// Enters a mapping into the IOMMU.
    fn enter(&self, mapping: &DmaMapping<'_>, table: &mut Table) -> Result<(), DmaError> {
        let result = match &self.0.way {
            Way::Iommufd { file, ioas, by_file } => {
                let tried = by_file
                    .load(Ordering::Relaxed)
                    .then(|| sys::ioas_map_file(file.as_fd(), *ioas, mapping))
                    .flatten();
                match tried {
                    Some(Ok(())) => {
                        table.by_file += 1;
                        Ok(())
                    }
                    // A kernel before 6.13 does not know the call.
                    Some(Err(Errno::NOTTY)) => {
                        by_file.store(false, Ordering::Relaxed);
                        sys::ioas_map(file.as_fd(), *ioas, mapping)
                    }
                    // It takes anonymous files only; those of a file system are mapped by address.
                    Some(Err(Errno::INVAL)) | None => sys::ioas_map(file.as_fd(), *ioas, mapping),
                    Some(Err(error)) => Err(error),
                }
            }
            Way::Type1 { file, .. } => sys::type1_map(file.as_fd(), mapping),
            Way::NoIommu { .. } => Ok(()),
        };
        result.map_err(|error| self.map_error(error, mapping))
    }

    /// Returns why the kernel refused a mapping.
    fn map_error(&self, error: Errno, mapping: &DmaMapping<'_>) -> DmaError {
        let (iova, len) = (mapping.iova(), mapping.len());
        let range = IovaRange::new(iova, len).unwrap_or(IovaRange { first: iova, last: iova });
        let limit = || Root::new().parameter("vfio_iommu_type1", "dma_entry_limit")?.parse().ok();
        match error {
            Errno::EXIST | Errno::ADDRINUSE => DmaError::IovaInUse { range },
            Errno::NOSPC => DmaError::EntryLimit { limit: limit().unwrap_or(u32::MAX) },
            Errno::NOMEM => match Memlock::read() {
                Memlock { limit: Some(limit), privileged: false, .. } => DmaError::Memlock { len, limit },
                _ => DmaError::NoMemory { len, page: PAGE_4K },
            },
            Errno::INVAL if !self.translation().0.iter().any(|usable| usable.contains(range)) => {
                DmaError::IovaReserved { range }
            }
            error => system("map memory for DMA", error),
        }
    }

    /// Checks the limit of locked memory before the kernel does, which would answer just "out of memory".
    fn check_memlock(&self, len: u64, table: &Table) -> Result<(), DmaError> {
        let mut memlock = Memlock::read();
        if let Way::Iommufd { .. } = self.0.way {
            // iommufd counts per user, not in the process' own count.
            memlock.locked = memlock.locked.saturating_add(table.bytes());
        }
        match memlock.limit {
            Some(limit) if !memlock.allows(len) => Err(DmaError::Memlock { len, limit }),
            _ => Ok(()),
        }
    }

    /// Takes a mapping out of the IOMMU.
    fn leave(&self, iova: u64, len: u64) -> Result<Unmapped, DmaError> {
        let unmapped = match &self.0.way {
            Way::Iommufd { file, ioas, .. } => sys::ioas_unmap(file.as_fd(), *ioas, iova, len),
            Way::Type1 { file, .. } => sys::type1_unmap(file.as_fd(), iova, len, 0),
            Way::NoIommu { .. } => return Ok(Unmapped::Unfenced),
        };
        let unmapped = unmapped.map_err(|error| system("unmap memory for DMA", error))?;
        if unmapped != len {
            return Err(DmaError::NotMapped { iova: Iova(iova), len });
        }
        // SAFETY: the kernel unmapped the whole range from every IOMMU that the context's devices are behind.
        Ok(Unmapped::Fenced(unsafe { sys::fence(Iova(iova)) }))
    }
}

impl fmt::Debug for Iommu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iommu").field("api", &self.api()).field("mappings", &self.table().mappings()).finish()
    }
}

impl Table {
    fn bytes(&self) -> u64 {
        self.live.values().filter(|entry| entry.mapped).map(|entry| entry.len).sum()
    }

    fn mappings(&self) -> u32 {
        self.live.values().filter(|entry| entry.mapped).count() as u32
    }

    /// Returns the mapping that shares an address with `range`, if there is one.
    fn overlapping(&mut self, range: IovaRange) -> Option<(u64, &mut Entry)> {
        let (&first, entry) = self.live.range_mut(..=range.last.0).next_back()?;
        (first + (entry.len - 1) >= range.first.0).then_some((first, entry))
    }
}

struct Type1Info {
    page_sizes: Option<u64>,
    ranges: Option<Vec<IovaRange>>,
    entries_left: Option<u32>,
}

fn ranges(pairs: impl Iterator<Item = (u64, u64)>) -> Vec<IovaRange> {
    let mut ranges: Vec<IovaRange> = pairs
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| IovaRange { first: Iova(first), last: Iova(last) })
        .collect();
    ranges.sort_unstable();
    ranges
}

/// Returns the mask of page sizes from `smallest` up.
fn page_mask(smallest: u64) -> u64 {
    !(smallest.next_power_of_two() - 1)
}

fn system(what: &'static str, error: Errno) -> DmaError {
    DeviceError::System { what, errno: error.raw_os_error() }.into()
}

/// Opens a device file of the kernel.
pub(super) fn open(path: &str, way_out: &'static str) -> Result<OwnedFd, VfioError> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| VfioError::open(path, way_out, error))
}
