//! What a transmit ring counts.

use core::sync::atomic::{AtomicU64, Ordering};

/// What a transmit ring counted. Written by its owner once per burst, readable by anyone.
#[derive(Debug, Default)]
pub struct TxStats {
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl TxStats {
    /// Returns the packets given to the device.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Returns their bytes, without the frame check sequence.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many bursts left packets because the ring was full.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Returns how many packets were refused with a [`TxError`](super::TxError).
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
