//! Order and conservation under load from several threads, in a bounded number of values.
//!
//! Threads are spawned and joined, not scoped, and what they share is dropped after the join: a scope's end and the
//! last drop of an `Arc` synchronise by means that ThreadSanitizer only sees in a rebuilt standard library.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use vfio_hal::ring::{mpmc::Mpmc, spsc};

use crate::kit::{Ledger, Tracked, expected_panic};

/// Values per producer: enough for thousands of rounds, and a few seconds under ThreadSanitizer.
const VALUES: usize = 30_000;

/// A ring of (producer, value), and how many producers have finished.
struct Shared {
    ring: Mpmc<(usize, usize)>,
    finished: AtomicUsize,
}

impl Shared {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { ring: Mpmc::new(capacity).unwrap(), finished: AtomicUsize::new(0) })
    }

    /// Pushes producer `from`'s values in order, by turns one, three and up to five at a time.
    fn feed(&self, from: usize) {
        let mut next = 0;
        for round in 0.. {
            let before = next;
            if round % 3 == 0 && next + 3 <= VALUES {
                if self.ring.push_bulk([0, 1, 2].map(|part| (from, next + part))).is_ok() {
                    next += 3;
                }
            } else if round % 3 == 1 {
                self.ring.push_burst(5.min(VALUES - next), || {
                    next += 1;
                    (from, next - 1)
                });
            } else if self.ring.push((from, next)).is_ok() {
                next += 1;
            }
            if next == VALUES {
                break;
            }
            if next == before {
                thread::yield_now();
            }
        }
        self.finished.fetch_add(1, Ordering::Release);
    }

    /// Takes values by turns one at a time and in bursts until all `producers` have finished and the ring is empty;
    /// calls `check` with each.
    fn drain(&self, producers: usize, mut check: impl FnMut(usize, usize)) {
        for round in 0.. {
            // Read first: if the producers were done before the ring was seen empty, it stays empty.
            let last = self.finished.load(Ordering::Acquire) == producers;
            let got = if round % 3 == 0 {
                self.ring.pop().map_or(0, |(from, value)| {
                    check(from, value);
                    1
                })
            } else {
                self.ring.pop_burst(round % 7 + 1, |(from, value)| check(from, value))
            };
            if got == 0 {
                if last {
                    return;
                }
                thread::yield_now();
            }
        }
    }
}

#[test]
fn mpmc_keeps_order_and_values_between_two_threads() {
    // A ring of 2 never takes a bulk of 3; the other operations carry on.
    for capacity in [2, 8, 64] {
        let shared = Shared::new(capacity);
        let producer = {
            let shared = shared.clone();
            thread::spawn(move || shared.feed(0))
        };
        let mut expected = 0;
        shared.drain(1, |_, value| {
            assert_eq!(value, expected);
            expected += 1;
        });
        producer.join().unwrap();
        assert_eq!(expected, VALUES);
    }
}

#[test]
fn mpmc_keeps_order_and_values_between_two_producers_and_two_consumers() {
    let shared = Shared::new(16);
    let producers = [0, 1].map(|from| {
        let shared = shared.clone();
        thread::spawn(move || shared.feed(from))
    });
    let consumers = [(); 2].map(|()| {
        let shared = shared.clone();
        thread::spawn(move || {
            let mut seen = [vec![], vec![]];
            shared.drain(2, |from, value| seen[from].push(value));
            seen
        })
    });
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    let [mine, others] = consumers.map(|consumer| consumer.join().unwrap());
    for (mut values, others) in mine.into_iter().zip(others) {
        assert!(values.is_sorted() && others.is_sorted(), "each consumer sees each producer's order");
        values.extend(others);
        values.sort_unstable();
        assert!(values.into_iter().eq(0..VALUES), "every value once");
    }
    assert!(shared.ring.is_empty());
}

