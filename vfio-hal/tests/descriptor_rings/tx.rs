//! Sending: bursts, reports, what comes back, doorbells.

use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::ring::TxError;

use crate::kit::*;

/// Returns a burst of packets numbered from `first` on, `len` bytes and more.
fn burst_of(pool: &Pool, first: usize, count: usize, len: usize) -> Burst {
    let mut burst = Burst::new(count);
    for number in first..first + count {
        burst.push(packet(pool, number, len + number % 50)).unwrap();
    }
    burst
}

fn data(nic: &TxNic) -> Vec<Vec<u8>> {
    nic.sent.iter().map(|sent| sent.data.clone()).collect()
}

fn frames(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(number, len + number % 50)).collect()
}

#[test]
fn packets_go_in_order_and_whole() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut burst = burst_of(&pool, 0, 20, 60);
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(20));
    assert!(burst.is_empty());
    nic.send_all();
    assert_eq!(data(&nic), frames(20, 60));
    let stats = ring.stats();
    let bytes: usize = frames(20, 60).iter().map(Vec::len).sum();
    assert_eq!((stats.packets(), stats.bytes(), stats.full(), stats.refused()), (20, bytes as u64, 0, 0));
}

#[test]
fn a_packet_is_sent_from_where_its_data_starts_and_to_where_it_ends() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut burst = Burst::new(4);
    let mut pushed = packet(&pool, 1, 60);
    pushed.prepend(14).unwrap().copy_from_slice(&frame(2, 14));
    let mut pulled = packet(&pool, 3, 60);
    assert!(pulled.trim_front(20) && pulled.truncate(30));
    let mut whole = packet(&pool, 4, 256);
    assert!(whole.prepend(128).is_some());
    for buf in [pushed, pulled, whole] {
        burst.push(buf).unwrap();
    }
    let expected: Vec<_> = burst.iter().map(|buf| buf.data().to_vec()).collect();
    assert_eq!(ring.burst(&mut pool.cache(), &mut burst), Ok(3));
    nic.send_all();
    assert_eq!(data(&nic), expected);
    assert_eq!(expected[0], [frame(2, 14), frame(1, 60)].concat());
    assert_eq!((expected[1].as_slice(), expected[2].len()), (&frame(3, 60)[20..50], 384));
}

#[test]
fn one_doorbell_for_a_burst_and_none_for_nothing() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.tx(128, &pool);
    let mut cache = pool.cache();
    let mut next = 0;
    for count in [1, 32, 0, 50, 3] {
        let mut burst = burst_of(&pool, 0, count, 60);
        assert_eq!(ring.burst(&mut cache, &mut burst), Ok(count));
        next += count as u64;
        let expected = if count == 0 { vec![] } else { vec![next] };
        assert_eq!(nic.tail.writes(), expected, "after {count} packets");
    }
    nic.send_all();
    assert_eq!(nic.sent.len(), 86);
}

#[test]
fn a_full_ring_gives_back_what_does_not_fit_and_takes_it_once_there_is_room() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut burst = burst_of(&pool, 0, 100, 60);
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(63), "one descriptor stays free");
    assert_eq!((burst.len(), ring.free()), (37, 0));
    assert_eq!(burst.as_slice()[0].data(), frame(63, 60 + 13));
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(0));
    assert_eq!(ring.stats().full(), 2);
    assert_eq!(nic.tail.writes(), [63], "no doorbell for nothing");
    // The first 31 are not reported, so they are not free; with the 32nd they are.
    nic.send(31);
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(0));
    nic.send(1);
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(32));
    nic.send_all();
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(5));
    nic.send_all();
    assert_eq!(data(&nic), frames(100, 60));
    assert_eq!((ring.stats().packets(), ring.stats().full()), (100, 4));
}

#[test]
fn every_32nd_descriptor_is_reported_and_no_other() {
    let mut host = Host::new();
    let pool = host.pool(512);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut number = 0;
    for count in [5, 31, 1, 32, 40, 7, 63, 2].into_iter().cycle().take(40) {
        let mut burst = burst_of(&pool, number, count, 60);
        while !burst.is_empty() {
            number += ring.burst(&mut cache, &mut burst).unwrap();
            nic.send_all();
        }
    }
    let reported: Vec<_> = (0..nic.sent.len()).filter(|&at| nic.sent[at].report).collect();
    let expected: Vec<_> = (0..nic.sent.len()).filter(|at| at % 32 == 31).collect();
    assert_eq!((nic.sent.len(), reported), (number, expected));
}

#[test]
fn what_was_sent_comes_back_to_the_cache() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.tx(128, &pool);
    let mut cache = pool.cache();
    assert_eq!(ring.burst(&mut cache, &mut burst_of(&pool, 0, 70, 60)), Ok(70));
    assert_eq!((ring.reap(&mut cache), cache.len()), (0, 0), "nothing is reported yet");
    nic.send(40);
    assert_eq!((ring.reap(&mut cache), cache.len(), ring.free()), (32, 32, 127 - 38));
    nic.send_all();
    assert_eq!((ring.reap(&mut cache), cache.len(), ring.free()), (32, 64, 127 - 6));
    assert_eq!(ring.reap(&mut cache), 0, "the last six were not reported");
    assert_eq!(pool.available(), 128 - 70);
    // The next 26 make it 32.
    assert_eq!(ring.burst(&mut cache, &mut burst_of(&pool, 0, 26, 60)), Ok(26));
    nic.send_all();
    assert_eq!((ring.reap(&mut cache), ring.free()), (32, 127));
    assert_eq!(cache.len() as u32 + pool.available(), 128);
}

