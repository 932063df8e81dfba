//! The stream accelerator: bursts of work through rings, checked against a published checksum.

use std::time::Duration;

use pmd_afu::accel::Accelerator;
use pmd_afu::accel::stream::{Command, Queue, Stream, WorkFailed, outcome};
use pmd_afu::regs::stream::{Operation, Status};
use pmd_afu::{AfuError, Card, Sharing};
use pmd_afu_model::{AfuKind, Config, Faults};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::ring::{Completed, Work, WorkError};

use crate::bench::Bench;

const BUFFERS: u32 = 512;
const ROOM: u32 = 4096;

fn open(config: Config) -> (Bench, Card, Stream, Pool) {
    let bench = Bench::new(config);
    let card = bench.card();
    let stream = Stream::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let pool = pool(&bench.space);
    (bench, card, stream, pool)
}

fn pool(space: &IovaSpace) -> Pool {
    let memory = HeapMemory::new((BUFFERS * (ROOM + 256)) as usize).unwrap();
    Pool::new(Region::alloc(space, memory, DmaAccess::ReadWrite).unwrap(), BUFFERS, ROOM).unwrap()
}

fn work(pool: &Pool, operation: Operation, len: usize, seed: usize) -> Work<Command> {
    let mut source = pool.alloc().unwrap();
    for (index, byte) in source.append(len).unwrap().iter_mut().enumerate() {
        *byte = (index * 31 + seed * 7) as u8;
    }
    let destination = operation.has_destination().then(|| {
        let mut buf = pool.alloc().unwrap();
        buf.append(len).unwrap().fill(0xbe);
        buf
    });
    Work { command: operation.into(), source, destination }
}

fn check(done: &Completed<Command>) {
    let crc = crc32c::crc32c(done.work.source.data());
    let result = outcome(done).unwrap();
    match done.work.command.operation {
        Operation::Crc32c => assert_eq!(result, crc),
        Operation::Copy => assert_eq!(result as usize, done.work.source.len()),
        Operation::CopyCrc32c => assert_eq!(result, crc),
    }
    if let Some(destination) = &done.work.destination {
        assert_eq!(destination.data(), done.work.source.data());
    }
}

/// Lets the model work until everything is back.
fn drain(bench: &Bench, queue: &mut Queue, mut each: impl FnMut(Completed<Command>)) {
    let mut done = Burst::new(32);
    for _ in 0..10_000 {
        queue.complete(&mut done).unwrap();
        while let Some(completed) = done.take() {
            each(completed);
        }
        if queue.in_flight() == 0 {
            return;
        }
        bench.pass(Duration::from_micros(10));
    }
    panic!("work does not come back: {queue:?}");
}

#[test]
fn bursts_of_all_operations_come_back_in_order_and_right() {
    let (bench, _card, mut stream, pool) = open(Config::with_ports(&[AfuKind::Stream]));
    assert!(Operation::ALL.iter().all(|&operation| stream.does(operation)));
    let mut queue = stream.start_queue(64, &pool, None).unwrap();
    let (mut given, mut back, mut burst) = (0, 0, Burst::new(32));
    // Five times around the ring.
    while given < 320 {
        while burst.len() < 32 && given + burst.len() < 320 {
            let number = given + burst.len();
            let item = work(&pool, Operation::ALL[number % 3], 1 + number * 11 % 4000, number);
            assert!(burst.push(item).is_ok());
        }
        given += queue.submit(&mut burst).unwrap();
        drain(&bench, &mut queue, |done| {
            assert_eq!(done.work.source.len(), 1 + back * 11 % 4000, "in order");
            check(&done);
            back += 1;
        });
    }
    assert_eq!(back, 320);
    let counters = stream.counters().unwrap();
    assert_eq!((counters.work, counters.failed), (320, 0));
    assert_eq!((queue.stats().submitted(), queue.stats().completed()), (320, 320));
    assert!(stream.stop_queue(queue).unwrap().is_empty());
    drop(burst);
    assert_eq!((pool.available(), pool.leaked()), (BUFFERS, 0));
}

