//! The ring of work against a device that the test plays: what it is given, what it may answer, what it may not change.

use std::sync::Arc;

use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::ring::{Completed, RingMemory, Work, WorkError, WorkFormat, WorkRing};
use vfio_hal::testing::{FakeDma, RamDevice};
use vfio_hal::{Device, DeviceError, Iova, poll};

/// Commands of a device that copies or reads.
enum Format {}

const DONE: u64 = 1 << 63;
const DOORBELL: u64 = 0x10;

impl WorkFormat for Format {
    /// Whether the device writes.
    type Command = bool;
    const DONE: u64 = DONE;
    const MAX_LENGTH: u32 = 1000;

    fn command(copies: bool, length: u32) -> u64 {
        u64::from(copies) << 32 | u64::from(length)
    }

    fn writes(copies: bool, length: u32) -> u32 {
        if copies { length } else { 0 }
    }
}

struct Rig {
    device: Arc<RamDevice>,
    dma: FakeDma,
    pool: Pool,
    ring: WorkRing<Format>,
}

const BUFFERS: u32 = 256;

impl Rig {
    fn new(descriptors: u32) -> Rig {
        let device = Arc::new(RamDevice::new(0x100));
        let dma = device.memory().clone();
        let space = IovaSpace::new();
        let erased: Arc<dyn Device> = device.clone();
        space.attach(&erased).unwrap();
        let region =
            |len| Region::alloc(&space, HeapMemory::new(len).unwrap(), DmaAccess::ReadWrite).unwrap();
        let pool = Pool::new(region(BUFFERS as usize * 2048), BUFFERS, 1024).unwrap();
        let descriptors = RingMemory::new(region(65536)).ring(descriptors).unwrap();
        let doorbell = device.bar(0).unwrap().doorbell(DOORBELL).unwrap();
        let ring = WorkRing::new(descriptors, doorbell, device.lost().clone(), &pool).unwrap();
        Rig { device, dma, pool, ring }
    }

    fn started(descriptors: u32) -> Rig {
        let mut rig = Rig::new(descriptors);
        rig.ring.start();
        rig
    }

    fn work(&self, copies: bool, byte: u8) -> Work<bool> {
        let buf = |byte| {
            let mut buf = self.pool.alloc().unwrap();
            buf.append(100).unwrap().fill(byte);
            buf
        };
        Work { command: copies, source: buf(byte), destination: copies.then(|| buf(0)) }
    }

    fn give(&mut self, count: usize) -> usize {
        let mut burst = Burst::new(count);
        for number in 0..count {
            let work = self.work(number % 2 == 0, number as u8);
            assert!(burst.push(work).is_ok());
        }
        self.ring.submit(&mut burst).unwrap()
    }

    /// The four words of a work descriptor, as the device reads them.
    fn descriptor(&self, index: u32) -> [u64; 4] {
        let base = self.ring.bus().0.iova().0 + 32 * u64::from(index);
        [0, 8, 16, 24].map(|at| self.dma.load(Iova(base + at)).unwrap())
    }

    fn finish(&self, index: u32, word: u64) {
        let at = self.ring.bus().0.iova().0 + 32 * u64::from(index) + 24;
        self.dma.store(Iova(at), word).unwrap();
    }

    fn take(&mut self) -> Vec<Completed<bool>> {
        let mut done = Burst::new(64);
        self.ring.complete(&mut done).unwrap();
        std::iter::from_fn(|| done.take()).collect()
    }
}

#[test]
fn the_device_is_given_addresses_commands_and_one_doorbell() {
    let mut rig = Rig::started(64);
    assert_eq!(rig.give(2), 2);
    assert_eq!(rig.device.registers().read32(DOORBELL), 2);
    let [source, command, destination, completion] = rig.descriptor(0);
    assert_eq!((command, completion), (1 << 32 | 100, 0));
    let mut bytes = [0; 100];
    rig.dma.read(Iova(source), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 100]);
    rig.dma.write(Iova(destination), &[9; 100]).unwrap();
    assert_eq!(rig.descriptor(1)[1..3], [100, 0], "a command without a destination has no address");
    assert!(rig.take().is_empty());
    rig.finish(0, DONE | 7);
    let done = rig.take();
    assert_eq!((done.len(), done[0].word), (1, DONE | 7));
    assert_eq!(done[0].work.destination.as_ref().unwrap().data(), [9; 100]);
    assert_eq!((rig.ring.in_flight(), rig.ring.stats().completed()), (1, 1));
}

