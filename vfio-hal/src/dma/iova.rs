//! Which addresses of a device's address space are free.
//!
//! [`IovaAllocator`] hands out ranges of the 64-bit space, anonymous or under a key, anywhere or at a given
//! address, and takes them back. Free ranges that touch are one range again.
//!
//! [`IovaSpace`](super::IovaSpace) keeps one; a platform that numbers its own bus addresses may too. It knows
//! nothing of memory and devices.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::DmaError;
use crate::addr::{Iova, IovaRange};

/// Hands out IOVA ranges, first fit.
#[derive(Clone, Debug)]
pub struct IovaAllocator {
    /// Sorted, disjoint, not touching.
    usable: Vec<IovaRange>,
    /// Usable and neither taken nor retired: first address to last, not touching.
    free: BTreeMap<u64, u64>,
    /// Taken: first address to last address and key.
    taken: BTreeMap<u64, (u64, Option<u64>)>,
    keys: BTreeMap<u64, u64>,
    /// Never handed out again: first address to last.
    retired: BTreeMap<u64, u64>,
}

impl IovaAllocator {
    /// Returns an allocator over `usable`, in any order; overlapping ranges count once.
    pub fn new(usable: &[IovaRange]) -> IovaAllocator {
        let mut new = IovaAllocator {
            usable: merge(usable.to_vec()),
            free: BTreeMap::new(),
            taken: BTreeMap::new(),
            keys: BTreeMap::new(),
            retired: BTreeMap::new(),
        };
        new.find_free();
        new
    }

    /// Returns what may be handed out at all: sorted, disjoint.
    pub fn usable(&self) -> &[IovaRange] {
        &self.usable
    }

    /// Changes what may be handed out. Refused with [`DmaError::IovaReserved`], naming the first range in the
    /// way, if something taken lies outside; nothing changes then.
    pub fn set_usable(&mut self, usable: &[IovaRange]) -> Result<(), DmaError> {
        let usable = merge(usable.to_vec());
        let outside = self.taken().find(|taken| !usable.iter().any(|range| range.contains(*taken)));
        if let Some(range) = outside {
            return Err(DmaError::IovaReserved { range });
        }
        self.usable = usable;
        self.find_free();
        Ok(())
    }

    /// Takes `len` bytes aligned to `align` (a power of two) at the lowest free place from `from` up, or if
    /// there is none, at the lowest below. Address 0 is never chosen: too much software takes it for "none".
    /// A key that is taken already answers [`DmaError::IovaInUse`].
    pub fn allocate(&mut self, len: u64, align: u64, from: Iova, key: Option<u64>) -> Result<Iova, DmaError> {
        if !align.is_power_of_two() {
            return Err(DmaError::Alignment { align });
        }
        if len == 0 {
            return Err(DmaError::Length { len, page: align });
        }
        self.check_key(key)?;
        let fit = |first: u64, last: u64, from: u64| -> Option<IovaRange> {
            let start = first.max(from).max(1).checked_next_multiple_of(align)?;
            let range = IovaRange::new(Iova(start), len)?;
            (range.last.0 <= last).then_some(range)
        };
        // The free range that holds `from` starts before it.
        let holding = self.free.range(..=from.0).next_back();
        let above = holding.into_iter().chain(self.free.range(from.0.saturating_add(1)..));
        let range = above
            .map(|(&first, &last)| (first, last, from.0))
            .chain(self.free.range(..=from.0).map(|(&first, &last)| (first, last, 0)))
            .find_map(|(first, last, from)| fit(first, last, from))
            .ok_or(DmaError::IovaExhausted { len, align })?;
        self.take(range, key);
        Ok(range.first)
    }

    /// Takes exactly `range`.
    pub fn allocate_at(&mut self, range: IovaRange, key: Option<u64>) -> Result<(), DmaError> {
        let usable = self.usable.iter().any(|usable| usable.contains(range));
        if range.last < range.first || !usable || overlapping(&self.retired, range).is_some() {
            return Err(DmaError::IovaReserved { range });
        }
        // Taken ranges are disjoint, so only the last one that starts in or before the range can reach it.
        let before = self.taken.range(..=range.last.0).next_back();
        if before.is_some_and(|(_, &(last, _))| last >= range.first.0) {
            return Err(DmaError::IovaInUse { range });
        }
        self.check_key(key)?;
        self.take(range, key);
        Ok(())
    }

