//! Receiving from a device that is broken, hostile, stopped or gone, and with the wrong cache.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use vfio_hal::DeviceError;
use vfio_hal::dma::DmaError;
use vfio_hal::dma::pool::{Burst, Pool, RxInfo};
use vfio_hal::ring::{RingError, RxError, RxFormat, RxRing};

use crate::kit::*;

/// Returns how many buffers are neither in the pool nor in `cache`.
fn out_of(pool: &Pool, cache: usize) -> u32 {
    pool.capacity() - pool.available() - cache as u32
}

#[test]
fn an_impossible_length_throws_the_packet_away() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    let before = out_of(&pool, cache.len());
    for len in [ROOM as u64 + 1, 0x8000, 0xffff] {
        nic.write_back(&[], [0, DONE | END | len << LEN_SHIFT]);
    }
    // In the middle of a chain it spoils the chain.
    for len in [256, 257, 256] {
        nic.write_back(&[], [0, DONE | len << LEN_SHIFT]);
    }
    nic.write_back(&[], [0, DONE | END | 10 << LEN_SHIFT]);
    assert!(nic.receive(&frame(5, 80)));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
    assert_eq!(out.as_slice()[0].data(), frame(5, 80));
    assert_eq!((ring.stats().malformed(), ring.stats().packets(), ring.stats().bytes()), (4, 1, 80));
    cache.free_all(&mut out);
    assert_eq!(out_of(&pool, cache.len()), before);
}

#[test]
fn a_packet_without_end_holds_32_buffers_at_most_and_the_next_is_whole() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    let before = out_of(&pool, cache.len());
    for _ in 0..100 {
        for _ in 0..10 {
            nic.write_back(&[], [0, DONE | 256 << LEN_SHIFT]);
        }
        assert_eq!(ring.burst(&mut cache, &mut out), Ok(0));
        assert!(out_of(&pool, cache.len()) <= before + 32);
    }
    nic.write_back(&[], [0, DONE | END | 256 << LEN_SHIFT]);
    nic.write_back(&frame(1, 64), [0, DONE | END | 64 << LEN_SHIFT]);
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
    assert_eq!(out.as_slice()[0].data(), frame(1, 64));
    assert_eq!(ring.stats().malformed(), 1);
    cache.free_all(&mut out);
    assert_eq!(out_of(&pool, cache.len()), before);
}

#[test]
fn a_chain_of_32_buffers_is_a_packet_and_one_of_33_is_not() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(128, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 32 * 256)));
    assert!(nic.receive(&frame(2, 32 * 256 + 1)));
    assert!(nic.receive(&frame(3, 60)));
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    for _ in 0..4 {
        ring.burst(&mut cache, &mut out).unwrap();
    }
    assert_eq!(out.len(), 2);
    assert_eq!(bytes(&out.as_slice()[0]), frame(1, 32 * 256));
    assert_eq!(bytes(&out.as_slice()[1]), frame(3, 60));
    assert_eq!(ring.stats().malformed(), 1);
}

#[test]
fn chains_stay_on_the_ring_while_the_pool_is_empty() {
    let mut host = Host::new();
    let pool = host.pool(64 + 4);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 6 * 256)));
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(0), "four of six segments");
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(0));
    assert_eq!((ring.stats().no_buffer(), ring.pending(64)), (1, 2));
    // The packet is thrown away with the ring, not the buffers with the packet.
    ring.release(&host.stopped()).unwrap();
    assert_eq!(out_of(&pool, cache.len()), 0);
}

#[test]
fn whatever_is_written_back_nothing_breaks_and_no_buffer_is_lost() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    let mut state = 0x1234_5678_9abc_def0u64;
    let mut random = || {
        // Xorshift (Marsaglia).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        // Any descriptor, whoever owns it, half of them looking done.
        let (at, done) = (nic.at(random() as u32), random() & DONE);
        nic.memory.store(at, random()).unwrap();
        nic.memory.store(vfio_hal::Iova(at.0 + 8), random() & !DONE | done).unwrap();
        if random() % 4 == 0 {
            ring.burst(&mut cache, &mut out).unwrap();
            for buf in out.iter() {
                assert!(buf.segments().all(|segment| segment.data().len() <= ROOM as usize));
            }
            cache.free_all(&mut out);
            assert!((64..=64 + 32).contains(&out_of(&pool, cache.len())));
        }
    }
    ring.release(&host.stopped()).unwrap();
    assert_eq!(out_of(&pool, cache.len()), 0);
}

