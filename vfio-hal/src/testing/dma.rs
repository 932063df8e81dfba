//! Memory as a fake device sees it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::RwLock;

use crate::addr::{Iova, IovaRange};
use crate::dma::{Addressing, Dma, DmaAccess, DmaCaps, DmaError, DmaMapping, Fence, Unmapped, copy};

/// What a bounced mapping holds before anything is synced: a driver that forgot to sync meets it.
const POISON: u8 = 0xdb;

/// A mapper that keeps what is mapped in a table, and the device's way to that memory. Clones share it.
///
/// A test plays the device with [`read`](Self::read), [`write`](Self::write) and the word accesses, which see only
/// what is mapped, with the rights it is mapped with.
#[derive(Clone)]
pub struct FakeDma(Arc<Inner>);

struct Inner {
    caps: DmaCaps,
    /// Added to a pointer, gives the physical address.
    physical: Option<u64>,
    bounce: bool,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// By first IOVA.
    live: BTreeMap<u64, Entry>,
    shared: Vec<IovaRange>,
}

struct Entry {
    range: IovaRange,
    ptr: NonNull<u8>,
    access: DmaAccess,
    /// The device's own copy, if the mapping bounces.
    copy: Option<Box<[u8]>>,
}

// SAFETY: the pointer is only used for atomic accesses to memory that `DmaMapping::new`'s caller promises for any
// thread; the rest is Send and Sync by itself.
unsafe impl Send for Entry {}
// SAFETY: as for Send.
unsafe impl Sync for Entry {}

impl Entry {
    /// Returns the atomic at `offset`, which [`Table::find`] has returned for its size.
    fn word<T>(&self, offset: usize) -> Result<&T, DmaError> {
        // SAFETY: `find` checked that the mapping reaches that far.
        let at = unsafe { self.ptr.add(offset) }.cast::<T>();
        if !at.is_aligned() {
            return Err(DmaError::Unaligned {
                address: at.as_ptr().addr() as u64,
                page: align_of::<T>() as u64,
            });
        }
        // SAFETY: 1. in bounds and aligned; 2. `T` is an atomic, and the memory is initialised; 3. the table is
        // locked as long as the entry is borrowed, so it is not unmapped meanwhile, and until then it is only
        // accessed atomically or by a buffer's owner.
        Ok(unsafe { at.as_ref() })
    }
}

impl FakeDma {
    /// Returns a mapper that translates: any IOVA, pages of 4 KiB and up, coherent.
    pub fn new() -> FakeDma {
        FakeDma::make(Addressing::Translated(vec![IovaRange::ALL]), None, false)
    }

    /// Returns a mapper for a device that sees physical addresses, which are a pointer plus `offset`. As without
    /// an IOMMU, an unmap promises nothing.
    pub fn physical(offset: u64) -> FakeDma {
        FakeDma::make(Addressing::Physical, Some(offset), false)
    }

    /// Returns a mapper that is not coherent: the device has its own copy of each mapping, full of garbage, and
    /// only the sync calls copy, each exactly what it was asked for. Rings are coherent memory on every
    /// platform; name where they are with [`share`](Self::share).
    pub fn bouncing() -> FakeDma {
        FakeDma::make(Addressing::Translated(vec![IovaRange::ALL]), None, true)
    }

    /// Returns a mapper with these capabilities, to try a space against what it cannot do.
    pub fn with_caps(caps: DmaCaps) -> FakeDma {
        let bounce = !caps.coherent;
        let physical = (caps.addressing == Addressing::Physical).then_some(0);
        FakeDma(Arc::new(Inner { caps, physical, bounce, table: RwLock::default() }))
    }

    fn make(addressing: Addressing, physical: Option<u64>, bounce: bool) -> FakeDma {
        let caps = DmaCaps { addressing, page_sizes: !0xfff, max_mappings: None, coherent: !bounce };
        FakeDma(Arc::new(Inner { caps, physical, bounce, table: RwLock::default() }))
    }

    /// Maps what lies within `range` from now on as coherent memory, without a copy.
    pub fn share(&self, range: IovaRange) {
        self.0.table.write().shared.push(range);
    }

