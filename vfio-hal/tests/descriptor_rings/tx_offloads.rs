//! Sending what is not plain: several segments, offloads, buffers of other pools, clones.

use vfio_hal::dma::pool::{Buf, Burst, Pool, SharedBuf, TxFlags};
use vfio_hal::ring::TxError;

use crate::kit::*;

/// Returns a packet of as many segments as there are lengths.
fn chain(pool: &Pool, number: usize, lens: &[usize]) -> Buf {
    let mut parts = lens.iter().enumerate().map(|(at, &len)| packet(pool, number + at, len));
    let mut first = parts.next().unwrap();
    parts.for_each(|part| first.chain(part));
    first
}

fn tagged(mut buf: Buf, tci: u16) -> Buf {
    buf.set_tx_flags(TxFlags::VLAN_INSERT);
    buf.set_tx_vlan(tci);
    buf
}

fn one(buf: Buf) -> Burst {
    let mut burst = Burst::new(1);
    burst.push(buf).unwrap();
    burst
}

#[test]
fn segments_go_as_one_packet_and_come_back_one_by_one() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let buf = chain(&pool, 1, &[100, 1, 256]);
    let whole = bytes(&buf);
    assert_eq!(ring.burst(&mut cache, &mut one(buf)), Ok(1));
    assert_eq!((ring.free(), ring.stats().bytes()), (63 - 3, 357));
    nic.send_all();
    assert_eq!((&nic.sent[0].data, &nic.sent[0].segments), (&whole, &vec![100, 1, 256]));
    for number in 0..29 {
        assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, number, 60))), Ok(1));
    }
    nic.send_all();
    assert_eq!(ring.reap(&mut cache), 32);
    assert_eq!(cache.len() as u32 + pool.available(), 64);
    // None of them remembers the others.
    for _ in 0..64 {
        let buf = cache.alloc().unwrap();
        assert_eq!((buf.segment_count(), buf.packet_len()), (1, 0));
        std::mem::forget(buf);
    }
}

#[test]
fn a_report_is_asked_for_where_a_packet_ends_at_or_after_the_32nd() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.tx(128, &pool);
    let mut cache = pool.cache();
    let mut burst = Burst::new(32);
    // 30 descriptors, then 7, whose fifth is the 34th; then the count starts anew.
    for number in 0..30 {
        burst.push(packet(&pool, number, 60)).unwrap();
    }
    burst.push(chain(&pool, 0, &[60; 7])).unwrap();
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(31));
    for number in 0..32 {
        assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, number, 60))), Ok(1));
    }
    nic.send_all();
    let reports: Vec<_> = (0..63).filter(|&at| nic.sent[at].report).collect();
    assert_eq!(reports, [30, 62]);
    assert_eq!(ring.reap(&mut cache), 37 + 32);
    assert_eq!(cache.len() as u32 + pool.available(), 256);
}

#[test]
fn a_context_is_written_once_as_long_as_it_stays_the_same() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.tx(128, &pool);
    let mut cache = pool.cache();
    let mut burst = Burst::new(32);
    for (number, tci) in [10, 10, 0, 10, 11, 10].into_iter().enumerate() {
        let buf = packet(&pool, number, 60);
        burst.push(if tci == 0 { buf } else { tagged(buf, tci) }).unwrap();
    }
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(6));
    assert_eq!(ring.free(), 127 - 6 - 3);
    nic.send_all();
    let contexts: Vec<_> = nic.sent.iter().map(|sent| (sent.context, sent.with_context)).collect();
    let expected = [(10, true), (10, false), (10, false), (10, false), (11, true), (10, true)]
        .map(|(a, b)| (Some(a), b));
    assert_eq!(contexts, expected);
    // The device that was stopped forgot it.
    ring.release(&host.stopped()).unwrap();
    nic.reset();
    ring.post_all();
    assert_eq!(ring.burst(&mut cache, &mut one(tagged(packet(&pool, 0, 60), 10))), Ok(1));
    nic.send_all();
    assert!(nic.sent.last().unwrap().with_context);
}

