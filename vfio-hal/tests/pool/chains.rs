//! Packets of several segments.

use vfio_hal::dma::pool::Buf;

use crate::kit::*;

fn lens(buf: &Buf) -> (usize, usize, usize) {
    assert_eq!(bytes(buf).len(), buf.packet_len());
    (buf.len(), buf.packet_len(), buf.segment_count())
}

#[test]
fn segments_come_off_as_they_were_put_on() {
    let host = Host::new();
    let pool = host.pool(8);
    let mut buf = chain(&pool, &[b"one", b"two", b"three"]);
    assert_eq!((lens(&buf), bytes(&buf)), ((3, 11, 3), b"onetwothree".to_vec()));
    let mut rest = buf.unchain().unwrap();
    assert_eq!((lens(&buf), lens(&rest)), ((3, 3, 1), (3, 8, 2)));
    let last = rest.unchain().unwrap();
    assert_eq!((lens(&rest), lens(&last)), ((3, 3, 1), (5, 5, 1)));
    assert!(buf.unchain().is_none() && buf.next().is_none());
    drop((buf, rest, last));
    assert_eq!(pool.available(), 8);
}

#[test]
fn every_segment_knows_the_length_from_there_on_however_the_chain_came_about() {
    let host = Host::new();
    let pool = host.pool(8);
    // Behind a single one, behind a chain, a chain behind a chain.
    let mut buf = packet(&pool, &[1; 10]);
    buf.chain(packet(&pool, &[2; 20]));
    buf.chain(packet(&pool, &[3; 30]));
    buf.chain(chain(&pool, &[&[4; 40], &[5; 50]]));
    let from: Vec<_> = buf.segments().map(|segment| segment.packet_len()).collect();
    assert_eq!(from, [150, 140, 120, 90, 50]);
    let mut rest = buf.unchain().unwrap();
    rest.chain(buf);
    let from: Vec<_> = rest.segments().map(|segment| (segment.len(), segment.packet_len())).collect();
    assert_eq!(from, [(20, 150), (30, 130), (40, 100), (50, 60), (10, 10)]);
}

#[test]
fn the_first_segment_moves_at_its_front_and_nothing_else_does() {
    let host = Host::new();
    let pool = host.pool(8);
    let mut buf = chain(&pool, &[b"12345", b"678"]);
    assert_eq!(buf.prepend(3).map(|new| new.len()), Some(3));
    assert_eq!(lens(&buf), (8, 11, 2));
    assert!(buf.trim_front(8));
    assert_eq!((lens(&buf), bytes(&buf)), ((0, 3, 2), b"678".to_vec()));
    assert!(!buf.trim_front(1), "the next segment is not touched");
    assert!(buf.append(1).is_none() && !buf.truncate(0) && !buf.fill(b"x"));
    assert_eq!(lens(&buf), (0, 3, 2));
    let rest = buf.unchain().unwrap();
    assert!(buf.append(1).is_some() && buf.truncate(0) && buf.fill(b"x"));
    assert_eq!(rest.data(), b"678");
}

#[test]
fn a_long_chain_goes_home_without_recursion() {
    let host = Host::new();
    let pool = host.pool_of(20_000, 64);
    let mut buf = pool.alloc().unwrap();
    // In front, so that each step is short.
    while let Some(mut front) = pool.alloc() {
        front.chain(buf);
        buf = front;
    }
    assert_eq!((buf.segment_count(), pool.available()), (20_000, 0));
    // On a stack that 20,000 nested drops would not fit on.
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(buf)).unwrap().join().unwrap();
    assert_eq!(pool.available(), 20_000);
}

#[test]
fn each_segment_returns_to_its_own_pool() {
    let host = Host::new();
    let pools: Vec<_> = (0..4).map(|_| host.pool(2)).collect();
    let mut buf = packet(&pools[0], b"0");
    for pool in pools.iter().chain(&pools[1..]) {
        buf.chain(packet(pool, b"x"));
    }
    assert!(pools.iter().all(|pool| pool.available() == 0));
    drop(buf);
    assert!(pools.iter().all(|pool| pool.available() == 2));
}
