//! Counters of queues: the device has 16, the driver one set for each queue.
//!
//! RQSMR and TQSM say which of the device's 16 counters a queue counts into (82599 datasheet 8.2.3.23.71 and .73). As
//! long as they suffice each queue has its own. With more queues than 16 each way, queues 0 to 14 keep theirs and the
//! others share the last, so that sums over all counters stay complete; numbers of a single queue of those come from
//! the driver's rings, which count what they handed to the application ([`RxStats`]) and took from it ([`TxStats`]).

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfio_hal::pmd::PortError;
use vfio_hal::ring::{RxStats, TxStats};

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

/// What a ring counts.
pub(super) trait Count: Default {
    /// Returns its counters, in an order of its own.
    fn counts(&self) -> [u64; 4];
}

/// Packets and bytes handed to the application, polls that found no buffer, packets thrown away.
impl Count for RxStats {
    fn counts(&self) -> [u64; 4] {
        [self.packets(), self.bytes(), self.no_buffer(), self.malformed()]
    }
}

/// Packets and bytes given to the device, bursts that found the ring full, packets refused.
impl Count for TxStats {
    fn counts(&self) -> [u64; 4] {
        [self.packets(), self.bytes(), self.full(), self.refused()]
    }
}

/// The counters of one direction's rings since the statistics were reset, by queue. A ring lives as long as its port
/// runs; what it counted lives on here.
#[derive(Debug)]
pub(super) struct Rings<S> {
    rings: Vec<Ring<S>>,
    /// How many queues there are; earlier starts may have had more.
    queues: usize,
}

#[derive(Debug, Default)]
struct Ring<S> {
    live: Arc<S>,
    /// What goes on top of what the ring counts: earlier rings of the queue, less what was reset. Wraps.
    carried: [u64; 4],
}

impl<S: Count> Rings<S> {
    pub(super) fn new() -> Rings<S> {
        Rings { rings: Vec::new(), queues: 0 }
    }

    /// Takes the rings of a new start, by queue.
    pub(super) fn attach(&mut self, live: Vec<Arc<S>>) {
        self.queues = live.len();
        let queues = self.rings.len().max(live.len());
        self.rings.resize_with(queues, Ring::default);
        let live = live.into_iter().chain(core::iter::repeat_with(Arc::default));
        for (ring, live) in self.rings.iter_mut().zip(live) {
            // From here on `live` counts; what it has counted so far is not news.
            ring.carried = each(ring.counts(), live.counts(), u64::wrapping_sub);
            ring.live = live;
        }
    }

    /// Starts from 0. The rings count on; nobody but their owners writes what they count.
    pub(super) fn reset(&mut self) {
        for ring in &mut self.rings {
            ring.carried = each([0; 4], ring.live.counts(), u64::wrapping_sub);
        }
    }

    /// Returns how many queues there are.
    pub(super) fn queues(&self) -> usize {
        self.queues
    }

    /// Returns the counters of a queue, all 0 if there is no such queue.
    pub(super) fn of(&self, queue: usize) -> [u64; 4] {
        self.rings.get(queue).map(Ring::counts).unwrap_or_default()
    }

    /// Returns the counters of all queues together, also of those that are no more.
    pub(super) fn total(&self) -> [u64; 4] {
        self.rings.iter().fold([0; 4], |sum, ring| each(sum, ring.counts(), u64::wrapping_add))
    }
}

impl<S: Count> Ring<S> {
    fn counts(&self) -> [u64; 4] {
        each(self.carried, self.live.counts(), u64::wrapping_add)
    }
}

fn each(left: [u64; 4], right: [u64; 4], of: impl Fn(u64, u64) -> u64) -> [u64; 4] {
    core::array::from_fn(|at| of(left[at], right[at]))
}
