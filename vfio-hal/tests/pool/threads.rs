//! Several threads at once. Run under ThreadSanitizer, these find races in what is ordered by the pool alone:
//!
//! `RUSTFLAGS=-Zsanitizer=thread cargo +nightly test -p vfio-hal --target x86_64-unknown-linux-gnu --test pool threads`

use std::sync::mpsc;
use std::thread;

use vfio_hal::dma::pool::{Burst, SharedBuf};

use crate::kit::*;

/// How often, so that a run takes a moment and not long under a sanitizer.
const ROUNDS: u32 = 20_000;

#[test]
fn buffers_travel_between_threads_through_the_pool() {
    let host = Host::new();
    let pool = host.pool(96);
    let worker = |seed: u32| {
        let mut cache = pool.cache();
        move || {
            let mut held = Burst::new(48);
            for round in 0..ROUNDS {
                let Some(mut buf) = cache.alloc() else {
                    cache.free_all(&mut held);
                    cache.flush();
                    continue;
                };
                // Plain writes and reads: if two threads had the buffer, or one before the other let go, that is a race.
                let content = (seed ^ round).to_le_bytes();
                assert!(buf.fill(&content));
                assert_eq!(buf.data(), content);
                if round % 3 == 0 {
                    drop(buf);
                } else if let Err(buf) = held.push(buf) {
                    cache.free(buf);
                    cache.free_all(&mut held);
                }
                if round % 64 == 0 {
                    cache.flush();
                }
            }
        }
    };
    let (one, two) = (thread::spawn(worker(0x5555_0000)), thread::spawn(worker(0xaaaa_0000)));
    one.join().unwrap();
    two.join().unwrap();
    assert_eq!(pool.available(), 96);
}

#[test]
fn one_thread_receives_and_another_frees() {
    let host = Host::new();
    let pool = host.pool(64);
    let (sender, receiver) = mpsc::sync_channel::<Burst>(4);
    let freer = thread::spawn({
        let mut cache = pool.cache();
        move || {
            let mut sum = 0;
            for mut burst in receiver {
                sum += burst.iter().map(|buf| u64::from(buf.data()[0])).sum::<u64>();
                cache.free_all(&mut burst);
                cache.flush();
            }
            sum
        }
    });
    let mut cache = pool.cache();
    let (mut sent, mut sum) = (0, 0);
    while sent < ROUNDS {
        let mut burst = Burst::new(8);
        while burst.room() != 0 {
            match cache.alloc() {
                Some(mut buf) => {
                    assert!(buf.fill(&[sent as u8; 60]));
                    sum += u64::from(sent as u8);
                    sent += 1;
                    burst.push(buf).unwrap();
                }
                None => thread::yield_now(),
            }
        }
        sender.send(burst).unwrap();
    }
    drop(sender);
    assert_eq!(freer.join().unwrap(), sum);
    cache.flush();
    assert_eq!(pool.available(), 64);
}

#[test]
fn clones_are_let_go_on_two_threads_and_written_by_the_last() {
    let host = Host::new();
    let pool = host.pool(8);
    let (sender, receiver) = mpsc::sync_channel::<SharedBuf>(4);
    let other = thread::spawn(move || receiver.iter().map(|shared| u64::from(shared.data()[0])).sum::<u64>());
    let mut sum = 0;
    for round in 0..ROUNDS {
        let Some(mut buf) = pool.alloc() else {
            thread::yield_now();
            continue;
        };
        assert!(buf.fill(&[round as u8; 60]));
        let shared = buf.share();
        sum += u64::from(round as u8);
        sender.send(shared.clone()).unwrap();
        // Whoever is alone may write; else the other brings it home, and somebody else writes.
        if let Ok(mut buf) = shared.try_unshare() {
            buf.data_mut().fill(0xff);
        }
    }
    drop(sender);
    assert_eq!(other.join().unwrap(), sum);
    assert_eq!(pool.available(), 8);
}

#[test]
fn the_last_buffer_frees_the_memory_on_whatever_thread_it_is() {
    let host = Host::new();
    for round in 0..200u32 {
        let pool = host.pool(4);
        let mut bufs: Vec<_> = (0..4u8).map(|number| packet(&pool, &[number; 60])).collect();
        let mine = bufs.split_off(2);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            drop(other);
            bufs.iter_mut().for_each(|buf| buf.data_mut().fill(round as u8));
            drop(bufs);
        });
        drop(pool);
        assert_eq!((mine[0].data()[0], mine[1].data()[0]), (2, 3));
        drop(mine);
        thread.join().unwrap();
        assert_eq!(host.memory.mappings(), 0);
    }
}