#[test]
fn a_cache_of_another_pool_is_refused() {
    let mut host = Host::new();
    let (pool, other) = (host.pool(64), host.pool(64));
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 60)));
    let mut out = Burst::new(32);
    assert_eq!(ring.burst(&mut other.cache(), &mut out), Err(RxError::ForeignCache));
    assert!(out.is_empty());
    assert_eq!(ring.pending(1), 1);
}

#[test]
fn the_proof_of_another_device_gives_no_buffer_back() {
    let (mut host, stranger) = (Host::new(), Host::new());
    let pool = host.pool(256);
    let (mut rx, _nic) = host.rx(64, &pool);
    let (mut tx, _nic) = host.tx(64, &pool);
    rx.post_all();
    tx.post_all();
    let (mut cache, mut burst) = (pool.cache(), Burst::new(32));
    burst.push(packet(&pool, 1, 60)).unwrap();
    assert_eq!(tx.burst(&mut cache, &mut burst), Ok(1));
    assert_eq!(rx.release(&stranger.stopped()), Err(DeviceError::ForeignProof));
    assert_eq!(tx.release(&stranger.stopped()), Err(DeviceError::ForeignProof));
    assert_eq!(out_of(&pool, cache.len()), 65);
    rx.release(&host.stopped()).unwrap();
    tx.release(&host.stopped()).unwrap();
    assert_eq!(out_of(&pool, cache.len()), 0);
}

#[test]
fn a_device_that_is_gone_gives_no_more_packets() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 60)));
    host.lost.latch();
    assert_eq!(ring.burst(&mut pool.cache(), &mut Burst::new(32)), Err(RxError::Lost));
}

#[test]
fn before_it_is_posted_and_after_release_a_ring_is_stopped() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    assert_eq!(ring.burst(&mut cache, &mut out), Err(RxError::Stopped));
    ring.post_all();
    assert!(nic.receive(&frame(1, 600)));
    assert!(nic.receive(&frame(2, 60)));
    ring.release(&host.stopped()).unwrap();
    nic.reset();
    assert_eq!(out_of(&pool, cache.len()), 0);
    assert_eq!((ring.burst(&mut cache, &mut out), ring.pending(64)), (Err(RxError::Stopped), 0));
    // Again, from the first descriptor.
    ring.refill().unwrap();
    assert_eq!(out_of(&pool, cache.len()), 64);
    ring.post_all();
    assert!(nic.receive(&frame(3, 60)));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
    assert_eq!(out.as_slice()[0].data(), frame(3, 60));
}

#[test]
fn a_ring_without_buffers_cannot_be_given_to_the_device() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 60)));
    ring.release(&host.stopped()).unwrap();
    nic.tail.writes();
    // The buffers are somebody else's now.
    ring.expose();
    ring.post_all();
    assert!(nic.tail.writes().is_empty());
    // A device that writes all the same.
    nic.memory.store(vfio_hal::Iova(nic.base.0 + 8), DONE | END | 60 << LEN_SHIFT).unwrap();
    assert_eq!(ring.burst(&mut pool.cache(), &mut Burst::new(32)), Err(RxError::Stopped));
    assert!((0..64).all(|index| nic.buffer(index).0 == 0), "the ring has no address any more");
    drop(ring);
    assert_eq!((pool.leaked(), pool.available()), (0, 128));
}

#[test]
fn posting_twice_gives_the_device_nothing_twice() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    for number in 0..40 {
        assert!(nic.receive(&frame(number, 60)));
    }
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(32));
    ring.post_all();
    // 8 packets are on the ring, one descriptor stays back: all others are the device's.
    assert_eq!(nic.free(), 64 - 8 - 1);
}

#[test]
fn dropped_under_a_device_that_runs_it_leaks_its_buffers_and_counts_them() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 60)));
    drop(ring);
    assert_eq!((pool.leaked(), pool.available()), (64, 64));
    // Whoever has the others can use them, and the region stays mapped, for the device may write.
    assert_eq!(std::iter::from_fn(|| pool.alloc()).collect::<Vec<_>>().len(), 64);
    let mapped = host.device.memory().mappings();
    drop(pool);
    assert_eq!(host.device.memory().mappings(), mapped);
}

