//! The device's registers: parts of BARs that are mapped, and messages for the rest.
//!
//! - [`Window`] is a BAR whose accesses are messages.
//! - [`Source`] is what a server has in a file: an area of a BAR, or single doorbells. [`Mapping`] is one in this process.
//!   It is mapped only if the file cannot shrink under it, because touching a page that is gone ends the process; the
//!   user may trust a server with other files.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use vfio_user_kit::client::{Area, ClientError, IoFds, Region, Shadow};
use vfio_user_kit::proto::wire::{REGION_READ, REGION_WRITE};

use super::memory::lock;
use super::{Core, UserError};
use crate::bar::{Bar, Trap, Width};
use crate::device::DeviceError;

const PAGE: u64 = 4096;

/// A BAR whose registers are reached by message.
pub(super) struct Window {
    core: Arc<Core>,
    region: u32,
}

impl Trap for Window {
    fn read(&self, offset: u64, width: Width) -> Option<u64> {
        let result = self.core.link.ask(|client| {
            let mut bytes = [0; 8];
            client.region_read(self.region, offset, &mut bytes[..width as usize])?;
            Ok(u64::from_le_bytes(bytes))
        });
        self.settle("read", offset, result, width.all_ones())
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        let bytes = value.to_le_bytes();
        let data = &bytes[..width as usize];
        let result = self.core.link.ask(|client| match self.core.posted {
            true => client.region_post(self.region, offset, data),
            false => client.region_write(self.region, offset, data),
        });
        self.settle("write", offset, result, ())
    }
}

impl Window {
    /// Returns what an access came to. What the device refuses is as on a bus: a read is all ones, a write has no effect,
    /// and the device is still there.
    fn settle<R>(&self, what: &str, offset: u64, result: Result<R, UserError>, refused: R) -> Option<R> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        log::debug!("cannot {what} the register at offset {offset:#x} of BAR {}: {error}", self.region);
        matches!(error, UserError::Client(ClientError::Refused { .. })).then_some(refused)
    }
}

/// Makes a BAR of a region.
pub(super) fn bar(core: &Arc<Core>, region: &Region) -> Result<Bar, DeviceError> {
    let mappings = if core.options.map_bars { core.map(region)? } else { Vec::new() };
    let mut windows: Vec<_> = mappings.iter().flat_map(|mapping| mapping.windows(region)).collect();
    windows.sort_by_key(|window| window.offset);
    let mut builder = Bar::builder(region.index as u8, region.size, core.link.latch().clone());
    let trap = Arc::new(Window { core: core.clone(), region: region.index });
    let mut end = 0;
    for Mapped { offset, len, base } in windows {
        // An area that is mapped as a whole needs no parts.
        if offset < end {
            continue;
        }
        if offset > end {
            builder = builder.trapped(end, offset - end, trap.clone());
        }
        // SAFETY: 1. `Mapping::windows` gives parts of mappings, aligned to 8, that are there as long as the mapping is,
        // and `keep_alive` keeps it; 2. nobody makes a reference to it, the other process' accesses are none of Rust's.
        builder = unsafe { builder.mapped(offset, base, len) };
        end = offset + len;
    }
    if region.size > end {
        builder = builder.trapped(end, region.size - end, trap);
    }
    if !mappings.is_empty() {
        let presence = core.clone();
        builder = builder
            .keep_alive(Arc::new(mappings))
            .presence(Arc::new(move || presence.link.fault().is_none()));
    }
    builder.build()
}

/// A part of a BAR that is memory.
struct Mapped {
    offset: u64,
    len: u64,
    base: NonNull<u8>,
}

/// What a mapping is of, so that the same can be found in what another server says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// An area of a region, by its place in the list.
    Area(usize),
    /// The memory that stands for single registers of a region.
    Shadow,
}

/// What a region has that can be mapped: registers at these places are in memory of a file.
pub(super) struct Source {
    pub(super) region: u32,
    pub(super) what: What,
    file: Arc<OwnedFd>,
    /// From the start of the file, in bytes; whole pages.
    at: u64,
    len: u64,
    /// Place in the region, place in the mapping, bytes.
    parts: Vec<(u64, u64, u64)>,
}