#[test]
fn work_comes_back_in_order_and_only_when_it_is_done() {
    let mut rig = Rig::started(64);
    rig.give(4);
    rig.finish(2, DONE);
    rig.finish(1, DONE);
    assert!(rig.take().is_empty(), "the first is not done");
    rig.finish(0, !DONE);
    assert!(rig.take().is_empty(), "anything but the done bit is noise");
    rig.finish(0, u64::MAX);
    assert_eq!(rig.take().len(), 3);
    assert_eq!(rig.ring.in_flight(), 1);
}

#[test]
fn the_ring_goes_round_and_what_a_device_wrote_before_is_not_taken_again() {
    let mut rig = Rig::started(64);
    for round in 0..100u32 {
        let index = round * 7 % 32;
        assert_eq!(rig.give(7), 7);
        for number in 0..7 {
            assert_eq!(rig.descriptor((index + number) % 32)[3], 0, "cleared before it is given");
            assert!(rig.take().is_empty());
            rig.finish((index + number) % 32, DONE);
            assert_eq!(rig.take().len(), 1);
        }
    }
    assert_eq!(rig.pool.available(), BUFFERS);
}

#[test]
fn one_descriptor_stays_free() {
    let mut rig = Rig::started(64);
    assert_eq!((rig.give(40), rig.ring.free()), (31, 0));
    assert_eq!(rig.ring.stats().full(), 1);
    rig.finish(0, DONE);
    assert_eq!(rig.take().len(), 1);
    assert_eq!(rig.give(2), 1);
}

#[test]
fn a_device_that_answers_for_work_it_was_not_given_changes_nothing() {
    let mut rig = Rig::started(64);
    rig.give(3);
    for index in 0..32 {
        rig.finish(index, u64::MAX);
    }
    // Garbage in the other words, too: they are never read.
    let base = rig.ring.bus().0.iova().0;
    for word in 0..32 * 4 {
        if word % 4 != 3 {
            rig.dma.store(Iova(base + 8 * word), 0xdead_beef_dead_beef).unwrap();
        }
    }
    assert_eq!(rig.take().len(), 3);
    assert!(rig.take().is_empty());
    assert_eq!(rig.pool.available(), BUFFERS);
}

#[test]
fn a_proof_gives_everything_back_and_nothing_else_does() {
    let mut rig = Rig::started(64);
    rig.give(4);
    let other = RamDevice::new(8);
    let foreign = poll::reset(&other).unwrap();
    assert_eq!(rig.ring.release(&foreign).map(|work| work.len()), Err(DeviceError::ForeignProof));
    assert_eq!(rig.ring.in_flight(), 4);
    let proof = poll::reset(&*rig.device).unwrap();
    assert_eq!(rig.ring.release(&proof).unwrap().len(), 4);
    assert_eq!(rig.ring.submit(&mut Burst::new(1)), Err(WorkError::Stopped));
    rig.ring.start();
    assert_eq!(rig.give(1), 1);
    let (pool, available) = (rig.pool.clone(), rig.pool.available());
    drop(rig);
    assert_eq!((pool.leaked(), pool.available()), (2, available), "the device may still use them");
}

#[test]
fn a_ring_that_no_device_had_leaks_nothing_and_a_lost_device_is_told() {
    let mut rig = Rig::new(64);
    assert_eq!(rig.ring.submit(&mut Burst::new(1)), Err(WorkError::Stopped));
    rig.ring.start();
    rig.device.lost().latch();
    assert_eq!(rig.ring.submit(&mut Burst::new(1)), Err(WorkError::Lost));
    assert_eq!(rig.ring.complete(&mut Burst::new(1)), Err(WorkError::Lost));
    let pool = rig.pool.clone();
    drop(rig);
    assert_eq!((pool.leaked(), pool.available()), (0, BUFFERS));
}