#[test]
fn a_full_ring_takes_what_fits_and_one_doorbell_serves_a_burst() {
    let (bench, _card, mut stream, pool) = open(Config::with_ports(&[AfuKind::Stream]));
    bench.control.set_faults(0, Faults { stalled: true, ..Faults::default() });
    let mut queue = stream.start_queue(32, &pool, None).unwrap();
    let mut burst = Burst::new(64);
    for number in 0..64 {
        assert!(burst.push(work(&pool, Operation::Crc32c, 100, number)).is_ok());
    }
    assert_eq!(queue.submit(&mut burst), Ok(31), "one descriptor stays free");
    assert_eq!((queue.submit(&mut burst), burst.len(), queue.free()), (Ok(0), 33, 0));
    assert_eq!(queue.stats().full(), 2);
    assert_eq!(queue.complete(&mut Burst::new(1)), Ok(0));
    bench.control.set_faults(0, Faults::default());
    drain(&bench, &mut queue, |done| check(&done));
    assert_eq!(queue.submit(&mut burst), Ok(31));
    drain(&bench, &mut queue, |done| check(&done));
    assert_eq!(queue.submit(&mut burst), Ok(2));
    drain(&bench, &mut queue, |done| check(&done));
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let (_bench, _card, mut stream, pool) = open(Config::with_ports(&[AfuKind::Stream]));
    for size in [0, 16, 48, 4096] {
        assert!(matches!(stream.start_queue(size, &pool, None), Err(AfuError::Parameter { .. })), "{size}");
    }
    let mut queue = stream.start_queue(32, &pool, None).unwrap();
    let mut refused = |work: Work<Command>| {
        let mut burst = Burst::new(1);
        assert!(burst.push(work).is_ok());
        queue.submit(&mut burst).unwrap_err()
    };
    let copy = |destination| Work {
        command: Operation::Copy.into(),
        source: work(&pool, Operation::Crc32c, 64, 0).source,
        destination,
    };
    assert_eq!(refused(copy(None)), WorkError::Destination { len: 0, need: 64 });
    let short = work(&pool, Operation::Crc32c, 63, 0).source;
    assert_eq!(refused(copy(Some(short))), WorkError::Destination { len: 63, need: 64 });
    let needless = work(&pool, Operation::Copy, 64, 0);
    let needless = Work { command: Operation::Crc32c.into(), ..needless };
    assert_eq!(refused(needless), WorkError::Destination { len: 64, need: 0 });
    let empty = Work { command: Operation::Crc32c.into(), source: pool.alloc().unwrap(), destination: None };
    assert!(matches!(refused(empty), WorkError::Source { len: 0, .. }));
    let foreign = self::pool(&IovaSpace::new());
    assert_eq!(refused(work(&foreign, Operation::Crc32c, 64, 0)), WorkError::ForeignSpace);
    assert!(matches!(stream.start_queue(32, &foreign, None), Err(AfuError::Ring(_))));
}

#[test]
fn work_that_fails_says_why_and_the_queue_goes_on() {
    let (bench, _card, mut stream, pool) = open(Config::with_ports(&[AfuKind::Stream]));
    let mut queue = stream.start_queue(32, &pool, None).unwrap();
    bench.control.set_faults(0, Faults { dma_fails_after: Some(0), ..Faults::default() });
    let mut burst = Burst::new(4);
    assert!(burst.push(work(&pool, Operation::CopyCrc32c, 1000, 1)).is_ok());
    queue.submit(&mut burst).unwrap();
    bench.pass(Duration::from_millis(1));
    let mut done = Burst::new(4);
    match queue.complete(&mut done).unwrap() {
        // The accelerator could tell.
        1 => {
            let failed = outcome(&done.take().unwrap()).unwrap_err();
            assert!(matches!(failed, WorkFailed::Status(Status::Source | Status::Destination)), "{failed}");
        }
        // It could not even do that, and stopped.
        _ => assert!(stream.fault(&queue).unwrap().is_some()),
    }
    bench.control.set_faults(0, Faults::default());
    stream.stop_queue(queue).unwrap();
    let mut queue = stream.start_queue(32, &pool, None).unwrap();
    assert!(burst.push(work(&pool, Operation::CopyCrc32c, 1000, 1)).is_ok());
    queue.submit(&mut burst).unwrap();
    drain(&bench, &mut queue, |done| check(&done));
}

#[test]
fn a_stopped_queue_gives_everything_back() {
    let (bench, card, mut stream, pool) = open(Config::with_ports(&[AfuKind::Stream]));
    bench.control.set_faults(0, Faults { stalled: true, ..Faults::default() });
    let mut queues: Vec<Queue> = (0..4).map(|_| stream.start_queue(32, &pool, None).unwrap()).collect();
    let mut burst = Burst::new(20);
    for queue in &mut queues {
        for number in 0..20 {
            assert!(burst.push(work(&pool, Operation::Copy, 100, number)).is_ok());
        }
        assert_eq!(queue.submit(&mut burst), Ok(20));
    }
    for queue in queues {
        assert_eq!(stream.stop_queue(queue).unwrap().len(), 20);
    }
    assert_eq!((pool.available(), pool.leaked()), (BUFFERS, 0));

    // Dropped instead: what the accelerator may still use is not given to anybody else.
    let mut queue = stream.start_queue(32, &pool, None).unwrap();
    for number in 0..20 {
        assert!(burst.push(work(&pool, Operation::Copy, 100, number)).is_ok());
    }
    queue.submit(&mut burst).unwrap();
    drop(queue);
    assert_eq!(pool.leaked(), 40);
    drop((stream, card));
}

#[test]
fn an_interrupt_tells_of_work_that_asks_for_it() {
    let (bench, card, mut stream, pool) = open(Config::with_ports(&[AfuKind::Stream]));
    let event = card.events().subscribe(stream.afu().interrupt(1)).unwrap();
    let mut queue = stream.start_queue(32, &pool, Some(1)).unwrap();
    let mut burst = Burst::new(4);
    for interrupt in [false, true] {
        let mut item = work(&pool, Operation::Crc32c, 100, 0);
        item.command.interrupt = interrupt;
        assert!(burst.push(item).is_ok());
        queue.submit(&mut burst).unwrap();
        bench.pass(Duration::from_millis(1));
        assert_eq!(event.take() != 0, interrupt);
        drain(&bench, &mut queue, |done| check(&done));
    }
}