impl Source {
    /// Returns the sources of a region, and logs what cannot be one.
    pub(super) fn all(region: &Region, io: &IoFds, name: &str) -> Vec<Source> {
        let index = region.index;
        let mut sources = Vec::new();
        if region.flags & (REGION_READ | REGION_WRITE) != REGION_READ | REGION_WRITE {
            return sources;
        }
        for (number, Area { offset, size, file }) in region.areas.iter().enumerate() {
            let Some((file, at)) = file.clone() else {
                log::info!(
                    "{name}: the area at {offset:#x} of BAR {index} is reached by message: no file came for it"
                );
                continue;
            };
            let parts = vec![(*offset, 0, *size)];
            sources.push(Source { region: index, what: What::Area(number), file, at, len: *size, parts });
        }
        // A doorbell has 8 bytes in its memory, because windows start at multiples of 8; the upper ones are no register.
        const ROOM: u64 = 8;
        let usable = |shadow: &&Shadow| {
            let inside = shadow.offset.checked_add(ROOM).is_some_and(|end| end <= region.size);
            let aligned = (shadow.offset | shadow.file_offset).is_multiple_of(ROOM);
            inside && aligned && shadow.size == 4 && shadow.file_offset.checked_add(ROOM).is_some()
        };
        let shadows: Vec<&Shadow> = io.shadows.iter().filter(usable).collect();
        if let Some(first) = shadows.first() {
            let of_file = || shadows.iter().filter(|shadow| Arc::ptr_eq(&shadow.file, &first.file));
            let low = of_file().map(|shadow| shadow.file_offset).min().unwrap_or(0) & !(PAGE - 1);
            let high = of_file().map(|shadow| shadow.file_offset + ROOM).max().unwrap_or(0);
            if let Some(end) = high.checked_next_multiple_of(PAGE) {
                let parts = of_file().map(|shadow| (shadow.offset, shadow.file_offset - low, ROOM)).collect();
                let (file, len) = (first.file.clone(), end - low);
                sources.push(Source { region: index, what: What::Shadow, file, at: low, len, parts });
            }
        }
        sources
    }
}

/// Registers of the device that are memory in this process.
pub(super) struct Mapping {
    pages: Pages,
    /// The file of the moment, and where in it the pages are.
    file: Mutex<(Arc<OwnedFd>, u64)>,
    pub(super) region: u32,
    pub(super) what: What,
    parts: Vec<(u64, u64, u64)>,
}

