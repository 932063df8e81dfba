//! The device's registers: parts of BARs that are mapped, and messages for the rest.
//!
//! - [`Window`] is a BAR whose accesses are messages.
//! - [`Mapping`] is an area of a BAR that the server's file holds. It is mapped only if the file cannot shrink under it,
//!   because touching a page that is gone ends the process; the user may trust a server with other files.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::fs::{OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use vfio_user_kit::client::{Area, Region};
use vfio_user_kit::proto::wire::{REGION_READ, REGION_WRITE};

use super::Core;
use crate::bar::{Bar, Trap, Width};
use crate::device::DeviceError;

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
        result.inspect_err(|error| self.failed("read", offset, *error)).ok()
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        let bytes = value.to_le_bytes();
        let data = &bytes[..width as usize];
        let result = self.core.link.ask(|client| match self.core.posted {
            true => client.region_post(self.region, offset, data),
            false => client.region_write(self.region, offset, data),
        });
        result.inspect_err(|error| self.failed("write", offset, *error)).ok()
    }
}

impl Window {
    fn failed(&self, what: &str, offset: u64, error: super::UserError) {
        log::warn!("cannot {what} the register at offset {offset:#x} of BAR {}: {error}", self.region);
    }
}

/// Makes a BAR of a region.
pub(super) fn bar(core: &Arc<Core>, region: &Region) -> Result<Bar, DeviceError> {
    let index = region.index as u8;
    let lost = core.link.latch().clone();
    let mut builder = Bar::builder(index, region.size, lost);
    let trap = Arc::new(Window { core: core.clone(), region: region.index });
    let mut mappings: Vec<Arc<Mapping>> = Vec::new();
    let mut end = 0;
    for (number, area) in region.areas.iter().enumerate() {
        let Some(mapping) = core.map(region, number, area) else { continue };
        if area.offset > end {
            builder = builder.trapped(end, area.offset - end, trap.clone());
        }
        // SAFETY: 1. the mapping starts at a page and has `area.size` bytes, and `keep_alive` keeps it; 2. nobody
        // makes a reference to it, the other process' accesses are none of Rust's.
        builder = unsafe { builder.mapped(area.offset, mapping.base, area.size) };
        end = area.offset + area.size;
        mappings.push(mapping);
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

/// An area of a BAR in this process.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Which area of which region it is.
    pub(super) place: (u32, usize),
}

// SAFETY: the mapping is owned, belongs to no thread, and is only accessed as registers are.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

const RIGHTS: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

impl Mapping {
    /// Maps an area, or tells why it cannot be.
    pub(super) fn new(
        region: &Region,
        number: usize,
        area: &Area,
        trusted: bool,
    ) -> Result<Mapping, &'static str> {
        let (file, at, len) = mappable(region, area, trusted)?;
        // SAFETY: the kernel chooses a free place, so nothing else is mapped over.
        let base = unsafe { mmap(std::ptr::null_mut(), len, RIGHTS, MapFlags::SHARED, file, at) };
        let base = base.map_err(|_| "the system refuses to map it")?;
        let base = NonNull::new(base.cast::<u8>()).ok_or("it would be at address 0")?;
        Ok(Mapping { base, len, place: (region.index, number) })
    }

    /// Puts the same area of a new server in the place of this one. Pointers into it stay as they are.
    pub(super) fn replace(&self, region: &Region, area: &Area, trusted: bool) -> Result<(), &'static str> {
        let (file, at, len) = mappable(region, area, trusted)?;
        if len != self.len {
            return Err("it has another length");
        }
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: 1. the range is this mapping, so nothing of somebody else's is mapped over; 2. the kernel puts the
        // new pages in place of the old ones at once, and whoever reads or writes meanwhile reaches the one or the
        // other, as with a device that is exchanged; 3. no reference to it exists.
        let base = unsafe { mmap(self.base.as_ptr().cast(), len, RIGHTS, flags, file, at) };
        base.map(drop).map_err(|_| "the system refuses to map it")
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and the BAR that used it is gone. It cannot fail for a range that was mapped
        // as a whole.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Returns the file, the offset in it and the length of an area that can be mapped.
fn mappable<'a>(
    region: &Region,
    area: &'a Area,
    trusted: bool,
) -> Result<(BorrowedFd<'a>, u64, usize), &'static str> {
    if region.flags & (REGION_READ | REGION_WRITE) != REGION_READ | REGION_WRITE {
        return Err("its region is not for reading and writing");
    }
    let (file, at) = area.file.as_ref().ok_or("the server sent no file for it")?;
    let file: &OwnedFd = file;
    let failed = |_: Errno| "its file cannot be looked at";
    let stat = fstat(file).map_err(failed)?;
    let end = at.checked_add(area.size).ok_or("its file is shorter")?;
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
    let len = usize::try_from(area.size).map_err(|_| "it is larger than this process")?;
    Ok((file.as_fd(), *at, len))
}
