//! What a receive ring counts.

use core::sync::atomic::{AtomicU64, Ordering};

/// What a receive ring counted. Written by its owner once per burst, readable by anyone.
#[derive(Debug, Default)]
pub struct RxStats {
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) no_buffer: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl RxStats {
    /// Returns the packets handed to the application.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Returns their bytes, without the frame check sequence.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many polls left packets on the ring because the pool was empty.
    pub fn no_buffer(&self) -> u64 {
        self.no_buffer.load(Ordering::Relaxed)
    }

    /// Returns packets thrown away because the device wrote an impossible length or never ended them.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }
}
