//! The parts: a register access, the pool, the software rings (crossbeam's queue is the baseline).
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use pmd_ixgbe::regs::{RDT, Regs, STATUS};
use vfio_hal::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::Pool;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::ring::{mpmc::Mpmc, spsc};
use vfio_hal::testing::{FakeDevice, RamDevice};

fn registers(c: &mut Criterion) {
    let mut group = c.benchmark_group("register");
    let mapped = Regs::new(RamDevice::new(0x2_0000).bar(0).expect("BAR 0")).expect("all registers");
    let trapped = Regs::new(FakeDevice::new(0x2_0000).bar(0).expect("BAR 0")).expect("all registers");
    let bell = mapped.doorbell::<RDT>(0).expect("queue 0");
    group.bench_function("read, mapped", |b| b.iter(|| black_box(mapped.read::<STATUS>())));
    group.bench_function("read, trapped", |b| b.iter(|| black_box(trapped.read::<STATUS>())));
    group.bench_function("doorbell, mapped", |b| b.iter(|| bell.ring(black_box(7))));
    group.finish();
}

fn pool(c: &mut Criterion) {
    let space = IovaSpace::new();
    let memory = HeapMemory::new((Pool::stride(2048) * 1024).next_multiple_of(4096)).expect("memory");
    let region = Region::alloc(&space, memory, DmaAccess::ReadWrite).expect("a mapping");
    let pool = Pool::new(region, 1024, 2048).expect("a pool");
    let mut cache = pool.cache();
    let mut group = c.benchmark_group("pool");
    group.throughput(Throughput::Elements(32));
    group.bench_function("cache", |b| {
        b.iter(|| {
            let bufs: [_; 32] = std::array::from_fn(|_| cache.alloc());
            bufs.into_iter().flatten().for_each(|buf| cache.free(buf));
        })
    });
    group.bench_function("shared level", |b| {
        b.iter(|| {
            let bufs: [_; 32] = std::array::from_fn(|_| pool.alloc());
            drop(black_box(bufs));
        })
    });
    group.finish();
}

fn rings(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring, 32 words");
    group.throughput(Throughput::Elements(32));
    let (mpmc, baseline) = (Mpmc::<u64>::new(1024).expect("a ring"), ArrayQueue::new(1024));
    let (mut producer, mut consumer) = spsc::ring::<u64>(1024).expect("a ring");
    group.bench_function("mpmc, burst", |b| {
        b.iter(|| {
            mpmc.push_burst(32, || black_box(7));
            mpmc.pop_burst(32, |word| {
                black_box(word);
            })
        })
    });
    group.bench_function("spsc, burst", |b| {
        b.iter(|| {
            producer.push_burst(32, || black_box(7));
            consumer.pop_burst(32, |word| {
                black_box(word);
            })
        })
    });
    group.bench_function("crossbeam, one by one", |b| {
        b.iter(|| {
            for _ in 0..32 {
                let _ = baseline.push(black_box(7u64));
            }
            for _ in 0..32 {
                black_box(baseline.pop());
            }
        })
    });
    group.finish();
}

criterion_group!(benches, registers, pool, rings);
criterion_main!(benches);