impl Mapping {
    /// Maps a source, or tells why it cannot be.
    pub(super) fn new(source: &Source, trusted: bool) -> Result<Mapping, &'static str> {
        let len = mappable(source, trusted)?;
        let pages = Pages::map(&source.file, source.at, len)?;
        let file = Mutex::new((source.file.clone(), source.at));
        Ok(Mapping { pages, file, region: source.region, what: source.what, parts: source.parts.clone() })
    }

    /// Puts the same source of a new server in the place of this one. Pointers into it stay as they are.
    ///
    /// What was written to doorbells while no server looked is carried over, so that no queue waits for a ring that it
    /// does not hear.
    pub(super) fn replace(&self, source: &Source, trusted: bool) -> Result<(), &'static str> {
        let len = mappable(source, trusted)?;
        if len != self.pages.len || source.parts != self.parts {
            return Err("it has another shape");
        }
        let mut file = lock(&self.file);
        let before = Pages::map(&file.0, file.1, len)?;
        let fresh = Pages::map(&source.file, source.at, len)?;
        let bells: Vec<u64> = match self.what {
            What::Shadow => self.parts.iter().map(|&(_, at, _)| at).collect(),
            What::Area(_) => Vec::new(),
        };
        let kept: Vec<Option<u32>> =
            bells.iter().map(|&at| Some(fresh.word(at)?.load(Ordering::Acquire))).collect();
        self.pages.become_those_of(&source.file, source.at)?;
        *file = (source.file.clone(), source.at);
        // From here on writes go to the new server. Where none has come yet, the last one to the old one counts.
        for (&at, kept) in bells.iter().zip(kept) {
            if let (Some(old), Some(new), Some(kept)) = (before.word(at), fresh.word(at), kept) {
                let last = old.load(Ordering::Acquire);
                // A failed exchange is a write that came meanwhile.
                let _ = new.compare_exchange(kept, last, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Returns the parts of the BAR that are in here.
    fn windows(&self, region: &Region) -> impl Iterator<Item = Mapped> {
        let fits = |&&(offset, at, len): &&(u64, u64, u64)| {
            let end = at.checked_add(len).is_some_and(|end| end <= self.pages.len as u64);
            (offset | at).is_multiple_of(8)
                && end
                && offset.checked_add(len).is_some_and(|end| end <= region.size)
        };
        self.parts.iter().filter(fits).map(|&(offset, at, len)| {
            // SAFETY: `at` is inside of the mapping's `len` bytes.
            Mapped { offset, len, base: unsafe { self.pages.base.add(at as usize) } }
        })
    }
}

/// A shared, writable mapping of a part of a file.
struct Pages {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned, belongs to no thread, and is only accessed as registers are, or atomically.
unsafe impl Send for Pages {}
// SAFETY: as for Send.
unsafe impl Sync for Pages {}

const RIGHTS: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

impl Pages {
    fn map(file: &OwnedFd, at: u64, len: usize) -> Result<Pages, &'static str> {
        // SAFETY: the kernel chooses a free place, so nothing else is mapped over.
        let base = unsafe { mmap(std::ptr::null_mut(), len, RIGHTS, MapFlags::SHARED, file, at) };
        let base = base.map_err(|_| "the system refuses to map it")?;
        NonNull::new(base.cast::<u8>()).map(|base| Pages { base, len }).ok_or("it would be at address 0")
    }

    /// Puts pages of another file in the place of these.
    fn become_those_of(&self, file: &OwnedFd, at: u64) -> Result<(), &'static str> {
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: 1. the range is this mapping, so nothing of somebody else's is mapped over; 2. the kernel puts the
        // new pages in place of the old ones at once, and whoever reads or writes meanwhile reaches the one or the
        // other, as with a device that is exchanged; 3. no reference into it outlives a call: those of `word` are to
        // pages of their own.
        let base = unsafe { mmap(self.base.as_ptr().cast(), self.len, RIGHTS, flags, file, at) };
        base.map(drop).map_err(|_| "the system refuses to map it")
    }

    /// Returns the aligned word at an offset in bytes.
    fn word(&self, at: u64) -> Option<&AtomicU32> {
        let at = usize::try_from(at).ok().filter(|at| at.is_multiple_of(4))?;
        if at.checked_add(4)? > self.len {
            return None;
        }
        // SAFETY: 1. inside of the mapping, which starts at a page, and aligned; 2. it lives as long as `self`; 3. the
        // other process' accesses are none of Rust's, and here all of them are atomic or volatile.
        Some(unsafe { self.base.add(at).cast::<AtomicU32>().as_ref() })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and the BAR that used it is gone. It cannot fail for a range that was mapped
        // as a whole.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Returns how many bytes of this process a source takes, if it may be mapped.
fn mappable(source: &Source, trusted: bool) -> Result<usize, &'static str> {
    let failed = |_: Errno| "its file cannot be looked at";
    let file = &source.file;
    let stat = fstat(file).map_err(failed)?;
    let end = source.at.checked_add(source.len).ok_or("its file is shorter")?;
    if fcntl_getfl(file).map_err(failed)? & OFlags::RWMODE != OFlags::RDWR {
        return Err("its file is not for reading and writing");
    }
    let sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    if !sealed && !trusted {
        return Err("its file is not sealed against shrinking");
    }
    // What is no ordinary file, a device's for one, has no size.
    if (sealed || stat.st_size > 0) && u64::try_from(stat.st_size).is_ok_and(|size| size < end) {
        return Err("its file is shorter");
    }
    usize::try_from(source.len).ok().filter(|&len| len > 0).ok_or("it is larger than this process")
}
