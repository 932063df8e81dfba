//! What a port's rings counted, over all its starts.
//!
//! A ring lives as long as its port runs; what it counted lives on in [`Rings`], by queue. [`Count`] is what a ring
//! counts. Statistics of drivers add these to what their device counts.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfio_hal::ring::{RxStats, TxStats};

/// What a ring counts.
pub trait Count: Default {
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
#[derive(Debug, Default)]
pub struct Rings<S> {
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
    /// Returns the counters of no rings yet.
    pub fn new() -> Rings<S> {
        Rings { rings: Vec::new(), queues: 0 }
    }

    /// Takes the rings of a new start, by queue.
    pub fn attach(&mut self, live: Vec<Arc<S>>) {
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
    pub fn reset(&mut self) {
        for ring in &mut self.rings {
            ring.carried = each([0; 4], ring.live.counts(), u64::wrapping_sub);
        }
    }

    /// Returns how many queues there are.
    pub fn queues(&self) -> usize {
        self.queues
    }

    /// Returns the counters of a queue, all 0 if there is no such queue.
    pub fn of(&self, queue: usize) -> [u64; 4] {
        self.rings.get(queue).map(Ring::counts).unwrap_or_default()
    }

    /// Returns the counters of all queues together, also of those that are no more.
    pub fn total(&self) -> [u64; 4] {
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A ring's counters, as a test can set them.
    #[derive(Default)]
    struct Fake([AtomicU64; 4]);

    impl Count for Fake {
        fn counts(&self) -> [u64; 4] {
            core::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
        }
    }

    impl Fake {
        fn set(&self, counts: [u64; 4]) {
            for (counter, count) in self.0.iter().zip(counts) {
                counter.store(count, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn what_rings_counted_outlives_them() {
        let mut rings = Rings::<Fake>::new();
        let (first, second) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
        rings.attach(vec![first.clone(), second.clone()]);
        first.set([10, 1000, 1, 0]);
        second.set([5, 500, 0, 2]);
        assert_eq!(rings.total(), [15, 1500, 1, 2]);

        // Started again, with fewer queues.
        let third = Arc::new(Fake::default());
        rings.attach(vec![third.clone()]);
        assert_eq!((rings.queues(), rings.total()), (1, [15, 1500, 1, 2]));
        third.set([1, 10, 0, 0]);
        first.set([99; 4]);
        assert_eq!((rings.of(0), rings.of(1), rings.of(2)), ([11, 1010, 1, 0], [5, 500, 0, 2], [0; 4]));

        rings.reset();
        assert_eq!(rings.total(), [0; 4]);
        third.set([4, 40, 0, 1]);
        assert_eq!(rings.total(), [3, 30, 0, 1]);
        // The same ring again is not counted twice.
        rings.attach(vec![third.clone()]);
        assert_eq!(rings.total(), [3, 30, 0, 1]);
    }
}