    /// Returns how many mappings there are.
    pub fn mappings(&self) -> usize {
        self.0.table.read().live.len()
    }

    /// Reads memory at `iova` as the device.
    pub fn read(&self, iova: Iova, data: &mut [u8]) -> Result<(), DmaError> {
        let table = self.0.table.read();
        let (entry, offset) = table.find(iova, data.len(), DmaAccess::Read)?;
        match &entry.copy {
            Some(copy) => data.copy_from_slice(&copy[offset..offset + data.len()]),
            // SAFETY: 1. `find` returns a place with this much memory behind it; 2. the table is locked, so it is
            // not unmapped meanwhile, and until then only accessed atomically or by a buffer's owner.
            None => unsafe { copy::copy_out(entry.ptr.add(offset), data) },
        }
        Ok(())
    }

    /// Writes memory at `iova` as the device.
    pub fn write(&self, iova: Iova, data: &[u8]) -> Result<(), DmaError> {
        let mut table = self.0.table.write();
        let (entry, offset) = table.find_mut(iova, data.len())?;
        match &mut entry.copy {
            Some(copy) => copy[offset..offset + data.len()].copy_from_slice(data),
            // SAFETY: as in `read`.
            None => unsafe { copy::copy_in(data, entry.ptr.add(offset)) },
        }
        Ok(())
    }

    /// Reads the aligned little-endian word at `iova` as the device, with Acquire order.
    pub fn load(&self, iova: Iova) -> Result<u64, DmaError> {
        aligned(iova, 8)?;
        let table = self.0.table.read();
        let (entry, offset) = table.find(iova, 8, DmaAccess::Read)?;
        Ok(match &entry.copy {
            Some(copy) => copy[offset..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            None => u64::from_le(entry.word::<AtomicU64>(offset)?.load(Ordering::Acquire)),
        })
    }

    /// Writes the aligned little-endian word at `iova` as the device, with Release order.
    pub fn store(&self, iova: Iova, word: u64) -> Result<(), DmaError> {
        aligned(iova, 8)?;
        let mut table = self.0.table.write();
        let (entry, offset) = table.find_mut(iova, 8)?;
        match &mut entry.copy {
            Some(copy) => copy[offset..offset + 8].copy_from_slice(&word.to_le_bytes()),
            None => entry.word::<AtomicU64>(offset)?.store(word.to_le(), Ordering::Release),
        }
        Ok(())
    }

    /// Writes the aligned little-endian 32-bit word at `iova` as the device, with Release order.
    pub fn store32(&self, iova: Iova, word: u32) -> Result<(), DmaError> {
        aligned(iova, 4)?;
        let mut table = self.0.table.write();
        let (entry, offset) = table.find_mut(iova, 4)?;
        match &mut entry.copy {
            Some(copy) => copy[offset..offset + 4].copy_from_slice(&word.to_le_bytes()),
            None => entry.word::<AtomicU32>(offset)?.store(word.to_le(), Ordering::Release),
        }
        Ok(())
    }
}

impl Default for FakeDma {
    fn default() -> Self {
        FakeDma::new()
    }
}

impl Dma for FakeDma {
    fn caps(&self) -> DmaCaps {
        self.0.caps.clone()
    }

    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        let (iova, len) = (mapping.iova(), mapping.len());
        let page = self.0.caps.page_sizes & self.0.caps.page_sizes.wrapping_neg();
        let page = page.max(1);
        let range = IovaRange::new(iova, len).filter(|_| len.is_multiple_of(page));
        let range = range.ok_or(DmaError::Length { len, page })?;
        let address = iova.0 | mapping.ptr().as_ptr().addr() as u64;
        if !address.is_multiple_of(page) {
            return Err(DmaError::Unaligned { address, page });
        }
        let mut table = self.0.table.write();
        if table.live.values().any(|entry| entry.range.overlaps(range)) {
            return Err(DmaError::IovaInUse { range });
        }
        if let Some(limit) = self.0.caps.max_mappings.filter(|&limit| table.live.len() >= limit as usize) {
            return Err(DmaError::EntryLimit { limit });
        }
        let bounce = self.0.bounce && !table.shared.iter().any(|shared| shared.contains(range));
        let copy = bounce.then(|| vec![POISON; len as usize].into_boxed_slice());
        table.live.insert(iova.0, Entry { range, ptr: mapping.ptr(), access: mapping.access(), copy });
        Ok(())
    }

    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError> {
        let mut table = self.0.table.write();
        let exact =
            table.live.get(&iova.0).is_some_and(|entry| Some(entry.range) == IovaRange::new(iova, len));
        if !exact {
            return Err(DmaError::NotMapped { iova, len });
        }
        table.live.remove(&iova.0);
        if self.0.physical.is_some() {
            return Ok(Unmapped::Unfenced);
        }
        // SAFETY: every access of the device goes through the table, which is locked and no longer has it.
        Ok(Unmapped::Fenced(unsafe { Fence::new() }))
    }