#[test]
fn a_packet_and_its_context_wait_until_both_fit() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut burst = Burst::new(64);
    for number in 0..62 {
        burst.push(packet(&pool, number, 60)).unwrap();
    }
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(62));
    let mut burst = one(tagged(packet(&pool, 0, 60), 5));
    assert_eq!((ring.burst(&mut cache, &mut burst), burst.len()), (Ok(0), 1));
    assert_eq!(ring.stats().full(), 1);
    assert_eq!(nic.tail.writes(), [62], "not even the context was written");
    nic.send(32);
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(1));
    nic.send_all();
    assert_eq!(nic.sent.last().unwrap().context, Some(5));
}

#[test]
fn other_pools_of_the_same_space_are_as_good() {
    let mut host = Host::new();
    let (pool, other) = (host.pool(64), host.pool(64));
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut burst = Burst::new(40);
    for number in 0..40 {
        burst.push(packet(if number % 3 == 0 { &other } else { &pool }, number, 60)).unwrap();
    }
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(40));
    nic.send_all();
    assert_eq!(nic.sent.len(), 40);
    assert!(nic.sent.iter().enumerate().all(|(number, sent)| sent.data == frame(number, 60)));
    assert_eq!(ring.reap(&mut cache), 32);
    ring.release(&host.stopped()).unwrap();
    // Each to its own.
    assert_eq!((pool.available() + cache.len() as u32, other.available()), (64, 64));
}

#[test]
fn a_foreign_space_is_refused_wherever_the_segment_is() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let foreign = Host::new().pool(64);
    let (mut ring, nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut mixed = packet(&pool, 0, 60);
    mixed.chain(packet(&foreign, 0, 60));
    for buf in [packet(&foreign, 0, 60), mixed] {
        let mut burst = one(buf);
        assert_eq!(ring.burst(&mut cache, &mut burst), Err(TxError::ForeignSpace));
        let mut shared = Burst::new(1);
        shared.push(burst.take().unwrap().share()).unwrap();
        assert_eq!(ring.burst_shared(&mut cache, &mut shared), Err(TxError::ForeignSpace));
        assert_eq!(shared.len(), 1);
    }
    assert_eq!((ring.free(), ring.stats().refused()), (63, 4));
    assert!(nic.tail.writes().is_empty());
}

#[test]
fn what_was_refused_stays_in_front_and_the_rest_goes_once_it_is_taken_away() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut burst = Burst::new(8);
    for number in 0..6 {
        let mut buf = packet(&pool, number, 60);
        if number == 3 {
            buf.set_tx_flags(TxFlags::TCP_SEGMENT);
        }
        burst.push(buf).unwrap();
    }
    // Those before it go; the reason comes when it is the first.
    assert_eq!((ring.burst(&mut cache, &mut burst), burst.len()), (Ok(3), 3));
    let refused = Err(TxError::Offload { reason: "no MSS" });
    assert_eq!(ring.burst(&mut cache, &mut burst), refused);
    assert_eq!(ring.burst(&mut cache, &mut burst), refused);
    assert_eq!((burst.len(), ring.stats().refused(), ring.stats().full()), (3, 2, 0));
    drop(burst.take());
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(2));
    nic.send_all();
    let sent: Vec<_> = nic.sent.iter().map(|sent| sent.data.clone()).collect();
    assert_eq!(sent, [0, 1, 2, 4, 5].map(|number| frame(number, 60)));
}

#[test]
fn empty_segments_are_refused() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, _nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let empty = pool.alloc().unwrap();
    for buf in [empty, chain(&pool, 0, &[60, 0, 60]), chain(&pool, 0, &[60, 0])] {
        assert_eq!(ring.burst(&mut cache, &mut one(buf)), Err(TxError::Empty));
    }
    assert_eq!((ring.free(), pool.available()), (63, 64));
}

#[test]
fn a_segment_longer_than_a_descriptor_carries_is_refused() {
    let mut host = Host::new();
    let pool = pool_in(&host.space, 64, 8000);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let refused = Err(TxError::TooLong { len: 4001, max: 4000 });
    assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, 0, 4001))), refused);
    assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, 0, 4000))), Ok(1));
    assert_eq!(ring.burst(&mut cache, &mut one(chain(&pool, 0, &[4000, 4000]))), Ok(1));
    nic.send_all();
    assert_eq!(nic.sent.iter().map(|sent| sent.data.len()).collect::<Vec<_>>(), [4000, 8000]);
}

