//! Large receive offload: the device puts TCP segments of one flow together (82599 datasheet 7.11, 4.6.7.2; there it is
//! receive-side coalescing, RSC).
//!
//! A packet is handed over when it is full, when a segment does not go on with it, or when the queue's interrupt would
//! be due: that is what [`INTERVAL`] is for. Packets of several flows lie between each other on the ring, which
//! [`RxFormat::next`](vfio_hal::ring::RxFormat::next) tells it.

use vfio_hal::DeviceError;

use crate::hw::Hw;
use crate::regs::{EITR, PSRTYPE, RFCTL, RSCCTL, RSCDBU};

/// How long a packet may wait for the next segment: 24 units of 2.048 µs, 49 µs (8.2.3.5.12). Long enough for 40
/// segments at 10 Gb/s, and short beside a round trip.
const INTERVAL: u32 = 24;

/// Returns the interrupt throttling of a receive queue's vector.
pub(crate) fn throttling(on: bool) -> EITR {
    EITR::default().with_itr_interval(if on { INTERVAL } else { 0 })
}

/// Lets all queues coalesce or none, before they are enabled.
pub(crate) fn setup(hw: &mut Hw, on: bool, queues: u16) -> Result<(), DeviceError> {
    // NFS headers are not looked for: they would cut a packet (4.6.7.2).
    hw.regs.modify(|rfctl: RFCTL| rfctl.with_rsc_dis(!on).with_nfsw_dis(on).with_nfsr_dis(on));
    if on {
        hw.regs.modify(|rscdbu: RSCDBU| rscdbu.with_rscackdis(true));
        for queue in 0..usize::from(queues) {
            // What is coalesced must have been recognised as TCP.
            hw.regs.at_mut::<PSRTYPE>(queue)?.modify(|psrtype| psrtype.with_tcp(true));
        }
    }
    hw.check()
}

/// Returns the control register of a queue with buffers of `kib` KiB. A packet is at most 64 KB - 1 long, whatever its
/// buffers (8.2.3.8.13).
pub(crate) fn control(on: bool, kib: u32) -> RSCCTL {
    let descriptors = match (64 * 1024 - 1) / (kib * 1024).max(1) {
        0..4 => 0,
        4..8 => 1,
        8..16 => 2,
        16.. => 3,
    };
    if on { RSCCTL::default().with_rscen(true).with_maxdesc(descriptors) } else { RSCCTL::default() }
}

/// Buffers that one queue may hold for packets that are not whole: 32 of up to 16 each.
pub(crate) const HELD: u32 = 32 * 16;