#[test]
fn a_bulk_is_not_interleaved_with_another_producers() {
    const BULKS: usize = VALUES / 4;
    let ring = Arc::new(Mpmc::new(16).unwrap());
    let producers = [0, 1].map(|from| {
        let ring = ring.clone();
        thread::spawn(move || {
            for number in 0..BULKS {
                let bulk = [0, 1, 2, 3].map(|part| (from, number, part));
                while ring.push_bulk(bulk).is_err() {
                    thread::yield_now();
                }
            }
        })
    });
    let mut next = [0; 2];
    for _ in 0..2 * BULKS {
        let mut bulk = vec![];
        while bulk.len() < 4 {
            match ring.pop() {
                Some(value) => bulk.push(value),
                None => thread::yield_now(),
            }
        }
        let (from, number, _) = bulk[0];
        assert_eq!(number, next[from]);
        assert_eq!(bulk, [0, 1, 2, 3].map(|part| (from, number, part)));
        next[from] += 1;
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
}

#[test]
fn mpmc_survives_panics_on_both_sides_under_load() {
    let ledger = Ledger::new(2 * VALUES);
    let ring = Arc::new(Mpmc::new(8).unwrap());
    let finished = Arc::new(AtomicUsize::new(0));
    let producers = [0, 1].map(|from| {
        let (ring, ledger, finished) = (ring.clone(), ledger.clone(), finished.clone());
        thread::spawn(move || {
            let mut next = from * VALUES;
            let end = next + VALUES;
            while next < end {
                let before = next;
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    ring.push_burst(4, || {
                        if next == end || next % 11 == 10 && next != before {
                            expected_panic();
                        }
                        next += 1;
                        Tracked::new(next - 1, &ledger)
                    })
                }));
                if next == before {
                    thread::yield_now();
                }
            }
            finished.fetch_add(1, Ordering::Release);
        })
    });
    let mut handed_out = 0_usize;
    loop {
        let last = finished.load(Ordering::Acquire) == 2;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            ring.pop_burst(5, |_value| {
                handed_out += 1;
                if handed_out.is_multiple_of(13) {
                    expected_panic();
                }
            })
        }));
        if matches!(outcome, Ok(0)) {
            if last {
                break;
            }
            thread::yield_now();
        }
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    // All of them before the ring is dropped: none was left behind in it.
    ledger.assert_settled(2 * VALUES);
    assert_eq!(ring.len(), 0);
    assert!(handed_out < 2 * VALUES, "no panic of the consumer cost a value, so none was tested");
}

#[test]
fn spsc_keeps_order_and_values_until_the_producer_is_gone() {
    for capacity in [2, 8, 64] {
        let (mut producer, mut consumer) = spsc::ring(capacity).unwrap();
        let thread = thread::spawn(move || {
            let mut next = 0;
            for round in 0.. {
                let before = next;
                if round % 2 == 0 {
                    producer.push_burst(5.min(VALUES - next), || {
                        next += 1;
                        Box::new(next - 1)
                    });
                } else if producer.push(Box::new(next)).is_ok() {
                    next += 1;
                }
                if next == VALUES {
                    break;
                }
                if next == before {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        loop {
            let last = consumer.is_abandoned();
            let got = consumer.pop_burst(expected % 7 + 1, |value| {
                assert_eq!(*value, expected);
                expected += 1;
            });
            if got == 0 {
                if last {
                    break;
                }
                thread::yield_now();
            }
        }
        assert_eq!(expected, VALUES);
        // Before the join: the halves alone must synchronise the end of the ring.
        drop(consumer);
        thread.join().unwrap();
    }
}

#[test]
fn values_in_flight_are_dropped_when_both_halves_go_at_once() {
    for round in 0..200 {
        let ledger = Ledger::new(64);
        let (mut producer, mut consumer) = spsc::ring(8).unwrap();
        let thread = {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let mut made = 0;
                while made < 64 && !producer.is_abandoned() {
                    let _ = producer.push(Tracked::new(made, &ledger));
                    made += 1;
                }
                made
            })
        };
        for _ in 0..round % 20 {
            drop(consumer.pop());
        }
        drop(consumer);
        let made = thread.join().unwrap();
        ledger.assert_settled(made);
    }
}
