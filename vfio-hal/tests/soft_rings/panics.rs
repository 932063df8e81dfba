//! Closures that panic in the middle of a burst: no slot is lost, no value is lost beyond what the documentation says,
//! and none is dropped twice.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use proptest::prelude::*;
use vfio_hal::ring::{
    mpmc::Mpmc,
    spsc::{Consumer, Producer},
};

use crate::kit::{Ledger, Op, Ring, Tracked, any_op, capacity, config, expected_panic};

/// Runs `ops`, panicking closures included. Values come out in the order they went in, a panic loses what the
/// documentation says (`lossy`: values taken and not handed out) and nothing else, the ring has all its slots
/// again once it was emptied, and every value is dropped once.
fn survive_panics<R: Ring<Tracked>>(capacity: usize, ops: &[Op], lossy: bool) {
    let ledger = Ledger::new(ops.len() * 20 + 4 * capacity);
    let mut ring = R::with_capacity(capacity);
    let mut model = VecDeque::new();
    let mut made = 0;
    let mut make = || {
        made += 1;
        Tracked::new(made - 1, &ledger)
    };
    for op in ops {
        match *op {
            Op::Push => {
                let value = make();
                let id = *value.id;
                if ring.push_one(value).is_ok() {
                    model.push_back(id);
                }
            }
            Op::Pop => assert_eq!(ring.pop_one().map(|value| *value.id), model.pop_front()),
            Op::PushFour => {
                let values = [(); 4].map(|()| make());
                let ids: Vec<usize> = values.iter().map(|value| *value.id).collect();
                if ring.push_four(values).is_ok() {
                    model.extend(ids);
                }
            }
            Op::PushMany(n) => {
                let before = model.len();
                let pushed = ring.push_many(n, || {
                    let value = make();
                    model.push_back(*value.id);
                    value
                });
                assert_eq!(model.len() - before, pushed);
            }
            Op::PopMany(n) => {
                let before = model.len();
                let popped = ring.pop_many(n, |value| assert_eq!(Some(*value.id), model.pop_front()));
                assert_eq!(before - model.len(), popped);
                assert!(popped > 0 || n == 0 || before == 0);
            }
            Op::PushPanic(n, at) => {
                let mut calls = 0;
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    ring.push_many(n, || {
                        if calls == at {
                            expected_panic();
                        }
                        calls += 1;
                        let value = make();
                        model.push_back(*value.id);
                        value
                    })
                }));
            }
            Op::PopPanic(n, at) => {
                let mut calls = 0;
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    ring.pop_many(n, |value| {
                        assert_eq!(Some(*value.id), model.pop_front());
                        if calls == at {
                            expected_panic();
                        }
                        calls += 1;
                    })
                }));
                // The lost values are the next in line, as many as were dropped, and within the burst.
                if outcome.is_err() && lossy {
                    let left = n - at - 1;
                    for _ in 0..left {
                        let Some(&id) = model.front() else { break };
                        if ledger.drops(id) == 0 {
                            break;
                        }
                        model.pop_front();
                    }
                }
            }
        }
        assert!(ring.length() <= capacity);
        assert!(model.iter().all(|&id| ledger.drops(id) == 0), "a value that the ring holds was dropped");
    }
    while let Some(value) = ring.pop_one() {
        assert_eq!(Some(*value.id), model.pop_front());
    }
    assert!(model.is_empty(), "lost {model:?}");
    assert_eq!(ring.length(), 0);
    assert_eq!(ring.push_many(usize::MAX, &mut make), capacity);
    assert!(ring.push_one(make()).is_err());
    drop(ring);
    ledger.assert_settled(made);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mpmc_survives_panics(capacity in capacity(), ops in prop::collection::vec(any_op(), 0..60)) {
        survive_panics::<Mpmc<Tracked>>(capacity, &ops, true);
    }

    #[test]
    fn spsc_survives_panics(capacity in capacity(), ops in prop::collection::vec(any_op(), 0..60)) {
        survive_panics::<(Producer<Tracked>, Consumer<Tracked>)>(capacity, &ops, false);
    }

    #[test]
    fn values_left_in_a_ring_are_dropped_once(capacity in capacity(), ops in prop::collection::vec(any_op(), 0..60)) {
        fn run<R: Ring<Tracked>>(capacity: usize, ops: &[Op]) {
            let ledger = Ledger::new(ops.len() * 20);
            let mut ring = R::with_capacity(capacity);
            let mut made = 0;
            let mut make = || {
                made += 1;
                Tracked::new(made - 1, &ledger)
            };
            for op in ops {
                let mut calls = 0;
                let _ = catch_unwind(AssertUnwindSafe(|| match *op {
                    Op::Push => drop(ring.push_one(make())),
                    Op::Pop => drop(ring.pop_one()),
                    Op::PushFour => drop(ring.push_four([(); 4].map(|()| make()))),
                    Op::PushMany(n) => drop(ring.push_many(n, &mut make)),
                    Op::PopMany(n) => drop(ring.pop_many(n, drop)),
                    Op::PushPanic(n, at) => drop(ring.push_many(n, || {
                        calls += 1;
                        if calls > at { expected_panic() } else { make() }
                    })),
                    Op::PopPanic(n, at) => drop(ring.pop_many(n, |_value| {
                        calls += 1;
                        if calls > at { expected_panic() }
                    })),
                }));
            }
            drop(ring);
            ledger.assert_settled(made);
        }
        run::<Mpmc<Tracked>>(capacity, &ops);
        run::<(Producer<Tracked>, Consumer<Tracked>)>(capacity, &ops);
    }
}

#[test]
fn turns_given_up_at_the_front_do_not_hide_later_values() {
    let ledger = Ledger::new(8);
    let ring = Mpmc::new(4).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| ring.push_burst(4, || expected_panic())));
    assert!(outcome.is_err());
    // The producers are now a whole round ahead of the consumers.
    for id in 0..4 {
        assert!(ring.push(Tracked::new(id, &ledger)).is_ok());
    }
    assert!(ring.push(Tracked::new(4, &ledger)).is_err());
    assert_eq!(ring.len(), 4);
    assert_eq!(ring.pop().map(|value| *value.id), Some(0));
    // Full again, and again without a value at the front; dropped in that state.
    assert!(ring.push(Tracked::new(5, &ledger)).is_ok());
    drop(ring);
    ledger.assert_settled(6);
}
