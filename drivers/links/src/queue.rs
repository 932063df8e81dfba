//! A bounded queue of frames that keeps its buffers.
//!
//! What it does: after the first frames no allocation happens any more, as buffers go round between the queue, its
//! store of empty ones and the caller.
//! Key types: [`FrameQueue`].
//! Neighbours: [`Loopback`](crate::Loopback) is one, [`Impair`](crate::Impair) holds frames back in it, the packet
//! socket cuts large segments into it.

use std::collections::VecDeque;

/// A first-in first-out queue of frames.
#[derive(Default)]
pub(crate) struct FrameQueue {
    full: VecDeque<Vec<u8>>,
    empty: Vec<Vec<u8>>,
}

impl FrameQueue {
    pub(crate) fn len(&self) -> usize {
        self.full.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// Appends a copy of `frame`, and gives the copy to be changed.
    pub(crate) fn push(&mut self, frame: &[u8]) -> &mut Vec<u8> {
        let mut buffer = self.empty.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(frame);
        self.full.push_back(buffer);
        let last = self.full.len() - 1;
        &mut self.full[last]
    }

    /// The oldest frame.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.full.front().map(Vec::as_slice)
    }

    /// Moves the oldest frame into `frame`, whose buffer is kept for later. `false` when the queue is empty.
    pub(crate) fn pop(&mut self, frame: &mut Vec<u8>) -> bool {
        let Some(mut buffer) = self.full.pop_front() else {
            return false;
        };
        core::mem::swap(frame, &mut buffer);
        self.empty.push(buffer);
        true
    }

    /// Drops the oldest frame.
    pub(crate) fn drop_front(&mut self) {
        self.empty.extend(self.full.pop_front());
    }
}
