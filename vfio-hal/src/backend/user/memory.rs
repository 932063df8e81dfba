//! The memory that the device reaches.
//!
//! Key type: [`Memory`]. It keeps what is mapped, so that the server can ask for any of it by message, whether or not it
//! has the file, and so that a new connection can be told all of it again.
//!
//! Its lock is held for copies, never while the server is asked: a copy by message may come in the middle of a request.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{OFlags, fcntl_getfl, fstat};
use rustix::io::Errno;
use vfio_user_kit::client::{Client, ClientError};
use vfio_user_kit::proto::Capabilities;

use crate::addr::{Iova, IovaRange};
use crate::device::DeviceError;
use crate::dma::{Addressing, DmaAccess, DmaCaps, DmaError, DmaMapping, copy_in, copy_out};

/// The smallest page of the protocol: words and descriptors never lie across two mappings.
const GRANULE: u64 = 4096;

/// What is mapped.
pub(super) struct Memory {
    entries: Mutex<BTreeMap<u64, Entry>>,
    files: Mutex<Vec<(FileKey, Weak<OwnedFd>)>>,
    caps: Mutex<DmaCaps>,
}

/// Device and inode number, and whether it is for reading and writing.
type FileKey = (u64, u64, OFlags);

struct Entry {
    len: u64,
    ptr: NonNull<u8>,
    access: DmaAccess,
    file: Option<(Arc<OwnedFd>, u64)>,
    /// The connection whose server was told last.
    told: Weak<Client>,
}

// SAFETY: the memory behind the pointer may be used by any thread, `DmaMapping::new` requires it.
unsafe impl Send for Entry {}
// SAFETY: as for Send: it is only accessed atomically.
unsafe impl Sync for Entry {}

impl Memory {
    pub(super) fn new() -> Memory {
        let caps = caps(&Capabilities::default());
        Memory { entries: Mutex::default(), files: Mutex::default(), caps: Mutex::new(caps) }
    }

    /// Takes over what was agreed with a server.
    pub(super) fn agree(&self, agreed: &Capabilities) {
        *lock(&self.caps) = caps(agreed);
    }

    pub(super) fn caps(&self) -> DmaCaps {
        lock(&self.caps).clone()
    }

    /// Adds a mapping, so that the server finds it from the moment it hears of it.
    pub(super) fn add(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        let (iova, len, ptr) = (mapping.iova(), mapping.len(), mapping.ptr());
        for address in [iova.0, ptr.as_ptr().addr() as u64] {
            if !address.is_multiple_of(GRANULE) {
                return Err(DmaError::Unaligned { address, page: GRANULE });
            }
        }
        let length = DmaError::Length { len, page: GRANULE };
        let range = IovaRange::new(iova, len).filter(|_| len.is_multiple_of(GRANULE)).ok_or(length)?;
        let file = match mapping.backing() {
            Some(backing) => Some((self.file(backing.fd.as_fd())?, backing.offset)),
            None => None,
        };
        let mut entries = lock(&self.entries);
        let before = entries.range(..=range.last.0).next_back();
        if before.is_some_and(|(&first, entry)| first + (entry.len - 1) >= iova.0) {
            return Err(DmaError::IovaInUse { range });
        }
        if let Some(limit) = lock(&self.caps).max_mappings
            && entries.len() >= limit as usize
        {
            return Err(DmaError::EntryLimit { limit });
        }
        entries.insert(iova.0, Entry { len, ptr, access: mapping.access(), file, told: Weak::new() });
        Ok(())
    }

    /// Returns whether there is exactly this mapping, and if so whether the server has its file.
    pub(super) fn has_file(&self, iova: Iova, len: u64) -> Option<bool> {
        let entries = lock(&self.entries);
        entries.get(&iova.0).filter(|entry| entry.len == len).map(|entry| entry.file.is_some())
    }

    /// Removes a mapping. No copy from or to it is under way when this returns, and none comes later. Returns whether
    /// another server than that of `client` was told of it.
    pub(super) fn remove(&self, iova: Iova, client: Option<&Arc<Client>>) -> bool {
        let removed = lock(&self.entries).remove(&iova.0);
        let told =
            |client: &Arc<Client>| removed.is_some_and(|entry| entry.told.as_ptr() != Arc::as_ptr(client));
        client.is_some_and(told)
    }

    /// Forgets all mappings.
    pub(super) fn clear(&self) {
        let removed = std::mem::take(&mut *lock(&self.entries));
        drop(removed);
    }

    /// Tells a server of one mapping, if it does not know it.
    pub(super) fn tell(&self, client: &Arc<Client>, iova: Iova) -> Result<(), ClientError> {
        let (len, access, file) = {
            let mut entries = lock(&self.entries);
            let Some(entry) = entries.get_mut(&iova.0) else { return Ok(()) };
            if entry.told.as_ptr() == Arc::as_ptr(client) {
                return Ok(());
            }
            entry.told = Arc::downgrade(client);
            (entry.len, entry.access, entry.file.clone())
        };
        // A server that takes no descriptors reaches the memory by message.
        let file = file.as_ref().filter(|_| client.capabilities().max_msg_fds > 0);
        let file = file.map(|(fd, offset)| (fd.as_fd(), *offset));
        client.dma_map(iova.0, len, (access.reads(), access.writes()), file)
    }

