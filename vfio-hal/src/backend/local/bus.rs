//! The model's way to memory: a table of mappings, and copies in and out.
//!
//! [`Mapper`] is the [`Dma`] that regions map into. [`Bus`] is what a model gets for the time of one call: it
//! holds the table as it is, so that an unmap waits until the call is over and nothing is under way after it.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::rwlock::RwLockReadGuard;
use vfio_user_kit::{DmaBus, DmaFault, DmaRange};

use super::lock::Shared;
use crate::addr::{Iova, IovaRange};
use crate::device::DeviceError;
use crate::dma::{
    Addressing, Dma, DmaAccess, DmaCaps, DmaError, DmaMapping, Fence, Unmapped, copy_in, copy_out,
};

/// The smallest page: words and descriptors never lie across two mappings.
const GRANULE: u64 = 4096;

pub(super) struct Mapper {
    caps: DmaCaps,
    table: Shared<Vec<Entry>>,
    /// Bus mastering is on.
    master: AtomicBool,
    gone: AtomicBool,
}

struct Entry {
    first: u64,
    len: u64,
    ptr: NonNull<u8>,
    access: DmaAccess,
}

// SAFETY: the memory behind the pointer may be used by any thread, `DmaMapping::new` requires it.
unsafe impl Send for Entry {}
// SAFETY: as for Send: it is only accessed atomically.
unsafe impl Sync for Entry {}

impl Entry {
    /// Returns how far into the mapping `iova` is, in bytes.
    #[inline]
    fn offset(&self, iova: u64) -> Option<u64> {
        let offset = iova.wrapping_sub(self.first);
        (offset < self.len).then_some(offset)
    }

    fn range(&self) -> IovaRange {
        // Only what has a last address was taken into the table.
        IovaRange { first: Iova(self.first), last: Iova(self.first + (self.len - 1)) }
    }
}

impl Mapper {
    pub(super) fn new(ranges: Vec<IovaRange>, page_sizes: u64, max_mappings: Option<u32>) -> Mapper {
        let addressing = Addressing::Translated(ranges);
        Mapper {
            caps: DmaCaps { addressing, page_sizes, max_mappings, coherent: true },
            table: Shared::new(Vec::new()),
            master: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// Returns the bus for one call of the model. Mappings stay as they are until it is dropped.
    pub(super) fn bus(&self) -> Bus<'_> {
        Bus { table: self.table.read(), mapper: self, recent: [Cell::new(0), Cell::new(1)] }
    }

    /// Switches bus mastering. A call that is under way may still finish one access.
    pub(super) fn set_master(&self, on: bool) {
        self.master.store(on, Ordering::Release);
    }

    /// Waits until the call that is under way is over.
    pub(super) fn settle(&self) {
        drop(self.table.write());
    }

    /// Stops all DMA. Mappings stay, because nobody is left to answer for them.
    pub(super) fn stop_for_good(&self) {
        self.gone.store(true, Ordering::Release);
    }

    fn check_present(&self) -> Result<(), DmaError> {
        if self.gone.load(Ordering::Acquire) { Err(DeviceError::Lost.into()) } else { Ok(()) }
    }
}

impl Dma for Mapper {
    fn caps(&self) -> DmaCaps {
        self.caps.clone()
    }

    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        self.check_present()?;
        let (iova, len, ptr) = (mapping.iova(), mapping.len(), mapping.ptr());
        for address in [iova.0, ptr.as_ptr().addr() as u64] {
            if !address.is_multiple_of(GRANULE) {
                return Err(DmaError::Unaligned { address, page: GRANULE });
            }
        }
        let length = DmaError::Length { len, page: GRANULE };
        let range = IovaRange::new(iova, len).filter(|_| len.is_multiple_of(GRANULE)).ok_or(length)?;
        let Addressing::Translated(usable) = &self.caps.addressing else {
            return Err(DmaError::MixedAddressing);
        };
        if !usable.iter().any(|usable| usable.contains(range)) {
            return Err(DmaError::IovaReserved { range });
        }
        let mut table = self.table.write();
        let at = table.partition_point(|entry| entry.first < iova.0);
        let neighbours = at.saturating_sub(1)..table.len().min(at + 1);
        if table[neighbours].iter().any(|entry| entry.range().overlaps(range)) {
            return Err(DmaError::IovaInUse { range });
        }
        if let Some(limit) = self.caps.max_mappings
            && table.len() >= limit as usize
        {
            return Err(DmaError::EntryLimit { limit });
        }
        table.insert(at, Entry { first: iova.0, len, ptr, access: mapping.access() });
        Ok(())
    }

    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError> {
        self.check_present()?;
        let mut table = self.table.write();
        let at = table.partition_point(|entry| entry.first < iova.0);
        if table.get(at).is_none_or(|entry| entry.first != iova.0 || entry.len != len) {
            return Err(DmaError::NotMapped { iova, len });
        }
        table.remove(at);
        // SAFETY: 1. no call of the model is under way, because this holds the lock that every call shares;
        // 2. later ones do not find the mapping in the table.
        Ok(Unmapped::Fenced(unsafe { Fence::new() }))
    }
}

