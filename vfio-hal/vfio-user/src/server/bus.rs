//! The model's way to client memory.
//!
//! A bus address is looked up in the [`Table`](super::dma::Table) and is reached in this process, through the
//! client's file, or by message. What was found last is remembered, because a model goes back and forth between
//! its descriptors and the buffers.

use std::sync::Arc;

use super::core::Core;
use super::dirty::Log;
use super::dma::{Entry, Place};
use crate::context::{DmaBus, DmaFault, DmaRange};
use crate::memory::View;
use crate::segment::{DmaRight, Segment, SegmentError, SegmentMemory};

/// An entry that was hit, with its view.
pub(super) struct Recent {
    first: u64,
    len: u64,
    readable: bool,
    writable: bool,
    view: Arc<View>,
    generation: u64,
}

impl Core {
    #[inline]
    fn check_master(&self, iova: u64) -> Result<(), DmaFault> {
        if self.master.get() { Ok(()) } else { Err(DmaFault::NotBusMaster { iova }) }
    }

    /// Calls `use_it` with the view that holds all of a range, if it is one of those hit last.
    #[inline]
    fn recent<R>(
        &self,
        iova: u64,
        len: usize,
        right: DmaRight,
        use_it: impl FnOnce(&View, u64) -> R,
    ) -> Option<R> {
        let mut recent = self.recent.borrow_mut();
        let generation = self.table.generation();
        for attempt in 0..2 {
            if let Some(hit) = &recent[0] {
                let offset = iova.wrapping_sub(hit.first);
                let allowed = if right == DmaRight::Read { hit.readable } else { hit.writable };
                if offset < hit.len
                    && hit.len - offset >= len as u64
                    && allowed
                    && hit.generation == generation
                {
                    return Some(use_it(&hit.view, offset));
                }
            }
            if attempt == 0 {
                recent.swap(0, 1);
            }
        }
        None
    }

    /// Returns the mappings that a range is in, each with the offset in it, where its part starts in the range, and that
    /// part's length.
    #[cold]
    fn parts(&self, iova: u64, len: usize, right: DmaRight) -> Result<Vec<Part>, DmaFault> {
        let missing = DmaFault::NotMapped { iova, len };
        let mut parts = Vec::new();
        let mut start = 0;
        while start < len {
            let here = iova.checked_add(start as u64).ok_or(missing)?;
            let entry = self.table.find(here).ok_or(missing)?;
            let allowed = if right == DmaRight::Read { entry.readable } else { entry.writable };
            if !allowed {
                return Err(DmaFault::Protection { iova: here, access: right.name() });
            }
            let offset = here - entry.first;
            let len = usize::try_from(entry.len - offset).unwrap_or(usize::MAX).min(len - start);
            parts.push(Part { entry, offset, start, len });
            start += len;
        }
        Ok(parts)
    }

    /// Calls `piece` for each part of a range that is in one mapping: with its place, its bus address, where it
    /// starts in the range, and its length. All of the range is checked before the first call.
    #[cold]
    fn pieces(
        &self,
        iova: u64,
        len: usize,
        right: DmaRight,
        mut piece: impl FnMut(Place, u64, usize, usize) -> bool,
    ) -> Result<(), DmaFault> {
        for Part { entry, offset, start, len: part } in self.parts(iova, len, right)? {
            let place = self.table.place(&entry, offset);
            if let Place::Here(view, _) = &place {
                self.remember(&entry, view);
            }
            if !piece(place, entry.first + offset, start, part) {
                return Err(DmaFault::NotMapped { iova, len });
            }
        }
        Ok(())
    }

    fn remember(&self, entry: &Entry, view: &Arc<View>) {
        let mut recent = self.recent.borrow_mut();
        recent.swap(0, 1);
        recent[0] = Some(Recent {
            first: entry.first,
            len: entry.len,
            readable: entry.readable,
            writable: entry.writable,
            view: view.clone(),
            generation: self.table.generation(),
        });
    }

    /// Writes `data`, already found allowed, where it belongs.
    fn put(&self, place: &Place, address: u64, data: &[u8]) -> bool {
        match place {
            Place::Here(view, at) => view.write(*at, data),
            Place::File(file) => file.write(data),
            Place::Message => self.message_write(address, data),
        }
    }

    fn get(&self, place: &Place, address: u64, data: &mut [u8]) -> bool {
        match place {
            Place::Here(view, at) => view.read(*at, data),
            Place::File(file) => file.read(data),
            Place::Message => self.message_read(address, data),
        }
    }

    fn word(&self, iova: u64, bytes: usize) -> Result<(), DmaFault> {
        self.check_master(iova)?;
        if iova.is_multiple_of(bytes as u64) { Ok(()) } else { Err(DmaFault::Unaligned { iova }) }
    }
}

