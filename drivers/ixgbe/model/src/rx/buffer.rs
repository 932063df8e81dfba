//! The receive packet buffer: packets that wait for descriptors (datasheet 3.7.7.3, 7.1.2).
//!
//! One buffer of RXPBSIZE(n) bytes for each traffic class, first in, first out: a packet whose ring is empty holds up all behind it unless
//! its queue has SRRCTL.DROP_EN.
//!
//! Key types: [`PacketBuffer`]. Neighbours: [`Rx`](super::Rx) fills and empties it.

use std::collections::VecDeque;

use super::steer::Target;
use crate::shared::QUEUES;
use crate::state::{StateError, check, state};

/// The longest packet that can wait: a coalesced one.
const MAX_PACKET: usize = 1 << 16;

/// A packet in the buffer.
pub(crate) struct Waiting {
    pub(crate) target: Target,
    pub(crate) frame: Vec<u8>,
    /// Where the segments of a coalesced packet begin, empty for others.
    pub(crate) starts: Vec<usize>,
    /// RNBC was counted for it.
    pub(crate) counted: bool,
}

/// The buffer.
#[derive(Default)]
pub(crate) struct PacketBuffer {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Emptied frames, to be filled again.
    spare: Vec<Vec<u8>>,
}

/// Room a frame takes: the memory is organised in lines of 32 bytes.
fn room(frame: &[u8]) -> usize {
    frame.len().next_multiple_of(32)
}

state!(Waiting { target, frame, starts, counted });
state!(PacketBuffer { waiting, bytes } without { spare: Vec::new() });

impl PacketBuffer {
    /// Checks what came from outside.
    pub(crate) fn sound(&self, class: usize) -> Result<(), StateError> {
        let bytes: usize = self.waiting.iter().map(|waiting| room(&waiting.frame)).sum();
        check(bytes == self.bytes, "a packet buffer that does not hold what it counts")?;
        let fits = |waiting: &Waiting| {
            waiting.target.queue < QUEUES
                && waiting.target.class == class
                && waiting.target.meta.header <= waiting.frame.len()
                && waiting.frame.len() <= MAX_PACKET
        };
        check(self.waiting.iter().all(fits), "a waiting packet for no queue, or shorter than its header")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Packets in it.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a copy of a frame; `false` if it does not fit into `size` bytes.
    pub(crate) fn push(&mut self, target: Target, frame: &[u8], starts: &[usize], size: usize) -> bool {
        if self.bytes + room(frame) > size {
            return false;
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(frame);
        self.bytes += room(frame);
        self.waiting.push_back(Waiting { target, frame: copy, starts: starts.to_vec(), counted: false });
        true
    }

    /// The packet that is next.
    pub(crate) fn front(&mut self) -> Option<&mut Waiting> {
        self.waiting.front_mut()
    }

    /// Forgets the packet that is next.
    pub(crate) fn pop(&mut self) {
        if let Some(Waiting { frame, .. }) = self.waiting.pop_front() {
            self.bytes -= room(&frame);
            if self.spare.len() < 64 {
                self.spare.push(frame);
            }
        }
    }

    /// Forgets everything; returns how many packets that were.
    pub(crate) fn clear(&mut self) -> usize {
        self.bytes = 0;
        let lost = self.waiting.len();
        self.waiting.clear();
        lost
    }
}
