//! Counters of queues: the device's 16, and those of rings.

use core::sync::atomic::{AtomicU64, Ordering};

use super::super::queues::{Count, Rings};
use super::*;

#[test]
fn each_queue_has_its_counter_as_long_as_16_suffice() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let counters = |rx: bool, queues: core::ops::Range<usize>| -> Vec<u32> {
        let map = |queue: usize| {
            let word = if rx {
                registers.get::<RQSMR>(queue / 4).bits()
            } else {
                registers.get::<TQSM>(queue / 4).bits()
            };
            word >> (8 * (queue % 4)) & 0xff
        };
        queues.map(map).collect()
    };
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 16], vec![Arc::default(); 17]).unwrap();
    assert_eq!(counters(true, 0..16), (0..16).collect::<Vec<u32>>());
    assert_eq!(counters(false, 0..15), (0..15).collect::<Vec<u32>>());
    assert!(counters(false, 15..128).iter().all(|counter| *counter == 15), "the others share the last");
}

#[test]
fn queues_that_share_a_counter_have_what_their_rings_counted() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    strip(registers, true);
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 20], vec![Arc::default(); 20]).unwrap();
    registers.set(14, QPRC::new(3));
    registers.set(15, QPRC::new(5));
    registers.set(15, QPTC::new(6));
    stats.update(&mut hw).unwrap();
    let all = xstats(&stats);
    assert_eq!(stats.basic().ipackets, 8, "the sum is complete");
    assert_eq!((all["rx_q14_packets"], all["rx_q15_packets"], all["tx_q15_packets"]), (3, 0, 0));
    assert!(all.contains_key("rx_q14_errors") && !all.contains_key("rx_q15_errors"));
    assert!(all.contains_key("tx_q19_bytes") && !all.contains_key("tx_q20_bytes"));
}

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