    /// Tells a new server of all mappings.
    pub(super) fn tell_all(&self, client: &Arc<Client>) -> Result<(), ClientError> {
        let all: Vec<u64> = lock(&self.entries).keys().copied().collect();
        all.into_iter().try_for_each(|first| self.tell(client, Iova(first)))
    }

    /// Returns an own descriptor of a file, the same one for all mappings of it.
    fn file(&self, fd: std::os::fd::BorrowedFd<'_>) -> Result<Arc<OwnedFd>, DmaError> {
        let failed = |what| {
            move |errno: Errno| DmaError::from(DeviceError::System { what, errno: errno.raw_os_error() })
        };
        let stat = fstat(fd).map_err(failed("look at the memory's file"))?;
        let mode = fcntl_getfl(fd).map_err(failed("look at the memory's file"))? & OFlags::RWMODE;
        let key = (stat.st_dev, stat.st_ino, mode);
        let mut files = lock(&self.files);
        if let Some(file) =
            files.iter().filter(|(other, _)| *other == key).find_map(|(_, file)| file.upgrade())
        {
            return Ok(file);
        }
        let file =
            rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(failed("duplicate the memory's descriptor"))?;
        let file = Arc::new(file);
        files.retain(|(_, file)| file.strong_count() > 0);
        files.push((key, Arc::downgrade(&file)));
        Ok(file)
    }

    /// Calls `copy` for each part of a range that is in one mapping: with its place, where it starts in the range, and
    /// its length. All of the range is checked before the first call.
    fn pieces(
        &self,
        iova: u64,
        len: usize,
        allowed: impl Fn(DmaAccess) -> bool,
        mut copy: impl FnMut(NonNull<u8>, usize, usize),
    ) -> Result<(), Errno> {
        let entries = lock(&self.entries);
        let mut parts = Vec::new();
        let mut at = 0;
        while at < len {
            let here = iova.checked_add(at as u64).ok_or(Errno::FAULT)?;
            let (&first, entry) = entries.range(..=here).next_back().ok_or(Errno::FAULT)?;
            let offset = here - first;
            let left = entry.len.checked_sub(offset).filter(|&left| left > 0).ok_or(Errno::FAULT)?;
            if !allowed(entry.access) {
                return Err(Errno::ACCESS);
            }
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(len - at);
            // SAFETY: `offset` is inside of the `len` bytes that the entry's pointer is valid for.
            parts.push((unsafe { entry.ptr.add(offset as usize) }, at, part));
            at += part;
        }
        for (ptr, start, part) in parts {
            copy(ptr, start, part);
        }
        Ok(())
    }
}

/// What the server asks for by message.
impl Memory {
    pub(super) fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), Errno> {
        let len = data.len();
        self.pieces(iova, len, DmaAccess::reads, |from, start, part| {
            // SAFETY: 1. `pieces` found `part` bytes at `from` in a mapping, whose memory stays valid until it is
            // removed, and the lock that removing takes is held; 2. it is shared with a device, so that whoever
            // accesses it otherwise does so atomically, or owns a buffer that the device must not touch.
            unsafe { copy_out(from, &mut data[start..start + part]) }
        })?;
        // What is read after this message was written after what was read by it.
        fence(Ordering::Acquire);
        Ok(())
    }

    pub(super) fn write(&self, iova: u64, data: &[u8]) -> Result<(), Errno> {
        // A descriptor's done bit comes in a later message than the packet: who sees the one sees the other.
        fence(Ordering::Release);
        let word: Option<[u8; 4]> = data.try_into().ok().filter(|_| iova.is_multiple_of(4));
        self.pieces(iova, data.len(), DmaAccess::writes, |to, start, part| {
            if let Some(word) = word {
                // SAFETY: as below; a multiple of 4 in the mapping, which is aligned to pages, is one in memory. A
                // head write-back must not be seen in halves.
                let at = unsafe { to.cast::<AtomicU32>().as_ref() };
                at.store(u32::from_ne_bytes(word), Ordering::Release);
            } else {
                // SAFETY: as in `read`.
                unsafe { copy_in(&data[start..start + part], to) }
            }
        })
    }
}

fn caps(agreed: &Capabilities) -> DmaCaps {
    DmaCaps {
        addressing: Addressing::Translated(vec![IovaRange::ALL]),
        page_sizes: agreed.pgsizes & !(GRANULE - 1),
        max_mappings: Some(agreed.max_dma_maps),
        // Both sides see the same memory, or copies that are made in order.
        coherent: true,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is consistent after every single change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
