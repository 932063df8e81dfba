//! What a driver says of its receive descriptors: [`RxFormat`]; and why a queue gives nothing: [`RxError`].

use crate::dma::pool::RxInfo;

/// How a device writes back a receive descriptor. The kit gives the device a descriptor as the buffer's address
/// in word 0 and zero in word 1.
pub trait RxFormat {
    /// The bit of word 1 that says that the device is done with the descriptor.
    const DONE: u64;
    /// The bit of word 1 that says that the packet ends here.
    const END: u64;
    /// Bits of word 1 that ask for a call of [`rarity`](Self::rarity).
    const RARE: u64 = 0;

    /// Returns the bytes written to the buffer.
    fn len(words: [u64; 2]) -> u32;

    /// Returns what the device says of the packet; asked of its last descriptor.
    fn info(words: [u64; 2]) -> RxInfo;

    /// Returns which descriptor goes on with a packet that does not end in this one; `None` is the one behind it. Only large
    /// receive offload has others between.
    fn next(words: [u64; 2]) -> Option<u32> {
        let _ = words;
        None
    }

    /// Corrects `info` where a [`RARE`](Self::RARE) bit is set, and returns the mark of a flow rule.
    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32 {
        let _ = (words, info);
        0
    }
}

/// Why a queue gives no packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RxError {
    /// The device is gone.
    #[error("the device is gone: it was removed, or the process that served it ended")]
    Lost,
    /// The queue is stopped.
    #[error("the queue is stopped: start it first")]
    Stopped,
    /// The cache's pool is not the queue's. Its buffers may not even be mapped for the device.
    #[error("the cache belongs to another pool than the queue: make it with the queue's pool")]
    ForeignCache,
}
