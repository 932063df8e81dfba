//! Every interleaving of two threads on the software rings, by loom.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p vfio-hal --release --test loom_rings`
#![cfg(loom)]

use loom::{sync::Arc, thread};
use vfio_hal::ring::{mpmc::Mpmc, spsc};

/// Runs `model` in every interleaving. Values are loom's `Arc`s where it matters, so that a lost or doubled one is
/// found as a leak or a use after free.
fn check(model: impl Fn() + Send + Sync + 'static) {
    loom::model(model);
}

/// Pops until a value comes.
fn pop<T>(ring: &Mpmc<T>) -> T {
    loop {
        if let Some(value) = ring.pop() {
            return value;
        }
        thread::yield_now();
    }
}

#[test]
fn mpmc_two_producers_lose_nothing() {
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        let other = ring.clone();
        let pusher = thread::spawn(move || other.push(1).is_ok());
        assert!(ring.push(2).is_ok(), "two values fit into two slots");
        assert!(pusher.join().unwrap());
        assert_eq!(ring.push(3), Err(3));
        let mut values = [pop(&ring), pop(&ring)];
        values.sort();
        assert_eq!(values, [1, 2]);
        assert_eq!(ring.pop(), None);
    });
}

#[test]
fn mpmc_two_consumers_share_without_doubling() {
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        ring.push_bulk([Arc::new(1), Arc::new(2)]).unwrap_or_else(|_| unreachable!());
        let other = ring.clone();
        let popper = thread::spawn(move || *other.pop().expect("two values, two consumers"));
        let mine = *ring.pop().expect("two values, two consumers");
        assert_eq!(mine + popper.join().unwrap(), 3);
        assert!(ring.pop().is_none());
    });
}

#[test]
fn mpmc_hands_values_over_in_order_and_reuses_slots() {
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        let other = ring.clone();
        let pusher = thread::spawn(move || {
            for value in 0..3 {
                let mut value = Arc::new(value);
                while let Err(back) = other.push(value) {
                    value = back;
                    thread::yield_now();
                }
            }
        });
        for expected in 0..3 {
            assert_eq!(*pop(&ring), expected);
        }
        pusher.join().unwrap();
    });
}

#[test]
fn mpmc_bulk_is_whole_beside_a_single_push() {
    check(|| {
        let ring = Arc::new(Mpmc::new(4).unwrap());
        let other = ring.clone();
        let pusher = thread::spawn(move || other.push_bulk([10, 11]).is_ok());
        assert_eq!(ring.push_burst(2, || 20), 2);
        assert!(pusher.join().unwrap());
        let mut values = vec![];
        assert_eq!(ring.pop_burst(9, |value| values.push(value)), 4);
        let first = values.iter().position(|&value| value == 10).unwrap();
        assert_eq!(values[first + 1], 11);
    });
}

#[test]
fn mpmc_bulk_that_does_not_fit_leaves_no_trace() {
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        let other = ring.clone();
        let pusher = thread::spawn(move || other.push_bulk([Arc::new(10), Arc::new(11)]).is_ok());
        let single = ring.push(Arc::new(20)).is_ok();
        let bulk = pusher.join().unwrap();
        assert!(single != bulk, "exactly one of the two fits");
        assert_eq!(ring.pop_burst(9, drop), if bulk { 2 } else { 1 });
    });
}

#[test]
fn mpmc_bursts_cross() {
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        assert!(ring.push(Arc::new(0)).is_ok());
        let other = ring.clone();
        let worker = thread::spawn(move || {
            let mut next = 0;
            other.push_burst(2, || {
                next += 1;
                Arc::new(next)
            })
        });
        let mut values = vec![];
        ring.pop_burst(2, |value| values.push(*value));
        let pushed = worker.join().unwrap();
        assert!(pushed >= 1, "one slot was free all the time");
        ring.pop_burst(2, |value| values.push(*value));
        assert_eq!(values, (0..=pushed).collect::<Vec<_>>());
    });
}

#[test]
fn mpmc_values_left_behind_are_dropped() {
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        let other = ring.clone();
        let pusher = thread::spawn(move || drop(other.push(Arc::new(1))));
        drop(ring.push(Arc::new(2)));
        drop(ring);
        pusher.join().unwrap();
    });
}

#[test]
fn mpmc_consumers_step_over_turns_that_were_given_up() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        let other = ring.clone();
        let pusher = thread::spawn(move || {
            let mut calls = 0;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                other.push_burst(2, || {
                    calls += 1;
                    if calls == 2 {
                        resume_unwind(Box::new("expected"));
                    }
                    1
                })
            }));
            outcome.is_err()
        });
        let mut got = vec![];
        got.extend(ring.pop());
        let single = ring.push(2).is_ok();
        assert!(pusher.join().unwrap() || single, "the ring never holds two values before the panic");
        while let Some(value) = ring.pop() {
            got.push(value);
        }
        assert_eq!(got.contains(&2), single);
        assert!(got.contains(&1));
        assert_eq!(ring.push_burst(9, || 0), 2, "all slots are free again");
    });
}

