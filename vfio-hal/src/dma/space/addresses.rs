//! Which addresses a space hands out, and when again.

use alloc::collections::VecDeque;

use crate::addr::{Iova, IovaRange};
use crate::dma::DmaError;
use crate::dma::iova::IovaAllocator;

/// How many freed addresses are kept out of use for a while.
const RESTING: usize = 1024;

pub(super) struct Addresses {
    base: Iova,
    allocator: IovaAllocator,
    /// Ranges that are unmapped and free, but whose numbers some device may still hold in a register or a stale
    /// descriptor: reused last, so that such a device faults instead of writing into somebody else's memory.
    resting: VecDeque<Iova>,
}

impl Addresses {
    pub(super) fn new(base: Iova, limit: IovaRange) -> Addresses {
        Addresses { base, allocator: IovaAllocator::new(&[limit]), resting: VecDeque::new() }
    }

    pub(super) fn usable(&self) -> &[IovaRange] {
        self.allocator.usable()
    }

    /// Changes what may be handed out; refused if something that is not just resting lies outside.
    pub(super) fn set_usable(&mut self, usable: &[IovaRange]) -> Result<(), DmaError> {
        self.wake();
        self.allocator.set_usable(usable)
    }

    /// Takes a range anywhere.
    pub(super) fn take(&mut self, len: u64, align: u64) -> Result<Iova, DmaError> {
        match self.allocator.allocate(len, align, self.base, None) {
            Err(DmaError::IovaExhausted { .. }) if !self.resting.is_empty() => {
                self.wake();
                self.allocator.allocate(len, align, self.base, None)
            }
            other => other,
        }
    }

    /// Takes exactly a range. The caller insists, so it may be a resting one.
    pub(super) fn take_at(&mut self, range: IovaRange) -> Result<(), DmaError> {
        self.wake();
        self.allocator.allocate_at(range, None)
    }

    /// Gives a range back that no device was told of.
    // What was taken is known to the allocator, so none of these can fail.
    pub(super) fn give_back(&mut self, iova: Iova) {
        let _ = self.allocator.release(iova);
    }

    /// Gives a range back that a device was told of.
    pub(super) fn rest(&mut self, iova: Iova) {
        self.resting.push_back(iova);
        if self.resting.len() > RESTING
            && let Some(oldest) = self.resting.pop_front()
        {
            self.give_back(oldest);
        }
    }

    /// Gives a range up that a device may still use.
    pub(super) fn retire(&mut self, iova: Iova) {
        let _ = self.allocator.retire(iova);
    }

    fn wake(&mut self) {
        while let Some(iova) = self.resting.pop_front() {
            self.give_back(iova);
        }
    }
}
