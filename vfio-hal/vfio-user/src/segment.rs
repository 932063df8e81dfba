//! Scatter lists: client memory that a model holds on to.
//!
//! - [`Segment`] is a part of client memory in one mapping, from [`DmaBus::segments`]. While it lives, the mapping stays:
//!   a client that takes the memory back waits for it, and after a while gets `EBUSY`. Dropping it lets go.
//! - [`SegmentMemory`] is what a backend puts behind it.
//!
//! An access that is over at once needs none of this: [`DmaBus::read`] and [`DmaBus::write`] hold the mapping for as long
//! as they last.

use std::sync::Arc;

use crate::context::{DmaBus, DmaFault};

/// What a device wants to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaRight {
    /// Read it.
    Read,
    /// Write it, and read it where the mapping allows that.
    Write,
}

impl DmaRight {
    pub(crate) fn name(self) -> &'static str {
        match self {
            DmaRight::Read => "read",
            DmaRight::Write => "write",
        }
    }
}

/// Why there is no scatter list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The memory cannot be used.
    #[error(transparent)]
    Fault(#[from] DmaFault),
    /// It is in more mappings than the caller has room for.
    #[error("the memory is in {need} mappings: ask again with room for as many segments")]
    NeedMore {
        /// Segments that the list would have.
        need: usize,
    },
    /// The backend has no memory that can be held.
    #[error("this backend does not hold memory beyond a call: read and write it within the call")]
    Unsupported,
}

/// What a backend puts behind a [`Segment`]. Offsets count from the segment's start, and are inside of it.
pub trait SegmentMemory: Send + Sync {
    /// Copies out; `None` if this memory is only reached through the bus, `Some(false)` if it is gone.
    fn read(&self, at: u64, data: &mut [u8]) -> Option<bool>;

    /// Copies in, as [`read`](Self::read).
    fn write(&self, at: u64, data: &[u8]) -> Option<bool>;

    /// Tells the log of written pages, if one is kept.
    fn mark_dirty(&self, at: u64, len: u64);
}

/// A part of client memory, held.
#[derive(Clone)]
pub struct Segment {
    iova: u64,
    len: usize,
    right: DmaRight,
    memory: Arc<dyn SegmentMemory>,
}

impl Segment {
    /// Returns a segment, for a backend that found it allowed.
    pub fn new(iova: u64, len: usize, right: DmaRight, memory: Arc<dyn SegmentMemory>) -> Segment {
        Segment { iova, len, right, memory }
    }

    /// Returns the first bus address.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Returns the bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether it has no bytes; no backend gives such a segment.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether the memory is in reach of this process; otherwise each access is a message.
    pub fn is_direct(&self) -> bool {
        self.memory.read(0, &mut []).is_some()
    }

    /// Copies memory from offset `at` on into `data`, directly where the memory is in reach, by message otherwise.
    ///
    /// # Errors
    /// [`DmaFault`] when it is not all inside, bus mastering is off, or the client is gone.
    pub fn read(&self, bus: &dyn DmaBus, at: usize, data: &mut [u8]) -> Result<(), DmaFault> {
        let iova = self.check(bus, at, data.len())?;
        match self.memory.read(at as u64, data) {
            Some(true) => Ok(()),
            Some(false) => Err(DmaFault::NotMapped { iova, len: data.len() }),
            None => bus.read(iova, data),
        }
    }

    /// Copies `data` to memory from offset `at` on, and tells the log of written pages.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the segment was made for reading.
    pub fn write(&self, bus: &dyn DmaBus, at: usize, data: &[u8]) -> Result<(), DmaFault> {
        let iova = self.check(bus, at, data.len())?;
        if self.right != DmaRight::Write {
            return Err(DmaFault::Protection { iova, access: self.right.name() });
        }
        match self.memory.write(at as u64, data) {
            Some(true) => {
                self.memory.mark_dirty(at as u64, data.len() as u64);
                Ok(())
            }
            Some(false) => Err(DmaFault::NotMapped { iova, len: data.len() }),
            None => bus.write(iova, data),
        }
    }

    /// Tells the log of written pages that all of it is dirty, without letting go. Writes do so by themselves.
    pub fn mark_dirty(&self) {
        if self.right == DmaRight::Write {
            self.memory.mark_dirty(0, self.len as u64);
        }
    }

    fn check(&self, bus: &dyn DmaBus, at: usize, len: usize) -> Result<u64, DmaFault> {
        let iova = self.iova.wrapping_add(at as u64);
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(DmaFault::NotMapped { iova, len });
        }
        if bus.is_master() { Ok(iova) } else { Err(DmaFault::NotBusMaster { iova }) }
    }
}

impl core::fmt::Debug for Segment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Segment").field("iova", &self.iova).field("len", &self.len).finish_non_exhaustive()
    }
}
