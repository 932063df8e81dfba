//! Sending where it could stand still for good, and to devices that lie, panic or are gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use vfio_hal::Iova;
use vfio_hal::dma::pool::{Buf, Burst, Packet, Pool, SharedBuf};
use vfio_hal::ring::{RingError, TxError, TxFormat, TxPlan, TxRing};

use crate::kit::*;

fn chain(pool: &Pool, segments: usize) -> Buf {
    let mut first = packet(pool, 0, 60);
    (1..segments).for_each(|number| first.chain(packet(pool, number, 60)));
    first
}

fn one(buf: Buf) -> Burst {
    let mut burst = Burst::new(1);
    burst.push(buf).unwrap();
    burst
}

#[test]
fn a_long_packet_waits_for_room_and_then_goes_by_itself() {
    let mut host = Host::new();
    let pool = host.pool(512);
    let (mut ring, mut nic) = host.tx(128, &pool);
    let mut cache = pool.cache();
    for number in 0..92 {
        assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, number, 60))), Ok(1));
    }
    // One packet and a margin of 32 seem to fit into what is free, 35; its 40 segments do not.
    assert_eq!(ring.free(), 35);
    let mut burst = one(chain(&pool, 40));
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(0));
    nic.send_all();
    assert_eq!(ring.burst(&mut cache, &mut burst), Ok(1), "the ring is empty, and nobody called reap");
}

#[test]
fn a_long_clone_waits_for_room_and_then_goes_by_itself() {
    let mut host = Host::new();
    let pool = host.pool(512);
    let (mut ring, mut nic) = host.tx(128, &pool);
    let mut cache = pool.cache();
    for number in 0..92 {
        assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, number, 60))), Ok(1));
    }
    let mut burst: Burst<SharedBuf> = Burst::new(1);
    burst.push(chain(&pool, 40).share()).unwrap();
    assert_eq!(ring.burst_shared(&mut cache, &mut burst), Ok(0));
    nic.send_all();
    assert_eq!(ring.burst_shared(&mut cache, &mut burst), Ok(1));
}

#[test]
fn the_longest_packet_always_fits_beside_what_is_never_reported() {
    let mut host = Host::new();
    let pool = host.pool(512);
    for unreported in 0..32 {
        let (mut ring, mut nic) = host.tx(64, &pool);
        let mut cache = pool.cache();
        for number in 0..unreported {
            assert_eq!(ring.burst(&mut cache, &mut one(packet(&pool, number, 60))), Ok(1));
        }
        nic.send_all();
        let Err(TxError::TooManySegments { max, .. }) = ring.burst(&mut cache, &mut one(chain(&pool, 63)))
        else {
            panic!("63 segments are more than may be")
        };
        let mut burst = one(chain(&pool, max as usize));
        assert_eq!(ring.burst(&mut cache, &mut burst), Ok(1), "after {unreported}");
        ring.release(&host.stopped()).unwrap();
    }
}

