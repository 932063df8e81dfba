//! The buffer pool with several threads at once. Buffers are written and read with plain accesses that the pool alone
//! orders, so under ThreadSanitizer (`scripts/test tsan`) a buffer with two owners, or one that is handed on too early,
//! is a reported race.
#![cfg(not(loom))]

use std::sync::Arc;
use std::thread;

use vfio_hal::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, Pool, SharedBuf};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::ring::spsc::{self, Consumer, Producer};
use vfio_hal::testing::{FakeDevice, FakeDma};

/// A space with a device in it, which shows what is mapped.
struct Host {
    memory: FakeDma,
    space: IovaSpace,
}

impl Host {
    fn new() -> Host {
        let memory = FakeDma::new();
        let device: Arc<dyn Device> = Arc::new(FakeDevice::new(0x100).with_memory(memory.clone()));
        let space = IovaSpace::new();
        space.attach(&device).unwrap();
        Host { memory, space }
    }

    fn pool(&self, count: u32) -> Pool {
        let memory = HeapMemory::new(Pool::stride(256) * count as usize).unwrap();
        Pool::new(Region::alloc(&self.space, memory, DmaAccess::ReadWrite).unwrap(), count, 256).unwrap()
    }
}

/// Pushes, however long it takes.
fn send<T>(producer: &mut Producer<T>, value: T) {
    let mut value = Some(value);
    while let Some(Err(back)) = value.take().map(|value| producer.push(value)) {
        value = Some(back);
        thread::yield_now();
    }
}

/// Calls `f` with all that comes until the other end is gone.
fn receive<T>(mut consumer: Consumer<T>, mut f: impl FnMut(T)) {
    loop {
        // Asked first: what was pushed before the end is still there after it.
        let over = consumer.is_abandoned();
        match consumer.pop() {
            Some(value) => f(value),
            None if over => return,
            None => thread::yield_now(),
        }
    }
}

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
    let (mut sender, receiver) = spsc::ring::<Burst>(4).unwrap();
    let freer = thread::spawn({
        let mut cache = pool.cache();
        move || {
            let mut sum = 0;
            receive(receiver, |mut burst| {
                sum += burst.iter().map(|buf| u64::from(buf.data()[0])).sum::<u64>();
                cache.free_all(&mut burst);
                cache.flush();
            });
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
        send(&mut sender, burst);
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
    let (mut sender, receiver) = spsc::ring::<SharedBuf>(4).unwrap();
    let other = thread::spawn(move || {
        let mut sum = 0;
        receive(receiver, |shared| sum += u64::from(shared.data()[0]));
        sum
    });
    let mut sum = 0;
    for round in 0..ROUNDS {
        let Some(mut buf) = pool.alloc() else {
            thread::yield_now();
            continue;
        };
        assert!(buf.fill(&[round as u8; 60]));
        let shared = buf.share();
        sum += u64::from(round as u8);
        send(&mut sender, shared.clone());
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
        let mut bufs: Vec<_> = (0..4).filter_map(|_| pool.alloc()).collect();
        for (number, buf) in bufs.iter_mut().enumerate() {
            assert!(buf.fill(&[number as u8; 60]));
        }
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