#[test]
fn dropped_before_the_device_had_it_or_after_it_stopped_it_leaks_nothing() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (ring, _nic) = host.rx(64, &pool);
    drop(ring);
    assert_eq!((pool.leaked(), pool.available()), (0, 64));
    let (mut ring, _nic) = host.rx(64, &pool);
    ring.expose();
    ring.release(&host.stopped()).unwrap();
    drop(ring);
    assert_eq!((pool.leaked(), pool.available()), (0, 64));
}

#[test]
fn a_pool_that_is_too_small_or_elsewhere_makes_no_ring() {
    let mut host = Host::new();
    let small = host.pool(63);
    let ring = host.descriptors(64);
    let doorbell = host.doorbell().0;
    let error = RxRing::<Format>::new(ring, doorbell, host.lost.clone(), &small, ROOM, 0).err().unwrap();
    assert_eq!(error, RingError::Dma(DmaError::PoolTooSmall { have: 63, need: 64 }));
    assert_eq!(small.available(), 63);
    let ring = host.descriptors(64);
    let doorbell = host.doorbell().0;
    let elsewhere = Host::new().pool(128);
    let error = RxRing::<Format>::new(ring, doorbell, host.lost.clone(), &elsewhere, ROOM, 0).err().unwrap();
    assert_eq!(error, RingError::ForeignSpace);
}

#[test]
fn a_ring_that_cannot_be_refilled_takes_nothing() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, _nic) = host.rx(64, &pool);
    ring.post_all();
    ring.release(&host.stopped()).unwrap();
    let one = pool.alloc();
    let error = ring.refill().unwrap_err();
    assert_eq!(error, RingError::Dma(DmaError::PoolTooSmall { have: 63, need: 64 }));
    assert_eq!(pool.available(), 63);
    drop(one);
    ring.refill().unwrap();
    assert_eq!(pool.available(), 0);
}

/// Counts down to a panic.
static PANIC_IN: AtomicU32 = AtomicU32::new(u32::MAX);

/// A driver's bug.
struct Panics;

fn tick() {
    if PANIC_IN.fetch_sub(1, Ordering::Relaxed) == 0 {
        panic!("the format panics");
    }
}

impl RxFormat for Panics {
    const DONE: u64 = DONE;
    const END: u64 = END;

    fn len(words: [u64; 2]) -> u32 {
        tick();
        Format::len(words)
    }

    fn info(words: [u64; 2]) -> RxInfo {
        tick();
        RxInfo(words)
    }
}

#[test]
fn a_format_that_panics_loses_no_buffer_and_doubles_none() {
    for at in 0..14 {
        let mut host = Host::new();
        let pool = host.pool(256);
        let (_, mut nic) = host.rx(64, &pool);
        let (doorbell, tail) = host.doorbell();
        let descriptors = host.descriptors(64);
        (nic.base, nic.tail) = (descriptors.bus().iova(), tail);
        let mut ring =
            RxRing::<Panics>::new(descriptors, doorbell, host.lost.clone(), &pool, ROOM, 0).unwrap();
        ring.post_all();
        for number in 0..5 {
            assert!(nic.receive(&frame(number, 60)));
        }
        assert!(nic.receive(&frame(5, 500)));
        let (mut cache, mut out) = (pool.cache(), Burst::new(32));
        PANIC_IN.store(at, Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| ring.burst(&mut cache, &mut out)));
        PANIC_IN.store(u32::MAX, Ordering::Relaxed);
        assert!(result.is_err(), "there are 14 calls before the burst is over: {at}");
        // A descriptor that was written back holds no address.
        let posted = (0..64).map(|index| nic.buffer(index)).filter(|address| address.0 != 0);
        let mut addresses: Vec<_> = posted.collect();
        addresses.extend(out.iter().map(|buf| buf.data_iova()));
        let spare: Vec<_> = (0..cache.len()).filter_map(|_| cache.alloc()).collect();
        addresses.extend(spare.iter().map(|buf| buf.data_iova()));
        let all = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), all, "a buffer has two owners");
        drop((cache, spare));
        out.clear();
        ring.release(&host.stopped()).unwrap();
        assert_eq!(out_of(&pool, 0), 0);
    }
}
