//! Edges of the contract: refused capacities, bulks that cannot fit, values without a size, halves that are gone.

use vfio_hal::ring::{
    mpmc::{Mpmc, RingError},
    spsc::{self, Consumer, Producer},
};

use crate::kit::{Ledger, Tracked};

#[test]
fn impossible_capacities_are_refused_with_the_way_out() {
    for capacity in [0, 1, 3, 6, 1000, usize::MAX] {
        let error = Mpmc::<u8>::new(capacity).unwrap_err();
        assert_eq!(error, RingError::Capacity { capacity });
        assert_eq!(error, spsc::ring::<u8>(capacity).unwrap_err());
        assert_eq!(
            error.to_string(),
            format!("a ring cannot have {capacity} slots: choose a power of two, 2 or more")
        );
    }
    // More bytes than an allocation can ever have: an error, neither an abort nor an overflow.
    let capacity = 1 << (usize::BITS - 2);
    assert!(
        matches!(Mpmc::<u64>::new(capacity), Err(RingError::OutOfMemory { capacity: c, .. }) if c == capacity)
    );
    assert!(matches!(spsc::ring::<u64>(capacity), Err(RingError::OutOfMemory { slot_size: 8, .. })));
}

#[test]
fn more_than_the_capacity_never_fits_in_bulk_and_nothing_always_does() {
    let ring = Mpmc::new(4).unwrap();
    assert_eq!(ring.push_bulk([1, 2, 3, 4, 5]), Err([1, 2, 3, 4, 5]));
    assert_eq!(ring.push_bulk([1, 2, 3]), Ok(()));
    assert_eq!(ring.push_bulk([4, 5]), Err([4, 5]));
    assert_eq!(ring.push_burst(usize::MAX, || 4), 1);
    assert_eq!(ring.push_bulk([]), Ok(()));
    assert_eq!(ring.push_burst(0, || unreachable!()), 0);
    assert_eq!(ring.pop_burst(0, |_| unreachable!()), 0);
    assert_eq!(ring.len(), 4);

    let (mut producer, mut consumer) = spsc::ring(4).unwrap();
    assert_eq!(producer.push_bulk([1, 2, 3, 4, 5]), Err([1, 2, 3, 4, 5]));
    assert_eq!(producer.push_bulk([1, 2, 3, 4]), Ok(()));
    assert_eq!(producer.push_bulk([]), Ok(()));
    assert_eq!(producer.push_burst(0, || unreachable!()), 0);
    assert_eq!(consumer.pop_burst(0, |_| unreachable!()), 0);
    assert_eq!(consumer.len(), 4);
}

#[test]
fn values_without_a_size_are_counted() {
    let ring = Mpmc::new(4).unwrap();
    assert_eq!(ring.push_burst(9, || ()), 4);
    assert_eq!(ring.pop_burst(9, |()| {}), 4);
    assert_eq!(ring.pop(), None);
}

#[test]
fn a_closure_may_use_the_ring_it_serves() {
    let ring = Mpmc::new(8).unwrap();
    let mut inner = 10;
    let pushed = ring.push_burst(2, || {
        inner += 1;
        ring.push(inner).unwrap();
        if inner == 11 {
            assert_eq!(ring.pop(), None, "the first turn is taken and not filled yet");
        }
        inner - 10
    });
    assert_eq!(pushed, 2);
    let mut seen = vec![];
    ring.pop_burst(1, |value| {
        seen.push(value);
        ring.pop_burst(9, |value| seen.push(value));
    });
    assert_eq!(seen, [1, 2, 11, 12]);
}

#[test]
fn each_half_sees_that_the_other_is_gone() {
    let (mut producer, mut consumer) = spsc::ring(4).unwrap();
    assert!(!producer.is_abandoned() && !consumer.is_abandoned());
    producer.push('a').unwrap();
    drop(producer);
    assert!(consumer.is_abandoned());
    assert_eq!(consumer.pop(), Some('a'));
    assert_eq!(consumer.pop(), None);

    let ledger = Ledger::new(1);
    let (mut producer, consumer) = spsc::ring(4).unwrap();
    drop(consumer);
    assert!(producer.is_abandoned());
    assert!(producer.push(Tracked::new(0, &ledger)).is_ok());
    drop(producer);
    ledger.assert_settled(1);
}

#[test]
fn rings_and_halves_go_to_other_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Mpmc<std::cell::Cell<u8>>>();
    sync::<Mpmc<std::cell::Cell<u8>>>();
    send::<Producer<std::cell::Cell<u8>>>();
    send::<Consumer<std::cell::Cell<u8>>>();
}
