//! What a transmit ring remembers of a descriptor.

use core::ptr::NonNull;

use crate::dma::pool::{Buf, Packet, SharedBuf};

/// One buffer on the ring, or none where a context descriptor is. The lowest bit marks a [`SharedBuf`].
pub(super) type Slot = *mut Packet;

pub(super) const SHARED: usize = 1;

/// Takes what is on a descriptor off it: a packet with one owner, nothing, or a clone, which is let go here.
pub(super) fn take_slot(slot: Slot) -> Option<Buf> {
    let shared = slot.addr() & SHARED != 0;
    let packet = NonNull::new(slot.map_addr(|addr| addr & !SHARED))?;
    if shared {
        // SAFETY: `burst_shared` put the clone's count here, and the slot is empty now.
        drop(unsafe { SharedBuf::from_raw(packet) });
        return None;
    }
    // SAFETY: the ring owned the packet, and the slot is empty now; the device is done with it, or stopped.
    Some(unsafe { Buf::from_raw(packet) })
}

/// Counts what is on a descriptor as left to a device that may still read it.
pub(super) fn leak_slot(slot: Slot) {
    // SAFETY: the ring owns what is on a descriptor, or a count of it, and never gives it up.
    let packet = NonNull::new(slot.map_addr(|addr| addr & !SHARED)).map(|packet| unsafe { packet.as_ref() });
    for segment in packet.iter().flat_map(|packet| packet.segments()) {
        // SAFETY: a packet that is out of its pool keeps the pool alive.
        unsafe { segment.pool.as_ref() }.count_leaked(1);
    }
}
