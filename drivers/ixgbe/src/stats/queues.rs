//! Counters of queues: the device has 16, the driver one set for each queue.
//!
//! RQSMR and TQSM say which of the device's 16 counters a queue counts into (82599 datasheet 8.2.3.23.71 and .73). As
//! long as they suffice each queue has its own. With more queues than 16 each way, queues 0 to 14 keep theirs and the
//! others share the last, so that sums over all counters stay complete; numbers of a single queue of those come from
//! the driver's rings, which count what they handed to the application and took from it ([`Rings`](pmd_intel::Rings)).

use vfio_hal::pmd::PortError;

use super::counters::QUEUES;
use crate::hw::Hw;
use crate::regs::{RQSMR, TQSM};

/// Queues that the maps hold: four to a register.
const MAPPED: usize = 128;

/// Returns the device's counter of a queue, in a port with `queues` of that direction.
fn counter(queue: usize, queues: usize) -> usize {
    own_counter(queue, queues).unwrap_or(QUEUES - 1)
}

/// Returns the device's counter of a queue if no other queue shares it.
pub(super) fn own_counter(queue: usize, queues: usize) -> Option<usize> {
    let own = if queues <= QUEUES { QUEUES } else { QUEUES - 1 };
    (queue < own).then_some(queue)
}

/// Tells the device which counter each queue counts into.
pub(super) fn map(hw: &mut Hw, rx: usize, tx: usize) -> Result<(), PortError> {
    let four = |first: usize, queues| [0, 1, 2, 3].map(|next| counter(first + next, queues) as u32);
    for register in 0..MAPPED / 4 {
        let [a, b, c, d] = four(4 * register, rx);
        let map = RQSMR::default().with_q_map0(a).with_q_map1(b).with_q_map2(c).with_q_map3(d);
        hw.regs.at::<RQSMR>(register)?.write(map);
        let [a, b, c, d] = four(4 * register, tx);
        let map = TQSM::default().with_q_map0(a).with_q_map1(b).with_q_map2(c).with_q_map3(d);
        hw.regs.at::<TQSM>(register)?.write(map);
    }
    Ok(hw.check()?)
}
