//! What the tests share: one trait for both kinds of ring, random operations, and values that count their drops.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::{prelude::*, test_runner::RngSeed};
use vfio_hal::ring::{
    mpmc::Mpmc,
    spsc::{self, Consumer, Producer},
};

/// What both kinds of ring do, so that one model test drives either.
pub(crate) trait Ring<T> {
    fn with_capacity(capacity: usize) -> Self;
    fn length(&self) -> usize;
    fn push_one(&mut self, value: T) -> Result<(), T>;
    fn pop_one(&mut self) -> Option<T>;
    fn push_four(&mut self, values: [T; 4]) -> Result<(), [T; 4]>;
    fn push_many(&mut self, n: usize, next: impl FnMut() -> T) -> usize;
    fn pop_many(&mut self, n: usize, put: impl FnMut(T)) -> usize;
}

impl<T> Ring<T> for Mpmc<T> {
    fn with_capacity(capacity: usize) -> Self {
        Mpmc::new(capacity).unwrap()
    }
    fn length(&self) -> usize {
        assert!(self.is_empty() != (1..=self.capacity()).contains(&self.len()));
        self.len()
    }
    fn push_one(&mut self, value: T) -> Result<(), T> {
        self.push(value)
    }
    fn pop_one(&mut self) -> Option<T> {
        self.pop()
    }
    fn push_four(&mut self, values: [T; 4]) -> Result<(), [T; 4]> {
        self.push_bulk(values)
    }
    fn push_many(&mut self, n: usize, next: impl FnMut() -> T) -> usize {
        self.push_burst(n, next)
    }
    fn pop_many(&mut self, n: usize, put: impl FnMut(T)) -> usize {
        self.pop_burst(n, put)
    }
}

impl<T> Ring<T> for (Producer<T>, Consumer<T>) {
    fn with_capacity(capacity: usize) -> Self {
        spsc::ring(capacity).unwrap()
    }
    fn length(&self) -> usize {
        assert_eq!(self.0.len(), self.1.len());
        assert_eq!(self.0.is_empty(), self.1.is_empty());
        self.0.len()
    }
    fn push_one(&mut self, value: T) -> Result<(), T> {
        self.0.push(value)
    }
    fn pop_one(&mut self) -> Option<T> {
        self.1.pop()
    }
    fn push_four(&mut self, values: [T; 4]) -> Result<(), [T; 4]> {
        self.0.push_bulk(values)
    }
    fn push_many(&mut self, n: usize, next: impl FnMut() -> T) -> usize {
        self.0.push_burst(n, next)
    }
    fn pop_many(&mut self, n: usize, put: impl FnMut(T)) -> usize {
        self.1.pop_burst(n, put)
    }
}

/// Counts how often each value was dropped.
#[derive(Default)]
pub(crate) struct Ledger(Vec<AtomicUsize>);

impl Ledger {
    pub(crate) fn new(values: usize) -> Arc<Self> {
        Arc::new(Self((0..values).map(|_| AtomicUsize::new(0)).collect()))
    }

    pub(crate) fn drops(&self, id: usize) -> usize {
        self.0[id].load(Ordering::Relaxed)
    }

    /// Panics unless exactly the first `made` values were dropped, once each.
    pub(crate) fn assert_settled(&self, made: usize) {
        for (id, drops) in self.0.iter().enumerate() {
            assert_eq!(
                drops.load(Ordering::Relaxed),
                usize::from(id < made),
                "drops of value {id} of {made}"
            );
        }
    }
}

/// A value that lives on the heap and reports its drop.
pub(crate) struct Tracked {
    pub(crate) id: Box<usize>,
    ledger: Arc<Ledger>,
}

impl Tracked {
    pub(crate) fn new(id: usize, ledger: &Arc<Ledger>) -> Self {
        Self { id: Box::new(id), ledger: ledger.clone() }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.ledger.0[*self.id].fetch_add(1, Ordering::Relaxed);
    }
}

/// A panic that the test expects: it does not run the hook, so the log stays readable.
pub(crate) fn expected_panic() -> ! {
    resume_unwind(Box::new("expected"))
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Push,
    Pop,
    PushFour,
    PushMany(usize),
    PopMany(usize),
    /// A burst of `.0` whose closure panics in call number `.1`.
    PushPanic(usize, usize),
    PopPanic(usize, usize),
}

pub(crate) fn calm_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Push),
        3 => Just(Op::Pop),
        1 => Just(Op::PushFour),
        2 => (0..20usize).prop_map(Op::PushMany),
        2 => (0..20usize).prop_map(Op::PopMany),
    ]
}

pub(crate) fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => calm_op(),
        1 => (1..20usize, 0..20usize).prop_map(|(n, at)| Op::PushPanic(n, at)),
        1 => (1..20usize, 0..20usize).prop_map(|(n, at)| Op::PopPanic(n, at)),
    ]
}

pub(crate) fn capacity() -> impl Strategy<Value = usize> {
    (1..6u32).prop_map(|bits| 1 << bits)
}

pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(0x82599),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
