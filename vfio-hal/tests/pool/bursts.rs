//! Batches.

use std::sync::Arc;

use vfio_hal::dma::pool::Burst;

use crate::kit::*;

#[test]
fn a_burst_without_room_holds_nothing() {
    let mut burst = Burst::new(0);
    assert_eq!((burst.capacity(), burst.len(), burst.room(), burst.is_empty()), (0, 0, 0, true));
    assert_eq!((burst.push(1), burst.take()), (Err(1), None));
    assert!(burst.as_slice().is_empty() && burst.as_mut_slice().is_empty());
}

#[test]
fn packets_leave_at_the_front_and_their_room_is_used_again() {
    let mut burst = Burst::new(4);
    for number in 0..4 {
        assert_eq!(burst.push(number), Ok(()));
    }
    assert_eq!((burst.push(4), burst.room()), (Err(4), 0));
    assert_eq!((burst.take(), burst.take()), (Some(0), Some(1)));
    assert_eq!(burst.as_slice(), [2, 3]);
    assert_eq!(burst.room(), 2);
    assert_eq!((burst.push(4), burst.push(5), burst.push(6)), (Ok(()), Ok(()), Err(6)));
    burst.iter_mut().for_each(|number| *number *= 10);
    assert_eq!(burst.iter().copied().collect::<Vec<_>>(), [20, 30, 40, 50]);
    assert_eq!(std::iter::from_fn(|| burst.take()).collect::<Vec<_>>(), [20, 30, 40, 50]);
    assert_eq!((burst.room(), burst.is_empty()), (4, true));
}

#[test]
fn any_order_of_pushes_and_takes_is_a_queue() {
    let mut burst = Burst::new(5);
    let mut model = std::collections::VecDeque::new();
    for step in 0..2000u32 {
        if step * step % 7 < 4 {
            let pushed = burst.push(step).is_ok();
            assert_eq!(pushed, model.len() < 5);
            if pushed {
                model.push_back(step);
            }
        } else {
            assert_eq!(burst.take(), model.pop_front());
        }
        assert_eq!(burst.as_slice(), model.make_contiguous());
        // Room at the front may count later, but never so late that a packet finds none.
        let room = burst.room();
        assert!(room <= 5 - model.len() && (room == 0) == (model.len() == 5), "{room}");
    }
}

#[test]
fn what_is_left_is_dropped_once() {
    let value = Arc::new(());
    let mut burst = Burst::new(6);
    for _ in 0..6 {
        burst.push(value.clone()).unwrap();
    }
    drop((burst.take(), burst.take()));
    assert!(burst.push(value.clone()).is_ok());
    assert_eq!(Arc::strong_count(&value), 6);
    burst.clear();
    assert_eq!(Arc::strong_count(&value), 1);
    burst.push(value.clone()).unwrap();
    drop(burst);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_drop_that_panics_drops_nothing_twice() {
    struct Loud {
        _count: Arc<()>,
        panics: bool,
    }
    impl Drop for Loud {
        fn drop(&mut self) {
            assert!(!self.panics, "this one panics");
        }
    }
    let count = Arc::new(());
    let mut burst = Burst::new(4);
    for number in 0..4 {
        assert!(burst.push(Loud { _count: count.clone(), panics: number == 1 }).is_ok());
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| burst.clear()));
    assert!(result.is_err());
    assert_eq!((burst.len(), Arc::strong_count(&count)), (2, 3));
    drop(burst);
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn a_cache_takes_all_of_a_burst() {
    let host = Host::new();
    let pool = host.pool(64);
    let mut cache = pool.cache();
    let mut burst = Burst::new(40);
    for number in 0..40u8 {
        burst.push(packet(&pool, &[number])).unwrap();
    }
    cache.free_all(&mut burst);
    assert_eq!((burst.len(), cache.len(), pool.available()), (0, 40, 24));
}
