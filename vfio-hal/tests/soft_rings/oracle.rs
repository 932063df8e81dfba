//! Sequences of operations on one thread: both rings answer like `crossbeam-queue`'s.

use crossbeam_queue::ArrayQueue;
use proptest::prelude::*;
use vfio_hal::ring::{
    mpmc::Mpmc,
    spsc::{Consumer, Producer},
};

use crate::kit::{Op, Ring, calm_op, capacity, config};

/// Runs `ops` on a ring and on the oracle; every answer must be the same.
fn follow_oracle<R: Ring<usize>>(capacity: usize, ops: &[Op]) {
    let mut ring = R::with_capacity(capacity);
    let oracle = ArrayQueue::new(capacity);
    let mut made = 0;
    let mut make = || {
        made += 1;
        made
    };
    for op in ops {
        match *op {
            Op::Push => {
                let value = make();
                assert_eq!(ring.push_one(value), oracle.push(value));
            }
            Op::Pop => assert_eq!(ring.pop_one(), oracle.pop()),
            Op::PushFour => {
                let values = [(); 4].map(|()| make());
                let fits = capacity - oracle.len() >= 4;
                assert_eq!(ring.push_four(values), if fits { Ok(()) } else { Err(values) });
                if fits {
                    values.into_iter().for_each(|value| oracle.push(value).unwrap());
                }
            }
            Op::PushMany(n) => {
                let fits = n.min(capacity - oracle.len());
                let pushed = ring.push_many(n, || {
                    let value = make();
                    oracle.push(value).unwrap();
                    value
                });
                assert_eq!(pushed, fits);
            }
            Op::PopMany(n) => {
                let held = n.min(oracle.len());
                assert_eq!(ring.pop_many(n, |value| assert_eq!(Some(value), oracle.pop())), held);
            }
            Op::PushPanic(..) | Op::PopPanic(..) => unreachable!("not among the calm operations"),
        }
        assert_eq!(ring.length(), oracle.len());
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mpmc_follows_the_oracle(capacity in capacity(), ops in prop::collection::vec(calm_op(), 0..200)) {
        follow_oracle::<Mpmc<usize>>(capacity, &ops);
    }

    #[test]
    fn spsc_follows_the_oracle(capacity in capacity(), ops in prop::collection::vec(calm_op(), 0..200)) {
        follow_oracle::<(Producer<usize>, Consumer<usize>)>(capacity, &ops);
    }
}
