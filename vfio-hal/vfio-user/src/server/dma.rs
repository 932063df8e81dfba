//! The client's memory, by bus address.
//!
//! - [`Table`] holds what the client mapped. An entry without a file is reached by message; one with a file is
//!   mapped into this process when it is first used, as far as the bound on mappings allows, and read and
//!   written through the file otherwise.
//! - [`Place`] is what a bus address comes down to.
//!
//! A file that the client could shrink is never mapped, because touching a page that is gone ends the process;
//! it is read and written by system calls, which answer an error instead. A memory file with the seal against
//! shrinking, as QEMU makes them, is mapped.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat, fstatfs};
use rustix::io::Errno;

use super::logger::{Logger, say};
use crate::context::DmaRange;
use crate::memory::View;

/// The smallest page, and so the unit of the table.
pub(super) const PAGE: u64 = 4096;
/// File system type of hugetlbfs, whose pages are as large as its blocks.
const HUGETLBFS: u64 = 0x958458f6;

/// A file with client memory. Clients send the same file with every mapping; it is kept once.
#[derive(Debug)]
struct File {
    fd: OwnedFd,
    size: u64,
    page: u64,
    /// It cannot shrink.
    sealed: bool,
    writable: bool,
}

type FileKey = (u64, u64, bool);

/// One mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) first: u64,
    pub(super) len: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    file: Option<(Arc<File>, u64)>,
    /// Only the server's thread locks it.
    view: Mutex<Option<Arc<View>>>,
    /// It was taken away from under those who hold it.
    gone: AtomicBool,
}

