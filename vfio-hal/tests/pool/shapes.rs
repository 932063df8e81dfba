//! What pools there can be, and what they say of themselves.

use vfio_hal::dma::DmaError;
use vfio_hal::dma::pool::Pool;

use crate::kit::*;

fn refused(host: &Host, count: u32, room: u32, bytes: usize) -> &'static str {
    match Pool::new(host.region(bytes), count, room).unwrap_err() {
        DmaError::PoolShape { count: said, size, reason } => {
            assert_eq!((said, size), (count, room));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn shapes_that_cannot_work_are_refused_and_the_memory_goes_back() {
    let host = Host::new();
    for room in [0, 1, 63, 0xf001, u32::MAX] {
        assert!(refused(&host, 4, room, 1 << 20).contains("64 to 61,440 bytes"), "{room}");
    }
    assert!(refused(&host, 0, 256, 4096).contains("at least one"));
    assert!(refused(&host, 4097, 0x80, 1 << 20).contains("too small"));
    assert!(refused(&host, u32::MAX, 256, 4096).contains("too many"));
    assert!(refused(&host, 1 << 31, 256, 4096).contains("too small"));
    assert_eq!(host.memory.mappings(), 0);
}

#[test]
fn a_pool_has_as_many_buffers_as_it_was_asked_for_whatever_their_number() {
    let host = Host::new();
    for count in [1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 1000] {
        let pool = host.pool(count);
        let space = host.space.id();
        assert_eq!((pool.capacity(), pool.available(), pool.data_room()), (count, count, ROOM));
        assert_eq!((pool.space(), pool.leaked()), (space, 0));
        let bufs: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
        assert_eq!((bufs.len(), pool.available()), (count as usize, 0));
        drop(bufs);
        assert_eq!(pool.available(), count);
    }
}

#[test]
fn buffers_are_apart_within_the_region_and_where_the_device_sees_them() {
    let host = Host::new();
    for room in [64, 100, 256, 2048, 0xf000] {
        let count = 5u32;
        let stride = Pool::stride(room);
        assert!(stride >= 128 + room as usize && stride.is_multiple_of(64), "{stride}");
        let region = host.region(stride * count as usize);
        let base = region.iova().0;
        let pool = Pool::new(region, count, room).unwrap();
        let mut bufs: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
        for (number, buf) in bufs.iter_mut().enumerate() {
            // All of it is the buffer's: headroom and room.
            assert_eq!((buf.headroom(), buf.tailroom()), (128, room as usize));
            buf.prepend(128).unwrap().fill(number as u8);
            buf.append(room as usize).unwrap().fill(number as u8);
            assert_eq!((buf.headroom(), buf.tailroom(), buf.len()), (0, 0, 128 + room as usize));
        }
        for (number, buf) in bufs.iter().enumerate() {
            let offset = buf.data_iova().0 - base;
            assert_eq!(offset % stride as u64, 0);
            assert!(offset / (stride as u64) < u64::from(count));
            let mut seen = vec![0xee; buf.len()];
            host.memory.read(buf.data_iova(), &mut seen).unwrap();
            assert!(seen.iter().all(|&byte| byte == number as u8), "buffer {number} of {room}");
            assert!(buf.data() == seen);
        }
    }
}

#[test]
fn what_is_set_apart_never_exceeds_the_pool() {
    let host = Host::new();
    let pool = host.pool(100);
    let first = pool.commit(60).unwrap();
    assert_eq!(pool.commit(41).unwrap_err(), DmaError::PoolTooSmall { have: 100, need: 101 });
    let second = pool.clone().commit(40).unwrap();
    assert_eq!(pool.commit(1).unwrap_err(), DmaError::PoolTooSmall { have: 100, need: 101 });
    assert_eq!(pool.commit(u32::MAX).unwrap_err(), DmaError::PoolTooSmall { have: 100, need: u32::MAX });
    drop(pool.commit(0).unwrap());
    drop(first);
    assert_eq!(pool.commit(61).unwrap_err(), DmaError::PoolTooSmall { have: 100, need: 101 });
    let third = pool.commit(60).unwrap();
    // It is a promise between users, no lock: buffers still come to whoever asks.
    assert!(pool.alloc().is_some());
    drop((second, third));
    assert!(pool.commit(100).is_ok());
}

#[test]
fn a_pool_knows_its_own_buffers() {
    let host = Host::new();
    let (one, two) = (host.pool(2), host.pool(2));
    let buf = one.alloc().unwrap();
    assert_eq!((one.owns(&buf), one.clone().owns(&buf), two.owns(&buf)), (true, true, false));
}
