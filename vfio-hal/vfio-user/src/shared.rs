//! Registers that are memory, shared with a client in another process.
//!
//! Key type: [`SharedRegisters`]: pages of a BAR, backed by a memory file of their own. The model hands out their
//! [`area`](SharedRegisters::area) in [`DeviceModel::shared_areas`](crate::DeviceModel::shared_areas) and looks at them
//! when it steps: the client's write is a store without a message, and nothing tells the model of it. A register whose
//! access has a consequence, such as one that clears on read, cannot be in such a page.
//!
//! A [doorbell](crate::Spec::doorbells) in a shared area is read from there by the server.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::io::Errno;

use crate::memory::View;
use crate::model::SharedArea;

/// Bytes of a page, the unit of what can be mapped.
const PAGE: u64 = 4096;

/// Why there are no shared registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharedError {
    /// Not whole pages.
    #[error("{len:#x} bytes at offset {offset:#x} are not whole pages of 4 KiB")]
    Pages {
        /// From the start of the BAR.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// The operating system refused.
    #[error("cannot make memory for shared registers: {0}")]
    System(Errno),
}

/// Pages of a BAR that a client may map. Clones are the same memory.
///
/// Offsets are those of the BAR. Words are little endian, like every register. The client may write at any moment: a
/// load has Acquire order, so what the client wrote before is seen, and a store has Release order.
#[derive(Clone, Debug)]
pub struct SharedRegisters {
    area: SharedArea,
    view: Arc<View>,
}

impl SharedRegisters {
    /// Makes `len` bytes of registers, all 0, at `offset` of BAR `bar`.
    ///
    /// # Errors
    /// When they are not whole pages, or there is no memory.
    pub fn new(bar: u8, offset: u64, len: u64) -> Result<SharedRegisters, SharedError> {
        let end = offset.checked_add(len).filter(|_| len > 0 && (offset | len).is_multiple_of(PAGE));
        let end = end.ok_or(SharedError::Pages { offset, len })?;
        let make = || {
            let file = memfd_create("registers", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            // The place in the file is that in the BAR, so that all areas of a BAR agree on where it starts; what is in
            // front is a hole and takes no memory.
            ftruncate(&file, end)?;
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
            let view = View::new(file.as_fd(), offset, len, PAGE, true)?;
            Ok((file, view))
        };
        let (file, view): (OwnedFd, View) = make().map_err(SharedError::System)?;
        let area = SharedArea { bar, offset, len, file: Arc::new(file), file_offset: offset };
        Ok(SharedRegisters { area, view: Arc::new(view) })
    }

    /// Returns what the server offers to a client.
    pub fn area(&self) -> SharedArea {
        self.area.clone()
    }

    /// Returns whether `len` bytes at `offset` of the BAR are in here.
    pub fn covers(&self, bar: u8, offset: u64, len: usize) -> bool {
        let inside = |at: u64| at.checked_add(len as u64).is_some_and(|end| end <= self.area.len);
        bar == self.area.bar && self.place(offset).is_some_and(inside)
    }

    /// Loads an aligned 32-bit register; `None` if it is not in here.
    pub fn load32(&self, offset: u64) -> Option<u32> {
        self.place(offset).and_then(|at| self.view.load32(at)).map(u32::from_le)
    }

    /// Stores an aligned 32-bit register. False if it is not in here.
    pub fn store32(&self, offset: u64, value: u32) -> bool {
        self.place(offset).is_some_and(|at| self.view.store32(at, value.to_le()))
    }

    /// Loads an aligned 64-bit register; `None` if it is not in here.
    pub fn load64(&self, offset: u64) -> Option<u64> {
        self.place(offset).and_then(|at| self.view.load(at)).map(u64::from_le)
    }

    /// Stores an aligned 64-bit register. False if it is not in here.
    pub fn store64(&self, offset: u64, value: u64) -> bool {
        self.place(offset).is_some_and(|at| self.view.store(at, value.to_le()))
    }

    /// Copies bytes out. False if they are not all in here.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> bool {
        self.place(offset).is_some_and(|at| self.view.read(at, data))
    }

    /// Copies bytes in. False if they do not all fit.
    pub fn write(&self, offset: u64, data: &[u8]) -> bool {
        self.place(offset).is_some_and(|at| self.view.write(at, data))
    }

    fn place(&self, offset: u64) -> Option<u64> {
        offset.checked_sub(self.area.offset)
    }
}

/// A 32-bit register in a shared area, whoever made its file.
#[derive(Debug)]
pub(crate) struct SharedWord {
    view: Arc<View>,
    at: u64,
}

impl SharedWord {
    /// Returns the aligned register at `offset` of `bar`, if one of the areas has it.
    pub(crate) fn find(areas: &[SharedArea], bar: u8, offset: u64) -> Result<Option<SharedWord>, Errno> {
        let inside =
            |area: &&SharedArea| area.bar == bar && offset >= area.offset && offset - area.offset < area.len;
        let Some(area) = areas.iter().find(inside) else { return Ok(None) };
        let at = offset - area.offset;
        let page = at & !(PAGE - 1);
        // Touching a page that is not there would end the process, and the client has the file too.
        let end = (area.file_offset + page).checked_add(PAGE).ok_or(Errno::INVAL)?;
        if !fcntl_get_seals(&area.file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
            return Err(Errno::PERM);
        }
        if (fstat(&area.file)?.st_size as u64) < end {
            return Err(Errno::INVAL);
        }
        let view = View::new(area.file.as_fd(), area.file_offset + page, PAGE, PAGE, true)?;
        Ok(Some(SharedWord { view: Arc::new(view), at: at - page }))
    }

    pub(crate) fn load(&self) -> u32 {
        self.view.load32(self.at).map_or(0, u32::from_le)
    }

    pub(crate) fn store(&self, value: u32) {
        // It is aligned and inside: `find` and the spec's check saw to it.
        let _ = self.view.store32(self.at, value.to_le());
    }
}