    fn physical(&self, ptr: NonNull<u8>, _len: u64) -> Option<Iova> {
        self.0.physical.and_then(|offset| Iova(ptr.as_ptr().addr() as u64).checked_add(offset))
    }

    fn sync_for_cpu(&self, iova: Iova, len: u64) {
        let Ok(len) = usize::try_from(len) else { return };
        let table = self.0.table.read();
        if let Ok((Entry { ptr, copy: Some(copy), .. }, offset)) = table.find_any(iova, len) {
            // SAFETY: as in `read`; the driver owns the buffer it syncs.
            unsafe { copy::copy_in(&copy[offset..offset + len], ptr.add(offset)) }
        }
    }

    fn sync_for_device(&self, iova: Iova, len: u64) {
        let Ok(len) = usize::try_from(len) else { return };
        let mut table = self.0.table.write();
        let Ok((first, offset)) =
            table.find_any(iova, len).map(|(entry, offset)| (entry.range.first.0, offset))
        else {
            return;
        };
        if let Some(Entry { ptr, copy: Some(copy), .. }) = table.live.get_mut(&first) {
            // SAFETY: as in `sync_for_cpu`.
            unsafe { copy::copy_out(ptr.add(offset), &mut copy[offset..offset + len]) }
        }
    }
}

impl Table {
    /// Returns the mapping that holds all of `len` bytes at `iova`, and where in it they start.
    fn find_any(&self, iova: Iova, len: usize) -> Result<(&Entry, usize), DmaError> {
        let none = DmaError::NotMapped { iova, len: len as u64 };
        let (_, entry) = self.live.range(..=iova.0).next_back().ok_or(none)?;
        let inside = IovaRange::new(iova, len.max(1) as u64).is_some_and(|range| entry.range.contains(range));
        // A mapping is memory of this process, so an offset into it is a usize.
        if inside { Ok((entry, (iova.0 - entry.range.first.0) as usize)) } else { Err(none) }
    }

    fn find(&self, iova: Iova, len: usize, access: DmaAccess) -> Result<(&Entry, usize), DmaError> {
        let (entry, offset) = self.find_any(iova, len)?;
        let allowed = if access.reads() { entry.access.reads() } else { entry.access.writes() };
        if allowed { Ok((entry, offset)) } else { Err(DmaError::NotMapped { iova, len: len as u64 }) }
    }

    fn find_mut(&mut self, iova: Iova, len: usize) -> Result<(&mut Entry, usize), DmaError> {
        let (entry, offset) = self.find(iova, len, DmaAccess::Write)?;
        let first = entry.range.first;
        let entry = self.live.get_mut(&first.0).ok_or(DmaError::NotMapped { iova, len: len as u64 })?;
        Ok((entry, offset))
    }
}

fn aligned(iova: Iova, page: u64) -> Result<(), DmaError> {
    if iova.0.is_multiple_of(page) { Ok(()) } else { Err(DmaError::Unaligned { address: iova.0, page }) }
}

impl fmt::Debug for FakeDma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDma")
            .field("caps", &self.0.caps)
            .field("mappings", &self.mappings())
            .finish_non_exhaustive()
    }
}
