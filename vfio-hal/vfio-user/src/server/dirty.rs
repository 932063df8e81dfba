//! Which pages the device wrote: the log that a migrating client asks for.
//!
//! - [`DirtyLog`] is what one client asked for. It is marked at every write of the model, whichever way the data go to
//!   the client, so that memory without a file is logged too.
//! - [`Log`] is where the model's writes find it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dma::PAGE;

/// Pages written since they were last reported.
#[derive(Debug)]
pub(super) struct DirtyLog {
    page: u64,
    /// First and last address of what is logged; nothing here logs all.
    ranges: Vec<(u64, u64)>,
    /// Numbers of pages.
    dirty: BTreeSet<u64>,
}

impl DirtyLog {
    /// Starts a log with pages as near to `page` bytes as there are.
    pub(super) fn new(page: u64, ranges: Vec<(u64, u64)>) -> DirtyLog {
        let page = if page.is_power_of_two() { page.max(PAGE) } else { PAGE };
        DirtyLog { page, ranges, dirty: BTreeSet::new() }
    }

    /// Returns the bytes of a page.
    pub(super) fn page(&self) -> u64 {
        self.page
    }

    fn mark(&mut self, first: u64, last: u64) {
        let logged = |(low, high): &(u64, u64)| first <= *high && last >= *low;
        if self.ranges.is_empty() || self.ranges.iter().any(logged) {
            self.dirty.extend(first / self.page..=last / self.page);
        }
    }

    /// Takes what is dirty in a range out of the log, as a bitmap of units of `unit` bytes from `first` on. The
    /// caller has bounded the range.
    pub(super) fn take(&mut self, first: u64, len: u64, unit: u64) -> Vec<u64> {
        let units = len.div_ceil(unit);
        let mut bitmap = vec![0u64; units.div_ceil(64) as usize];
        let last = first + (len - 1);
        let pages: Vec<u64> = self.dirty.range(first / self.page..=last / self.page).copied().collect();
        for page in pages {
            let from = (page * self.page).max(first) - first;
            let to = (page * self.page + (self.page - 1)).min(last) - first;
            for bit in from / unit..=to / unit {
                bitmap[(bit / 64) as usize] |= 1 << (bit % 64);
            }
            // A page that reaches out of the range is not reported in full.
            if page * self.page >= first && page * self.page + (self.page - 1) <= last {
                self.dirty.remove(&page);
            }
        }
        bitmap
    }
}

/// The log as its writers share it: the model's calls, and the segments that it holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// There is one. Kept apart, so that a write without one costs a load.
    on: AtomicBool,
    log: Mutex<Option<DirtyLog>>,
}

impl Log {
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Starts a log, or ends it. Returns the one before.
    pub(super) fn set(&self, log: Option<DirtyLog>) -> Option<DirtyLog> {
        let mut here = self.lock();
        self.on.store(log.is_some(), Ordering::Relaxed);
        std::mem::replace(&mut *here, log)
    }

    /// Calls `use_it` with the log, if there is one.
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&mut DirtyLog) -> R) -> Option<R> {
        self.lock().as_mut().map(use_it)
    }

    /// Marks a range as written.
    #[inline]
    pub(super) fn mark(&self, iova: u64, len: u64) {
        if self.is_on() {
            self.mark_slowly(iova, len);
        }
    }

    #[cold]
    fn mark_slowly(&self, iova: u64, len: u64) {
        if let Some(last) = len.checked_sub(1).and_then(|more| iova.checked_add(more)) {
            self.with(|log| log.mark(iova, last));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<DirtyLog>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