#[test]
fn a_device_that_is_gone_takes_nothing() {
    let mut host = Host::new();
    let pool = host.pool(64);
    let (mut ring, _nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    host.lost.latch();
    let mut burst = one(packet(&pool, 0, 60));
    assert_eq!((ring.burst(&mut cache, &mut burst), burst.len()), (Err(TxError::Lost), 1));
    let mut shared = Burst::new(1);
    shared.push(burst.take().unwrap().share()).unwrap();
    assert_eq!((ring.burst_shared(&mut cache, &mut shared), shared.len()), (Err(TxError::Lost), 1));
    assert_eq!(ring.reap(&mut cache), 0);
}

#[test]
fn whatever_a_device_writes_back_no_buffer_is_lost_or_doubled() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, nic) = host.tx(64, &pool);
    let mut cache = pool.cache();
    let mut state = 0x0fed_cba9_8765_4321u64;
    let mut random = || {
        // Xorshift (Marsaglia).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut burst = Burst::new(32);
    for _ in 0..20_000 {
        // Any descriptor, whoever owns it, in the middle of a batch or long sent.
        let at = nic.at(random() as u32);
        nic.memory.store(at, random()).unwrap();
        nic.memory.store(Iova(at.0 + 8), random()).unwrap();
        if random() % 3 == 0 {
            let segments = 1 + (random() % 4) as usize;
            if let Some(mut buf) = cache.alloc() {
                assert!(buf.fill(&[0; 60]));
                for _ in 1..segments {
                    let Some(mut next) = cache.alloc() else { break };
                    assert!(next.fill(&[1; 60]));
                    buf.chain(next);
                }
                burst.push(buf).unwrap_or_else(drop);
            }
            ring.burst(&mut cache, &mut burst).unwrap();
        }
        let held: usize = burst.iter().map(|buf| buf.segment_count()).sum();
        let out = 256 - pool.available() as usize - cache.len() - held;
        assert_eq!(out, 63 - ring.free() as usize);
    }
    assert!(ring.stats().packets() > 1000);
    ring.release(&host.stopped()).unwrap();
    burst.clear();
    cache.flush();
    assert_eq!(pool.available(), 256);
}

#[test]
fn a_pool_of_another_space_makes_no_ring() {
    let mut host = Host::new();
    let elsewhere = Host::new().pool(64);
    let descriptors = host.descriptors(64);
    let doorbell = host.doorbell().0;
    let error = TxRing::<Format>::new(descriptors, doorbell, host.lost.clone(), &elsewhere).err().unwrap();
    assert_eq!(error, RingError::ForeignSpace);
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

impl TxFormat for Panics {
    const DONE: u64 = TX_DONE;
    const REPORT: u64 = TX_REPORT;
    const END: u64 = TX_END;
    const KIND: (u64, u64) = <Format as TxFormat>::KIND;
    const MAX_SEGMENT: u32 = 4000;
    const MAX_DESCRIPTORS: u32 = 40;

    fn plain(len: u32) -> u64 {
        tick();
        <Format as TxFormat>::plain(len)
    }

    fn plan(packet: &Packet) -> Result<TxPlan, TxError> {
        tick();
        Format::plan(packet)
    }

    fn segment(plan: &TxPlan, len: u32) -> u64 {
        tick();
        Format::segment(plan, len)
    }
}

#[test]
fn a_format_that_panics_loses_no_buffer_and_doubles_none() {
    // 5 plain packets, one of 3 segments (a plan and 3 descriptors), 2 clones (4 calls).
    for at in 0..13 {
        let mut host = Host::new();
        let pool = host.pool(128);
        let (doorbell, _tail) = host.doorbell();
        let descriptors = host.descriptors(64);
        let mut ring = TxRing::<Panics>::new(descriptors, doorbell, host.lost.clone(), &pool).unwrap();
        ring.post_all();
        let mut cache = pool.cache();
        let mut burst = Burst::new(32);
        for number in 0..5 {
            burst.push(packet(&pool, number, 60)).unwrap();
        }
        burst.push(chain(&pool, 3)).unwrap();
        let mut shared = Burst::new(2);
        let clone = packet(&pool, 0, 60).share();
        shared.push(clone.clone()).unwrap();
        shared.push(clone).unwrap();
        PANIC_IN.store(at, Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| {
            ring.burst(&mut cache, &mut burst).unwrap();
            ring.burst_shared(&mut cache, &mut shared).unwrap();
        }));
        PANIC_IN.store(u32::MAX, Ordering::Relaxed);
        assert!(result.is_err(), "there are 13 calls before both bursts are over: {at}");
        // It goes on with the rest.
        ring.burst(&mut cache, &mut burst).unwrap();
        ring.burst_shared(&mut cache, &mut shared).unwrap();
        ring.release(&host.stopped()).unwrap();
        drop((burst, shared, cache));
        assert_eq!(pool.available(), 128, "{at}");
    }
}
