//! A part of any region, mapped with rights of the caller's choice.
//!
//! Drivers use [`Device::bar`](crate::Device::bar), which also reaches what cannot be mapped. This is for regions that are
//! no BARs, and for parts of BARs.

use std::fmt;
use std::ptr::NonNull;

use super::core::LiveWindow;
use super::device::VfioDevice;
use super::error::VfioError;
use crate::bar::Width;
use crate::device::DeviceError;
use crate::mmio;

/// What may be done with a mapped window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Read only.
    Read,
    /// Write only. Many processors let such memory be read all the same.
    Write,
    /// Both.
    ReadWrite,
}

impl Protection {
    const fn reads(self) -> bool {
        matches!(self, Protection::Read | Protection::ReadWrite)
    }

    const fn writes(self) -> bool {
        matches!(self, Protection::Write | Protection::ReadWrite)
    }
}

/// A mapped part of a region, unmapped when it is dropped. It keeps its device open.
pub struct MappedWindow {
    live: LiveWindow,
    index: u32,
    /// Where in the mapping the window starts: it need not start with a page.
    skip: u64,
    len: u64,
    protection: Protection,
}

impl VfioDevice {
    /// Maps `len` bytes at `offset` of a region, which need not be aligned to pages, with these rights.
    ///
    /// # Errors
    /// [`VfioError::OutOfRegion`] if the region has no such bytes, [`VfioError::NotMappable`] if a page of them, or the
    /// whole region, cannot be mapped: it is reached by [`read_region`](Self::read_region) then.
    pub fn map_window(
        &self,
        index: u32,
        offset: u64,
        len: u64,
        protection: Protection,
    ) -> Result<MappedWindow, VfioError> {
        self.core().lost.check()?;
        let region = self.region(index)?;
        let out = VfioError::OutOfRegion { index, offset, len, size: region.len };
        let end = offset.checked_add(len).filter(|&end| len > 0 && end <= region.len).ok_or(out)?;
        let allowed = (region.readable || !protection.reads()) && (region.writable || !protection.writes());
        let page = rustix::param::page_size() as u64;
        let first = offset - offset % page;
        // The last page of a region may be a part of one.
        let last = end.next_multiple_of(page).min(region.len.next_multiple_of(page));
        let inside = |&(start, size): &(u64, u64)| start <= first && last <= start + size;
        if !allowed || !region.mappable_areas(page).iter().any(inside) {
            return Err(VfioError::NotMappable { index, offset, len });
        }
        let (read, write) = (protection.reads(), protection.writes());
        let live = self
            .core()
            .map(region, first, last - first, read, write)
            .map_err(|error| self.core().error("map a region", error))?;
        Ok(MappedWindow { live, index, skip: offset - first, len, protection })
    }
}

impl MappedWindow {
    /// Returns the length in bytes.
    // A window of no bytes is refused, so there is no `is_empty`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns what may be done with it.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// Reads a little-endian number at `offset` of the window: one access of that width.
    pub fn read(&self, offset: u64, width: Width) -> Result<u64, VfioError> {
        let at = self.check(offset, width, self.protection.reads())?;
        // SAFETY: `check` found the access inside of the mapping, aligned, and the mapping readable.
        Ok(unsafe { mmio::read(at, width) })
    }

    /// Writes a little-endian number at `offset` of the window: one access of that width.
    pub fn write(&self, offset: u64, width: Width, value: u64) -> Result<(), VfioError> {
        let at = self.check(offset, width, self.protection.writes())?;
        // SAFETY: `check` found the access inside of the mapping, aligned, and the mapping writable.
        unsafe { mmio::write(at, width, value) };
        Ok(())
    }

    fn check(&self, offset: u64, width: Width, allowed: bool) -> Result<NonNull<u8>, VfioError> {
        let len = width.bytes();
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        // The mapping starts with a page, so what is aligned in it is aligned.
        if !inside || !(self.skip + offset).is_multiple_of(len) {
            return Err(VfioError::OutOfRegion { index: self.index, offset, len, size: self.len });
        }
        if !allowed {
            return Err(
                DeviceError::Unsupported { what: "such right on this window: map it with another" }.into()
            );
        }
        // SAFETY: inside of the window, which is inside of the mapping.
        Ok(unsafe { self.live.window.ptr().add((self.skip + offset) as usize) })
    }
}

impl fmt::Debug for MappedWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedWindow")
            .field("region", &self.index)
            .field("len", &self.len)
            .field("protection", &self.protection)
            .finish_non_exhaustive()
    }
}
