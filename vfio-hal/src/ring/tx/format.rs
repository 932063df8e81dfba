//! What a driver says of its transmit descriptors: [`TxFormat`], the [`TxPlan`] that it makes of a packet, and the
//! [`TxError`] of a packet that cannot be sent.

use crate::dma::pool::Packet;

/// How a device is given transmit descriptors. Word 0 of a data descriptor is the buffer's address, which the kit
/// writes; word 1 is what these functions make.
pub trait TxFormat {
    /// The bit of a written-back word 1 that says that the device is done with the descriptor.
    const DONE: u64;
    /// The bit of word 1 that asks the device to write back.
    const REPORT: u64;
    /// The bit of word 1 that says that the packet ends here.
    const END: u64;
    /// The bits of word 1 that tell a context descriptor from one with an address, and their value in a context.
    const KIND: (u64, u64);
    /// The longest segment that one descriptor can carry, in bytes.
    const MAX_SEGMENT: u32;
    /// The most descriptors one packet may take, context included.
    const MAX_DESCRIPTORS: u32;

    /// Returns word 1 for a packet of one segment without offloads, `END` included.
    fn plain(len: u32) -> u64;

    /// Returns what to write for a packet that has offloads or several segments.
    fn plan(packet: &Packet) -> Result<TxPlan, TxError>;

    /// Returns word 1 for a segment of `len` bytes, without `END`.
    fn segment(plan: &TxPlan, len: u32) -> u64;
}

/// What a driver makes of one packet's offload requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxPlan {
    /// A context descriptor to write first; the kit sets the bits of [`TxFormat::KIND`].
    pub context: Option<[u64; 2]>,
    /// What all data descriptors of the packet have in common.
    pub common: u64,
}

/// Why a packet was refused. It stays at the front of the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// The device is gone.
    #[error("the device is gone: it was removed, or the process that served it ended")]
    Lost,
    /// The queue is stopped.
    #[error("the queue is stopped: start it first")]
    Stopped,
    /// The buffer is mapped in another address space than the ring.
    #[error(
        "the packet's buffer belongs to another IOVA space than the queue: copy it, or put both devices in one space"
    )]
    ForeignSpace,
    /// A packet without bytes.
    #[error("the packet has an empty segment")]
    Empty,
    /// Too long for a descriptor or the device.
    #[error("a segment of {len} bytes is longer than the device can send ({max})")]
    TooLong {
        /// Its length in bytes.
        len: u32,
        /// The most the device takes.
        max: u32,
    },
    /// More segments than the device takes.
    #[error("the packet needs {need} descriptors, the device takes {max}: copy it into fewer buffers")]
    TooManySegments {
        /// Descriptors needed.
        need: u32,
        /// The most.
        max: u32,
    },
    /// An offload request that makes no sense.
    #[error("the offload request cannot be met: {reason}")]
    Offload {
        /// Why.
        reason: &'static str,
    },
}