impl DmaBus for Core {
    fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        self.check_master(iova)?;
        if self.recent(iova, data.len(), DmaRight::Read, |view, at| view.read(at, data)) == Some(true) {
            return Ok(());
        }
        self.pieces(iova, data.len(), DmaRight::Read, |place, address, start, len| {
            self.get(&place, address, &mut data[start..start + len])
        })
    }

    fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaFault> {
        self.check_master(iova)?;
        if self.recent(iova, data.len(), DmaRight::Write, |view, at| view.write(at, data)) != Some(true) {
            self.pieces(iova, data.len(), DmaRight::Write, |place, address, start, len| {
                self.put(&place, address, &data[start..start + len])
            })?;
        }
        self.log.mark(iova, data.len() as u64);
        Ok(())
    }

    fn load(&self, iova: u64) -> Result<u64, DmaFault> {
        self.word(iova, 8)?;
        if let Some(Some(word)) = self.recent(iova, 8, DmaRight::Read, |view, at| view.load(at)) {
            return Ok(u64::from_le(word));
        }
        let mut word = 0;
        self.pieces(iova, 8, DmaRight::Read, |place, address, _, _| {
            let mut bytes = [0; 8];
            let there = match &place {
                Place::Here(view, at) => view.load(*at).map(u64::to_ne_bytes),
                _ => self.get(&place, address, &mut bytes).then_some(bytes),
            };
            word = there.map_or(0, u64::from_ne_bytes);
            there.is_some()
        })?;
        Ok(u64::from_le(word))
    }

    fn store(&self, iova: u64, word: u64) -> Result<(), DmaFault> {
        self.word(iova, 8)?;
        let word = word.to_le();
        if self.recent(iova, 8, DmaRight::Write, |view, at| view.store(at, word)) != Some(true) {
            self.pieces(iova, 8, DmaRight::Write, |place, address, _, _| match &place {
                Place::Here(view, at) => view.store(*at, word),
                _ => self.put(&place, address, &word.to_ne_bytes()),
            })?;
        }
        self.log.mark(iova, 8);
        Ok(())
    }

    fn store32(&self, iova: u64, word: u32) -> Result<(), DmaFault> {
        self.word(iova, 4)?;
        let word = word.to_le();
        if self.recent(iova, 4, DmaRight::Write, |view, at| view.store32(at, word)) != Some(true) {
            self.pieces(iova, 4, DmaRight::Write, |place, address, _, _| match &place {
                Place::Here(view, at) => view.store32(*at, word),
                _ => self.put(&place, address, &word.to_ne_bytes()),
            })?;
        }
        self.log.mark(iova, 4);
        Ok(())
    }

    fn is_master(&self) -> bool {
        self.master.get()
    }

    fn info(&self, iova: u64) -> Option<DmaRange> {
        self.table.find(iova).map(|entry| entry.range())
    }

    fn segments(
        &self,
        iova: u64,
        len: usize,
        right: DmaRight,
        max: usize,
    ) -> Result<Vec<Segment>, SegmentError> {
        self.check_master(iova)?;
        let parts = self.parts(iova, len, right)?;
        if parts.len() > max {
            return Err(SegmentError::NeedMore { need: parts.len() });
        }
        let segment = |Part { entry, offset, start, len }: Part| {
            let place = self.table.place(&entry, offset);
            let held = Held { entry, offset, place, log: self.log.clone() };
            Segment::new(iova + start as u64, len, right, Arc::new(held))
        };
        Ok(parts.into_iter().map(segment).collect())
    }
}

/// A part of a range in one mapping.
struct Part {
    entry: Arc<Entry>,
    offset: u64,
    start: usize,
    len: usize,
}

/// What a segment holds.
struct Held {
    entry: Arc<Entry>,
    /// Where the segment starts in the mapping.
    offset: u64,
    place: Place,
    log: Arc<Log>,
}

impl SegmentMemory for Held {
    fn read(&self, at: u64, data: &mut [u8]) -> Option<bool> {
        if self.entry.is_gone() {
            return Some(false);
        }
        match &self.place {
            // The bus says what is wrong.
            _ if !self.entry.readable => None,
            Place::Here(view, start) => Some(view.read(start + at, data)),
            Place::File(file) => Some(file.after(at).read(data)),
            Place::Message => None,
        }
    }

    fn write(&self, at: u64, data: &[u8]) -> Option<bool> {
        if self.entry.is_gone() {
            return Some(false);
        }
        match &self.place {
            Place::Here(view, start) => Some(view.write(start + at, data)),
            Place::File(file) => Some(file.after(at).write(data)),
            Place::Message => None,
        }
    }

    fn mark_dirty(&self, at: u64, len: u64) {
        self.log.mark(self.entry.first + self.offset + at, len);
    }
}