#[test]
fn a_burst_reaps_only_what_it_needs() {
    let mut host = Host::new();
    let pool = host.pool(1024);
    let (mut ring, mut nic) = host.tx(512, &pool);
    let mut cache = pool.cache();
    for _ in 0..14 {
        assert_eq!(ring.burst(&mut cache, &mut burst_of(&pool, 0, 32, 60)), Ok(32));
        nic.send_all();
    }
    assert_eq!((ring.free(), cache.len()), (511 - 14 * 32, 0));
    // From here on one magazine comes back for each that goes, so that the cache neither runs dry nor over.
    for round in 1..40 {
        assert_eq!(ring.burst(&mut cache, &mut burst_of(&pool, 0, 32, 60)), Ok(32));
        nic.send_all();
        assert_eq!(cache.len(), 32 * round.min(4));
        if cache.len() == 128 {
            cache.flush();
            break;
        }
    }
}

#[test]
fn a_ring_goes_round_for_many_laps_and_no_buffer_is_lost() {
    let mut host = Host::new();
    let pool = host.pool(512);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let (mut first, mut lens) = (0, vec![]);
    for round in 0..300 {
        let count = 1 + round * 5 % 60;
        let mut burst = Burst::new(count);
        for number in 0..count {
            let mut buf = cache.alloc().unwrap();
            assert!(buf.fill(&frame(first + number, 60)));
            burst.push(buf).unwrap();
        }
        let sent = ring.burst(&mut cache, &mut burst).unwrap();
        (first, lens) = (first + sent, [lens, vec![60; sent]].concat());
        cache.free_all(&mut burst);
        nic.send(round as u32 * 11 % 50);
    }
    nic.send_all();
    assert_eq!(data(&nic), lens.iter().enumerate().map(|(at, &len)| frame(at, len)).collect::<Vec<_>>());
    ring.release(&host.stopped()).unwrap();
    assert_eq!(cache.len() as u32 + pool.available(), 512);
}

#[test]
fn a_stopped_ring_takes_nothing_and_gives_back_what_was_on_it() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut burst = burst_of(&pool, 0, 40, 60);
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(40));
    nic.send(10);
    ring.release(&host.stopped()).unwrap();
    nic.reset();
    assert_eq!((pool.available(), ring.free()), (128, 63));
    let mut burst = burst_of(&pool, 0, 2, 60);
    assert_eq!(ring.burst(&mut cache, &mut burst), Err(TxError::Stopped));
    assert_eq!((burst.len(), ring.reap(&mut cache)), (2, 0));
    // From the first descriptor again, with reports where they belong.
    ring.post_all();
    nic.sent.clear();
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(2));
    assert_eq!(ring.burst(&mut cache, &mut burst_of(&pool, 2, 40, 60)), Ok(40));
    nic.send_all();
    assert_eq!(data(&nic), frames(42, 60));
    assert_eq!(nic.sent.iter().position(|sent| sent.report), Some(31));
}

#[test]
fn a_new_ring_takes_nothing_before_it_is_posted() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (doorbell, tail) = host.doorbell();
    let descriptors = host.descriptors(64);
    let mut ring =
        vfio_hal::ring::TxRing::<Format>::new(descriptors, doorbell, host.lost.clone(), &pool).unwrap();
    let mut burst = burst_of(&pool, 0, 1, 60);
    assert_eq!(ring.burst(&mut pool.cache(), &mut burst), Err(TxError::Stopped));
    assert!(tail.writes().is_empty());
    drop(ring);
    drop(burst);
    assert_eq!((pool.leaked(), pool.available()), (0, 64));
}

#[test]
fn dropped_under_a_device_that_runs_it_leaks_what_is_on_it_and_counts_that() {
    let mut host = Host::new();
    let (pool, other) = (host.pool(128), host.pool(8));
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    assert_eq!(ring.burst(&mut cache, &mut burst_of(&pool, 0, 40, 60)), Ok(40));
    nic.send_all();
    ring.reap(&mut cache);
    // A context descriptor, a chain over two pools, and a clone of a chain: what is counted is buffers.
    let mut burst = Burst::new(1);
    let mut tagged = packet(&pool, 0, 60);
    tagged.set_tx_flags(vfio_hal::dma::pool::TxFlags::VLAN_INSERT);
    tagged.chain(packet(&other, 1, 60));
    burst.push(tagged).unwrap();
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(1));
    let mut shared = Burst::new(1);
    let mut long = packet(&other, 2, 60);
    long.chain(packet(&other, 3, 60));
    shared.push(long.share()).unwrap();
    assert_eq!(ring.burst_shared(&mut cache, &mut shared), Ok(1));
    drop(ring);
    assert_eq!((pool.leaked(), other.leaked()), (8 + 1, 3));
    assert_eq!((pool.available() + cache.len() as u32, other.available()), (128 - 9, 8 - 3));
}

#[test]
fn a_cache_of_another_pool_still_sends_and_loses_nothing() {
    let mut host = Host::new();
    let (pool, other) = (host.pool(256), host.pool(64));
    let (mut ring, mut nic) = host.tx(64, &pool);
    let mut cache = other.cache();
    let mut sent = 0;
    for round in 0..20 {
        let mut burst = burst_of(&pool, sent, 10 + round, 60);
        sent += ring.burst(&mut cache, &mut burst).unwrap();
        nic.send_all();
    }
    assert_eq!(data(&nic), frames(sent, 60));
    ring.reap(&mut cache);
    assert_eq!((cache.len(), pool.available()), (0, 256 - (63 - ring.free())));
    ring.release(&host.stopped()).unwrap();
    assert_eq!((pool.available(), other.available()), (256, 64));
}