    /// Gives back the range that starts at `first`, as a whole. [`DmaError::NotMapped`] if none does: it was
    /// never handed out, or given back before.
    pub fn release(&mut self, first: Iova) -> Result<IovaRange, DmaError> {
        let range = self.forget(first)?;
        let (mut low, mut high) = (range.first.0, range.last.0);
        if let Some((&first, &last)) = self.free.range(..low).next_back()
            && last.checked_add(1) == Some(low)
        {
            self.free.remove(&first);
            low = first;
        }
        if let Some(next) = high.checked_add(1)
            && let Some(last) = self.free.remove(&next)
        {
            high = last;
        }
        self.free.insert(low, high);
        Ok(range)
    }

    /// Gives back the range that starts at `first`, never to be handed out again: something may still use it.
    pub fn retire(&mut self, first: Iova) -> Result<IovaRange, DmaError> {
        let range = self.forget(first)?;
        self.retired.insert(range.first.0, range.last.0);
        Ok(range)
    }

    /// Returns the range taken under `key`.
    pub fn find(&self, key: u64) -> Option<IovaRange> {
        let first = *self.keys.get(&key)?;
        let &(last, _) = self.taken.get(&first)?;
        Some(IovaRange { first: Iova(first), last: Iova(last) })
    }

    /// Returns the taken range that holds `iova`, and its key.
    pub fn lookup(&self, iova: Iova) -> Option<(IovaRange, Option<u64>)> {
        let (&first, &(last, key)) = self.taken.range(..=iova.0).next_back()?;
        (iova.0 <= last).then_some((IovaRange { first: Iova(first), last: Iova(last) }, key))
    }

    /// Returns what is taken, in order.
    pub fn taken(&self) -> impl Iterator<Item = IovaRange> + '_ {
        self.taken.iter().map(|(&first, &(last, _))| IovaRange { first: Iova(first), last: Iova(last) })
    }

    /// Returns what is free, in order.
    pub fn free(&self) -> impl Iterator<Item = IovaRange> + '_ {
        self.free.iter().map(|(&first, &last)| IovaRange { first: Iova(first), last: Iova(last) })
    }

    fn check_key(&self, key: Option<u64>) -> Result<(), DmaError> {
        match key.and_then(|key| self.find(key)) {
            Some(range) => Err(DmaError::IovaInUse { range }),
            None => Ok(()),
        }
    }

    fn take(&mut self, range: IovaRange, key: Option<u64>) {
        self.taken.insert(range.first.0, (range.last.0, key));
        if let Some(key) = key {
            self.keys.insert(key, range.first.0);
        }
        carve(&mut self.free, range);
    }

    fn forget(&mut self, first: Iova) -> Result<IovaRange, DmaError> {
        let (last, key) = self.taken.remove(&first.0).ok_or(DmaError::NotMapped { iova: first, len: 0 })?;
        if let Some(key) = key {
            self.keys.remove(&key);
        }
        Ok(IovaRange { first, last: Iova(last) })
    }

    fn find_free(&mut self) {
        self.free = self.usable.iter().map(|range| (range.first.0, range.last.0)).collect();
        let taken: Vec<IovaRange> = self.taken().collect();
        let retired =
            self.retired.iter().map(|(&first, &last)| IovaRange { first: Iova(first), last: Iova(last) });
        for range in taken.into_iter().chain(retired) {
            carve(&mut self.free, range);
        }
    }
}

/// Sorts ranges and joins those that overlap or touch. What ends before it starts is left out.
fn merge(mut ranges: Vec<IovaRange>) -> Vec<IovaRange> {
    ranges.retain(|range| range.first <= range.last);
    ranges.sort_unstable();
    let mut merged: Vec<IovaRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(before) if range.first.0 <= before.last.0.saturating_add(1) => {
                before.last = before.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Returns an entry of `map` that shares an address with `range`.
fn overlapping(map: &BTreeMap<u64, u64>, range: IovaRange) -> Option<(u64, u64)> {
    let (&first, &last) = map.range(..=range.last.0).next_back()?;
    (last >= range.first.0).then_some((first, last))
}

/// Takes `range` out of the free ranges, as far as it is in them.
fn carve(free: &mut BTreeMap<u64, u64>, range: IovaRange) {
    while let Some((first, last)) = overlapping(free, range) {
        free.remove(&first);
        if let Some(before) = range.first.0.checked_sub(1)
            && first <= before
        {
            free.insert(first, before);
        }
        if let Some(after) = range.last.0.checked_add(1)
            && after <= last
        {
            free.insert(after, last);
        }
    }
}