impl Entry {
    pub(super) fn range(&self) -> DmaRange {
        DmaRange {
            iova: self.first,
            len: self.len,
            readable: self.readable,
            writable: self.writable,
            file: self.file.is_some(),
            page: self.file.as_ref().map_or(PAGE, |(file, _)| file.page),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn view(&self) -> MutexGuard<'_, Option<Arc<View>>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the memory behind a bus address is reached.
pub(super) enum Place {
    /// In this process, from an offset on.
    Here(Arc<View>, u64),
    /// In a file, from an offset on.
    File(FileAt),
    /// By message.
    Message,
}

/// A position in a client's file.
#[derive(Clone)]
pub(super) struct FileAt {
    file: Arc<File>,
    at: u64,
}

impl FileAt {
    /// Returns the position `bytes` further on.
    pub(super) fn after(&self, bytes: u64) -> FileAt {
        FileAt { file: self.file.clone(), at: self.at + bytes }
    }

    /// Reads all of `to`. False if the file ends before.
    pub(super) fn read(&self, mut to: &mut [u8]) -> bool {
        let mut at = self.at;
        while !to.is_empty() {
            match rustix::io::pread(&self.file.fd, &mut *to, at) {
                Ok(0) => return false,
                Ok(count) => {
                    to = &mut to[count..];
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Writes all of `from`, never beyond the file's end as it was when it was mapped.
    pub(super) fn write(&self, mut from: &[u8]) -> bool {
        let mut at = self.at;
        while !from.is_empty() {
            match rustix::io::pwrite(&self.file.fd, from, at) {
                Ok(0) => return false,
                Ok(count) => {
                    from = &from[count..];
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// Bounds of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Entries.
    pub(super) entries: usize,
    /// Entries that are mapped into this process at a time.
    pub(super) views: usize,
    /// Bytes of an entry.
    pub(super) len: u64,
}

/// What the client mapped.
#[derive(Debug)]
pub(super) struct Table {
    entries: RefCell<BTreeMap<u64, Arc<Entry>>>,
    files: RefCell<HashMap<FileKey, Weak<File>>>,
    /// Entries that have a view, the oldest first.
    viewed: RefCell<VecDeque<Weak<Entry>>>,
    bounds: Bounds,
    logger: Logger,
    /// Changes with every unmap, so that who remembers an entry can tell.
    generation: Cell<u64>,
}

impl Table {
    pub(super) fn new(bounds: Bounds, logger: Logger) -> Table {
        Table {
            entries: RefCell::default(),
            files: RefCell::default(),
            viewed: RefCell::default(),
            bounds,
            logger,
            generation: Cell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Adds a mapping.
    pub(super) fn map(
        &self,
        first: u64,
        len: u64,
        (readable, writable): (bool, bool),
        file: Option<(OwnedFd, u64)>,
    ) -> Result<(), Errno> {
        let last = len.checked_sub(1).and_then(|more| first.checked_add(more)).ok_or(Errno::INVAL)?;
        if !(first | len).is_multiple_of(PAGE) {
            return Err(Errno::INVAL);
        }
        let below = |at: u64| {
            let entries = self.entries.borrow();
            entries.range(..=at).next_back().is_some_and(|(_, entry)| at - entry.first < entry.len)
        };
        let inside = self.entries.borrow().range(first..=last).next().is_some();
        if inside || below(first) {
            return Err(Errno::EXIST);
        }
        if self.len() >= self.bounds.entries || len > self.bounds.len {
            return Err(Errno::NOSPC);
        }
        let file = match file {
            None => None,
            Some((fd, offset)) => {
                let end = offset.checked_add(len).ok_or(Errno::INVAL)?;
                let file = self.file(fd)?;
                if !offset.is_multiple_of(PAGE) || end > file.size || (writable && !file.writable) {
                    return Err(Errno::INVAL);
                }
                Some((file, offset))
            }
        };
        let entry = Entry {
            first,
            len,
            readable,
            writable,
            file,
            view: Mutex::new(None),
            gone: AtomicBool::new(false),
        };
        self.entries.borrow_mut().insert(first, Arc::new(entry));
        Ok(())
    }

    /// Takes exactly this mapping away.
    pub(super) fn unmap(&self, first: u64, len: u64) -> Result<(), Errno> {
        let mut entries = self.entries.borrow_mut();
        if entries.get(&first).is_none_or(|entry| entry.len != len) {
            return Err(Errno::NOENT);
        }
        if let Some(entry) = entries.remove(&first) {
            entry.gone.store(true, Ordering::Release);
        }
        self.generation.set(self.generation.get() + 1);
        Ok(())
    }

    /// Takes everything away.
    pub(super) fn clear(&self) {
        for entry in std::mem::take(&mut *self.entries.borrow_mut()).into_values() {
            entry.gone.store(true, Ordering::Release);
        }
        self.viewed.borrow_mut().clear();
        self.files.borrow_mut().clear();
        self.generation.set(self.generation.get() + 1);
    }

    /// Returns the mapping with exactly this place, to tell the model of.
    pub(super) fn exact(&self, first: u64, len: u64) -> Option<DmaRange> {
        self.entries.borrow().get(&first).filter(|entry| entry.len == len).map(|entry| entry.range())
    }

    /// Returns the mappings among all, or the one with exactly this place, that somebody holds.
    pub(super) fn held(&self, exact: Option<(u64, u64)>) -> Vec<DmaRange> {
        let entries = self.entries.borrow();
        // The table has one reference of each; the others are segments.
        let held = |entry: &&Arc<Entry>| Arc::strong_count(entry) > 1;
        match exact {
            Some((first, len)) => {
                let entry = entries.get(&first).filter(|entry| entry.len == len);
                entry.filter(held).map(|entry| entry.range()).into_iter().collect()
            }
            None => entries.values().filter(held).map(|entry| entry.range()).collect(),
        }
    }

    /// Returns all mappings.
    pub(super) fn ranges(&self) -> Vec<DmaRange> {
        self.entries.borrow().values().map(|entry| entry.range()).collect()
    }

    /// Returns the mapping that `address` is in.
    pub(super) fn find(&self, address: u64) -> Option<Arc<Entry>> {
        let entries = self.entries.borrow();
        let (_, entry) = entries.range(..=address).next_back()?;
        (address - entry.first < entry.len).then(|| entry.clone())
    }

    /// Returns how to reach `offset` of an entry.
    pub(super) fn place(&self, entry: &Arc<Entry>, offset: u64) -> Place {
        let Some((file, start)) = &entry.file else { return Place::Message };
        match self.view(entry, file, *start) {
            Some(view) => Place::Here(view, offset),
            None => Place::File(FileAt { file: file.clone(), at: start + offset }),
        }
    }

    /// Returns the view of an entry, made now if it has none; `None` if there cannot be one.
    fn view(&self, entry: &Arc<Entry>, file: &File, start: u64) -> Option<Arc<View>> {
        if let Some(view) = &*entry.view() {
            return Some(view.clone());
        }
        if !file.sealed {
            return None;
        }
        let mut viewed = self.viewed.borrow_mut();
        // One that is held keeps its view, and goes to the end; if all are, there is no room.
        let mut kept = 0;
        while viewed.len() >= self.bounds.views && kept < viewed.len() {
            // Entries that were unmapped meanwhile are gone, and their views with them, unless they are held.
            let Some(oldest) = viewed.pop_front() else { break };
            match oldest.upgrade() {
                // The table's reference, and this one.
                Some(entry) if Arc::strong_count(&entry) > 2 => {
                    viewed.push_back(oldest);
                    kept += 1;
                }
                Some(entry) => {
                    entry.view().take();
                    self.generation.set(self.generation.get() + 1);
                }
                None => {}
            }
        }
        if viewed.len() >= self.bounds.views {
            return None;
        }
        match View::new(file.fd.as_fd(), start, entry.len, file.page, entry.writable) {
            Ok(view) => {
                let view = Arc::new(view);
                *entry.view() = Some(view.clone());
                viewed.push_back(Arc::downgrade(entry));
                Some(view)
            }
            Err(error) => {
                say!(
                    self.logger,
                    Debug,
                    "client memory at {:#x} stays in its file: mmap: {error}",
                    entry.first
                );
                None
            }
        }
    }

    /// Returns the file behind a descriptor, the one that is open already if there is.
    fn file(&self, fd: OwnedFd) -> Result<Arc<File>, Errno> {
        let stat = fstat(&fd)?;
        let access = fcntl_getfl(&fd)? & OFlags::RWMODE;
        if access == OFlags::WRONLY {
            return Err(Errno::ACCESS);
        }
        let writable = access == OFlags::RDWR;
        let key = (stat.st_dev, stat.st_ino, writable);
        let mut files = self.files.borrow_mut();
        if let Some(file) = files.get(&key).and_then(Weak::upgrade)
            && file.size >= stat.st_size as u64
        {
            return Ok(file);
        }
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        let system = fstatfs(&fd)?;
        let huge = system.f_type as u64 == HUGETLBFS;
        let page = if huge { system.f_bsize as u64 } else { PAGE };
        // Without seals there is no promise.
        let sealed = fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        if !sealed {
            say!(
                self.logger,
                Info,
                "client memory comes in a file that may shrink: it is read and written, not mapped"
            );
        }
        let file = Arc::new(File { fd, size: stat.st_size as u64, page, sealed, writable });
        files.retain(|_, file| file.strong_count() > 0);
        files.insert(key, Arc::downgrade(&file));
        Ok(file)
    }
}
