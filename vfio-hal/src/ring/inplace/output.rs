//! What an in-place forwarder is made of: the format of its descriptors, its outputs, and how a packet names them.

use crate::bar::Doorbell;
use crate::device::Lost;
use crate::ring::{Descriptors, WriteBack};

/// Descriptors that can be received and sent from the same place. The device reports how far it has sent by writing
/// its head to memory, and never changes word 0.
pub trait InPlaceFormat {
    /// The bits of word 1 that a received whole packet has: done and end.
    const RECEIVED: u64;
    /// The bit of [`RECEIVED`](Self::RECEIVED) that says done.
    const DONE: u64;
    /// The mask of the length, in the lowest bits of word 1 both ways.
    const LENGTH: u64;
    /// What word 1 has besides the length to send a packet. With length 0 the device skips the descriptor.
    const SEND: u64;
    /// The bit of word 1 that asks the device to write its head back.
    const REPORT: u64;
}

/// What to do with a packet: bit n sends it on output n. No bit drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs(pub u32);

impl Outputs {
    /// No output.
    pub const DROP: Outputs = Outputs(0);
    /// The first output.
    pub const FIRST: Outputs = Outputs(1);

    /// Returns all of the first `count` outputs.
    pub const fn all(count: u32) -> Outputs {
        Outputs(if count >= 32 { u32::MAX } else { (1 << count) - 1 })
    }
}

/// One transmit ring of a forwarder.
pub struct Output {
    /// Its descriptors; the first output shares the receive ring's and has none of its own.
    pub(super) ring: Option<Descriptors>,
    pub(super) tail: Doorbell,
    pub(super) head: WriteBack,
}

impl Output {
    /// Describes the first output, which shares the receive ring's descriptors.
    pub fn shared(tail: Doorbell, head: WriteBack) -> Output {
        Output { ring: None, tail, head }
    }

    /// Describes a further output with its own descriptors, as many as the receive ring has.
    pub fn own(ring: Descriptors, tail: Doorbell, head: WriteBack) -> Output {
        Output { ring: Some(ring), tail, head }
    }

    /// Returns the latch of the device.
    pub(super) fn lost(&self) -> &Lost {
        self.tail.lost()
    }
}
