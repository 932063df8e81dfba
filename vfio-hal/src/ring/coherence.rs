//! Payload between processor caches and devices that do not see them.
//!
//! [`Coherence`] is the devices of a space that need to be told; on x86, and wherever PCIe is coherent, there are none, and
//! a burst pays one test. Descriptors live in coherent memory everywhere. The rings call this once per burst.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::addr::Iova;
use crate::device::Device;
use crate::dma::IovaSpace;
use crate::dma::pool::Packet;

/// The devices of a space that do not see processor caches, as of when a ring was made.
pub(super) struct Coherence(Box<[Arc<dyn Device>]>);

impl Coherence {
    pub(super) fn of(space: &IovaSpace) -> Coherence {
        Coherence(space.incoherent_devices().into_boxed_slice())
    }

    /// Returns whether anybody needs to be told.
    #[inline(always)]
    pub(super) fn is_needed(&self) -> bool {
        !self.0.is_empty()
    }

    /// Makes what devices wrote to `packet`, all segments, visible to the processor.
    #[cold]
    pub(super) fn received(&self, packet: &Packet) {
        for segment in packet.segments() {
            self.for_cpu(segment.data_iova(), segment.len() as u64);
        }
    }

    /// Makes what the processor wrote to `packet`, all segments, visible to devices.
    #[cold]
    pub(super) fn sent(&self, packet: &Packet) {
        for segment in packet.segments() {
            self.for_device(segment.data_iova(), segment.len() as u64);
        }
    }

    // A function by itself, as is the other: `scripts/check-hot-path` lets the calls to the platform in here pass.
    #[inline(never)]
    pub(super) fn for_cpu(&self, iova: Iova, len: u64) {
        for device in &self.0 {
            device.dma().sync_for_cpu(iova, len);
        }
    }

    #[inline(never)]
    pub(super) fn for_device(&self, iova: Iova, len: u64) {
        for device in &self.0 {
            device.dma().sync_for_device(iova, len);
        }
    }
}