/// Memory as the model sees it during one call.
pub(super) struct Bus<'a> {
    table: RwLockReadGuard<'a, Vec<Entry>>,
    mapper: &'a Mapper,
    /// The two entries that were hit last: a model goes back and forth between its descriptors and the buffers.
    recent: [Cell<usize>; 2],
}

/// What an access needs the right for.
#[derive(Clone, Copy, PartialEq)]
enum Right {
    Read,
    Write,
}

impl Right {
    #[inline]
    fn given(self, access: DmaAccess) -> bool {
        match self {
            Right::Read => access.reads(),
            Right::Write => access.writes(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
        }
    }
}

impl Bus<'_> {
    /// Returns where `iova` is in this process, and how many bytes follow there, itself included.
    #[inline]
    fn find(&self, iova: u64, right: Right) -> Result<(NonNull<u8>, u64), Miss> {
        let [first, second] = &self.recent;
        let hit = |at: &Cell<usize>| {
            let entry = self.table.get(at.get())?;
            Some((entry, entry.offset(iova)?))
        };
        let found = hit(first).or_else(|| {
            first.swap(second);
            hit(first)
        });
        let (entry, offset) = match found {
            Some(found) => found,
            None => self.search(iova).ok_or(Miss::Nothing)?,
        };
        if !right.given(entry.access) {
            return Err(Miss::Right);
        }
        // SAFETY: `offset` is below the mapping's length, and the mapping is live as long as `table` is held:
        // it leaves the table before its memory is freed.
        Ok((unsafe { entry.ptr.add(offset as usize) }, entry.len - offset))
    }

    #[cold]
    fn search(&self, iova: u64) -> Option<(&Entry, u64)> {
        let at = self.table.partition_point(|entry| entry.first <= iova).checked_sub(1)?;
        let entry = self.table.get(at)?;
        let offset = entry.offset(iova)?;
        self.recent[0].set(at);
        Some((entry, offset))
    }

    #[inline]
    fn check_master(&self, iova: u64) -> Result<(), DmaFault> {
        let on = self.mapper.master.load(Ordering::Relaxed) && !self.mapper.gone.load(Ordering::Relaxed);
        if on { Ok(()) } else { Err(DmaFault::NotBusMaster { iova }) }
    }

    /// Returns the pointer to an aligned word of `T`.
    #[inline]
    fn word<T>(&self, iova: u64, right: Right) -> Result<NonNull<T>, DmaFault> {
        self.check_master(iova)?;
        let bytes = size_of::<T>();
        if !iova.is_multiple_of(bytes as u64) {
            return Err(DmaFault::Unaligned { iova });
        }
        // Mappings are whole, aligned pages on both sides, so the word is aligned and inside.
        let (at, _) = self.find(iova, right).map_err(|miss| miss.fault(iova, bytes, right))?;
        Ok(at.cast())
    }