#[test]
fn mpmc_two_consumers_step_over_the_same_turn_once() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        let outcome =
            catch_unwind(AssertUnwindSafe(|| ring.push_burst(1, || resume_unwind(Box::new("expected")))));
        assert!(outcome.is_err());
        assert!(ring.push(Arc::new(1)).is_ok());
        let other = ring.clone();
        let popper = thread::spawn(move || other.pop().is_some());
        let mine = ring.pop().is_some();
        assert!(mine != popper.join().unwrap(), "one value, one owner");
        assert!(ring.pop().is_none());
    });
}

#[test]
fn spsc_hands_values_over_in_order_and_reuses_slots() {
    check(|| {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let pusher = thread::spawn(move || {
            for value in 0..3 {
                let mut value = Arc::new(value);
                while let Err(back) = producer.push(value) {
                    value = back;
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < 3 {
            match consumer.pop() {
                Some(value) => {
                    assert_eq!(*value, expected);
                    expected += 1;
                }
                None => thread::yield_now(),
            }
        }
        pusher.join().unwrap();
    });
}

#[test]
fn spsc_bursts_cross() {
    check(|| {
        let (mut producer, mut consumer) = spsc::ring(4).unwrap();
        let pusher = thread::spawn(move || {
            let mut next = 0;
            let mut make = || {
                next += 1;
                next
            };
            let first = producer.push_burst(3, &mut make);
            let second = producer.push_burst(3, &mut make);
            assert_eq!(first, 3);
            first + second
        });
        let mut values = vec![];
        consumer.pop_burst(2, |value| values.push(value));
        consumer.pop_burst(4, |value| values.push(value));
        let pushed = pusher.join().unwrap();
        consumer.pop_burst(8, |value| values.push(value));
        assert_eq!(values, (1..=pushed).collect::<Vec<_>>());
    });
}

#[test]
fn spsc_bulk_appears_whole() {
    check(|| {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let pusher = thread::spawn(move || assert!(producer.push_bulk([1, 2]).is_ok()));
        let got = consumer.pop_burst(2, |_| {});
        assert!(got == 0 || got == 2, "{got} of a bulk of two");
        pusher.join().unwrap();
    });
}

#[test]
fn spsc_abandoned_then_empty_means_the_end() {
    check(|| {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let pusher = thread::spawn(move || {
            assert!(producer.push(Arc::new(1)).is_ok());
            assert!(producer.push(Arc::new(2)).is_ok());
        });
        let mut got = 0;
        loop {
            let last = consumer.is_abandoned();
            match consumer.pop() {
                Some(value) => {
                    got += 1;
                    assert_eq!(*value, got);
                }
                None if last => break,
                None => thread::yield_now(),
            }
        }
        assert_eq!(got, 2);
        pusher.join().unwrap();
    });
}

#[test]
fn spsc_values_in_flight_are_dropped() {
    check(|| {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let pusher = thread::spawn(move || {
            drop(producer.push(Arc::new(1)));
            drop(producer.push(Arc::new(2)));
        });
        drop(consumer.pop());
        drop(consumer);
        pusher.join().unwrap();
    });
}

#[test]
fn mpmc_a_turn_that_was_given_up_passes_its_slot_on() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    check(|| {
        let ring = Arc::new(Mpmc::new(2).unwrap());
        assert!(ring.push_bulk([1, 2]).is_ok());
        let other = ring.clone();
        // Reads a slot, then gives up a turn of the same slot or the next one.
        let quitter = thread::spawn(move || {
            let value = other.pop();
            let _ = catch_unwind(AssertUnwindSafe(|| {
                other.push_burst(1, || resume_unwind(Box::new("expected")))
            }));
            value
        });
        let mut values = vec![];
        values.extend(ring.pop());
        let pushed = ring.push_burst(2, || 3) + ring.push_burst(2, || 3);
        values.extend(quitter.join().unwrap());
        values.sort();
        assert_eq!(values, [1, 2]);
        let left =
            ring.pop_burst(2, |value| assert_eq!(value, 3)) + ring.pop_burst(2, |value| assert_eq!(value, 3));
        assert_eq!(left, pushed);
    });
}

#[test]
fn spsc_a_producer_sees_all_that_a_gone_consumer_took() {
    check(|| {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        assert!(producer.push_bulk([1, 2]).is_ok());
        let popper = thread::spawn(move || assert_eq!(consumer.pop(), Some(1)));
        if producer.is_abandoned() {
            assert_eq!(producer.len(), 1);
        }
        popper.join().unwrap();
    });
}