#[test]
fn more_segments_than_the_device_or_the_ring_takes_are_refused() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut large, mut nic) = host.tx(128, &pool);
    let (mut small, _) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let too_many = |need, max| Err(TxError::TooManySegments { need, max });
    assert_eq!(large.burst(&mut cache, &mut one(chain(&pool, 0, &[60; 41]))), too_many(41, 40));
    let with_context = tagged(chain(&pool, 0, &[60; 40]), 1);
    assert_eq!(large.burst(&mut cache, &mut one(with_context)), too_many(41, 40));
    assert_eq!(large.burst(&mut cache, &mut one(chain(&pool, 0, &[60; 40]))), Ok(1));
    nic.send_all();
    assert_eq!(nic.sent[0].segments.len(), 40);
    // On the smallest ring, 31 descriptors may wait for others to be reported with them.
    assert_eq!(small.burst(&mut cache, &mut one(chain(&pool, 0, &[60; 33]))), too_many(33, 32));
}

#[test]
fn a_clone_goes_out_on_two_rings_and_comes_back_after_both() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut left, mut left_nic) = host.tx(64, &pool);
    let (mut right, mut right_nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let (mut to_left, mut to_right) = (Burst::new(32), Burst::new(32));
    for number in 0..32 {
        let shared = chain(&pool, number, if number % 2 == 0 { &[60] } else { &[60, 61] }).share();
        to_left.push(shared.clone()).unwrap();
        to_right.push(shared).unwrap();
    }
    let expected: Vec<_> = to_left.iter().map(|shared| bytes(shared)).collect();
    assert_eq!(left.burst_shared(&mut cache, &mut to_left), Ok(32));
    assert_eq!(right.burst_shared(&mut cache, &mut to_right), Ok(32));
    assert_eq!((left_nic.tail.get(), right_nic.tail.get()), (48, 48));
    left_nic.send_all();
    right_nic.send_all();
    for nic in [&left_nic, &right_nic] {
        assert_eq!(nic.sent.iter().map(|sent| sent.data.clone()).collect::<Vec<_>>(), expected);
    }
    let out = 48;
    assert_eq!(pool.available(), 256 - out);
    // The 32nd descriptor is inside of a packet.
    assert_eq!(left.reap(&mut cache), 33);
    assert_eq!(pool.available(), 256 - out, "the other ring has them too");
    assert_eq!(right.reap(&mut cache), 33);
    assert!(pool.available() > 256 - out);
    left.release(&host.stopped()).unwrap();
    right.release(&host.stopped()).unwrap();
    assert_eq!(pool.available() + cache.len() as u32, 256);
}

#[test]
fn a_clone_that_somebody_keeps_is_not_freed_by_a_ring() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let kept = packet(&pool, 5, 60).share();
    let mut burst: Burst<SharedBuf> = Burst::new(32);
    for _ in 0..32 {
        burst.push(kept.clone()).unwrap();
    }
    assert_eq!(ring.burst_shared(&mut cache, &mut burst), Ok(32));
    let kept = kept.try_unshare().unwrap_err();
    nic.send_all();
    assert_eq!(ring.reap(&mut cache), 32);
    assert_eq!((kept.data(), pool.available()), (frame(5, 60).as_slice(), 63));
    let mut own = kept.try_unshare().expect("the ring has let go");
    assert!(own.fill(b"mine"));
    drop(own);
    assert_eq!(pool.available(), 64);
}

#[test]
fn a_full_ring_gives_clones_back() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let shared = chain(&pool, 0, &[60, 60]).share();
    let mut burst: Burst<SharedBuf> = Burst::new(40);
    for _ in 0..40 {
        burst.push(shared.clone()).unwrap();
    }
    assert_eq!(ring.burst_shared(&mut cache, &mut burst), Ok(31));
    assert_eq!((burst.len(), ring.free(), ring.stats().full()), (9, 1, 1));
    assert_eq!(nic.tail.writes(), [62]);
    nic.send_all();
    assert_eq!(ring.burst_shared(&mut cache, &mut burst), Ok(9));
    drop((burst, shared));
    ring.release(&host.stopped()).unwrap();
    assert_eq!(pool.available() + cache.len() as u32, 64);
}