    /// Calls `piece` for each part of a range that is in one mapping: with its pointer, where it starts in the
    /// range, and its length. All of the range is checked before the first call.
    #[cold]
    fn pieces(
        &self,
        iova: u64,
        len: usize,
        right: Right,
        mut piece: impl FnMut(NonNull<u8>, usize, usize),
    ) -> Result<(), DmaFault> {
        for check in [true, false] {
            let mut at = 0;
            while at < len {
                let here = iova.checked_add(at as u64).ok_or(DmaFault::NotMapped { iova, len })?;
                let (ptr, left) = self.find(here, right).map_err(|miss| miss.fault(iova, len, right))?;
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(len - at);
                if !check {
                    piece(ptr, at, part);
                }
                at += part;
            }
        }
        Ok(())
    }
}

/// Why an address was not found.
enum Miss {
    Nothing,
    Right,
}

impl Miss {
    #[cold]
    fn fault(self, iova: u64, len: usize, right: Right) -> DmaFault {
        match self {
            Miss::Nothing => DmaFault::NotMapped { iova, len },
            Miss::Right => DmaFault::Protection { iova, access: right.name() },
        }
    }
}

impl DmaBus for Bus<'_> {
    fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        self.check_master(iova)?;
        if let Ok((at, left)) = self.find(iova, Right::Read)
            && data.len() as u64 <= left
        {
            // SAFETY: 1. `left` bytes at `at` are mapped, as long as `table` is held; 2. whoever writes them
            // meanwhile does so atomically, or is ordered against the model by a doorbell or a descriptor word.
            unsafe { copy_out(at, data) };
            return Ok(());
        }
        self.pieces(iova, data.len(), Right::Read, |at, start, len| {
            // SAFETY: as above, for `len` bytes.
            unsafe { copy_out(at, &mut data[start..start + len]) }
        })
    }

    fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaFault> {
        self.check_master(iova)?;
        if let Ok((at, left)) = self.find(iova, Right::Write)
            && data.len() as u64 <= left
        {
            // SAFETY: as in `read`.
            unsafe { copy_in(data, at) };
            return Ok(());
        }
        self.pieces(iova, data.len(), Right::Write, |at, start, len| {
            // SAFETY: as in `read`, for `len` bytes.
            unsafe { copy_in(&data[start..start + len], at) }
        })
    }

    fn load(&self, iova: u64) -> Result<u64, DmaFault> {
        let word = self.word::<AtomicU64>(iova, Right::Read)?;
        // SAFETY: `word` found it aligned, and mapped as long as `table` is held.
        Ok(u64::from_le(unsafe { word.as_ref() }.load(Ordering::Acquire)))
    }

    fn store(&self, iova: u64, word: u64) -> Result<(), DmaFault> {
        let at = self.word::<AtomicU64>(iova, Right::Write)?;
        // SAFETY: as in `load`.
        unsafe { at.as_ref() }.store(word.to_le(), Ordering::Release);
        Ok(())
    }

    fn store32(&self, iova: u64, word: u32) -> Result<(), DmaFault> {
        let at = self.word::<AtomicU32>(iova, Right::Write)?;
        // SAFETY: as in `load`.
        unsafe { at.as_ref() }.store(word.to_le(), Ordering::Release);
        Ok(())
    }

    fn is_master(&self) -> bool {
        self.check_master(0).is_ok()
    }

    fn info(&self, iova: u64) -> Option<DmaRange> {
        let (entry, _) = self.search(iova)?;
        let (readable, writable) = (entry.access.reads(), entry.access.writes());
        Some(DmaRange { iova: entry.first, len: entry.len, readable, writable, file: false, page: GRANULE })
    }
}
