//! What an in-place forwarder counts.

use core::sync::atomic::{AtomicU64, Ordering};

/// What a forwarder counted. Written by its owner once per burst, readable by anyone.
#[derive(Debug, Default)]
pub struct InPlaceStats {
    pub(super) received: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl InPlaceStats {
    /// Returns the packets shown to the closure.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Returns their bytes, without the frame check sequence.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the packets that the closure sent nowhere.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns descriptors with an impossible length, or parts of a packet longer than a buffer; sent nowhere.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }
}
