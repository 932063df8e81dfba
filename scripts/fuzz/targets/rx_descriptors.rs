//! An 82599 that writes whatever it likes, whenever it likes, into a receive ring and its buffers.
//!
//! What must hold: no panic, no packet that is longer than its buffers or made of more of them than a chain may have, no
//! memory written that the device does not have, and every buffer at home in the end.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pmd_ixgbe::desc::Advanced;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Buf, Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::ring::{RingMemory, RxRing};
use vfio_hal::testing::{FakeDevice, FakeDma};
use vfio_hal::{Device, Iova, poll};

const SIZE: u32 = 64;
const BUFFERS: u32 = 128;
const ROOM: u32 = 256;
/// What is in memory that no device has.
const FENCE: u8 = 0xa7;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A write-back with a length and a status that may be.
    Back {
        index: u8,
        len: u16,
        status: u8,
        end: bool,
        more: u32,
        info: u64,
    },
    /// Any words.
    Words {
        index: u8,
        words: [u64; 2],
    },
    /// Half a descriptor.
    Half {
        index: u8,
        word: u64,
    },
    /// Bytes in a buffer that the host gave.
    Data {
        index: u8,
        data: Vec<u8>,
    },
    /// The host looks.
    Receive {
        burst: u8,
        keep: bool,
    },
    Pending(u8),
    /// The host lets go of what it kept.
    Drop,
    /// The queue is stopped and started.
    Restart,
}

fn region(space: &IovaSpace, bytes: usize) -> Region {
    let memory = HeapMemory::new(bytes).expect("memory");
    Region::alloc(space, memory, DmaAccess::ReadWrite).expect("a region")
}

fuzz_target!(|steps: Vec<Step>| {
    let memory = FakeDma::new();
    let device = Arc::new(FakeDevice::new(0x1000).with_memory(memory.clone()));
    let dynamic: Arc<dyn Device> = device.clone();
    let space = IovaSpace::new();
    space.attach(&dynamic).expect("a device");
    let mut rings = RingMemory::new(region(&space, 4096));
    let fence = region(&space, 4096);
    fence.copy_in(0, &[FENCE; 4096]).expect("room");
    let pool =
        Pool::new(region(&space, Pool::stride(ROOM) * BUFFERS as usize), BUFFERS, ROOM).expect("a pool");
    let mut cache = pool.cache();
    let doorbell = device.bar(0).and_then(|bar| bar.doorbell(0)).expect("a register");
    let descriptors = rings.ring(SIZE).expect("a ring");
    let base = descriptors.bus().iova();
    let mut ring = RxRing::<Advanced>::new(descriptors, doorbell, device.lost().clone(), &pool, ROOM, 0)
        .expect("a ring");
    ring.expose();
    ring.post_all();
    let at = |index: u8| Iova(base.0 + u64::from(u32::from(index) % SIZE) * 16);
    // The addresses that the host gave, as a device keeps them from when it fetched the descriptor.
    let fetch =
        || -> Vec<u64> { (0..SIZE as u8).map(|index| memory.load(at(index)).expect("a word")).collect() };
    let mut given = fetch();
    let mut kept: Vec<Buf> = Vec::new();
    for step in steps.iter().take(500) {
        match step {
            Step::Back { index, len, status, end, more, info } => {
                let done = u64::from(*status & 1) | u64::from(*end) << 1 | u64::from(*more) & 0xf_fffc;
                memory.store(at(*index), *info).expect("a descriptor");
                memory.store(Iova(at(*index).0 + 8), done | u64::from(*len) << 32).expect("a descriptor");
            }
            Step::Words { index, words } => {
                memory.store(at(*index), words[0]).expect("a descriptor");
                memory.store(Iova(at(*index).0 + 8), words[1]).expect("a descriptor");
            }
            Step::Half { index, word } => memory.store(Iova(at(*index).0 + 8), *word).expect("a descriptor"),
            Step::Data { index, data } => {
                let buffer = given[usize::from(*index) % SIZE as usize];
                let _ = memory.write(Iova(buffer), &data[..data.len().min(ROOM as usize)]);
            }
            Step::Receive { burst, keep } => {
                let mut out = Burst::new(usize::from(*burst % 40));
                let _ = ring.burst(&mut cache, &mut out);
                for packet in out.iter() {
                    examine(packet);
                }
                while let Some(packet) = out.take() {
                    if *keep && kept.len() < 64 { kept.push(packet) } else { cache.free(packet) }
                }
                given = fetch();
            }
            Step::Pending(limit) => assert!(ring.pending((*limit).into()) <= u32::from(*limit)),
            Step::Drop => kept.clear(),
            Step::Restart => {
                let stopped = poll::reset(&*device).expect("a reset");
                ring.release(&stopped).expect("the ring is its device's");
                if ring.refill().is_ok() {
                    ring.expose();
                    ring.post_all();
                    given = fetch();
                }
            }
        }
    }
    kept.clear();
    ring.release(&poll::reset(&*device).expect("a reset")).expect("the ring is its device's");
    drop(ring);
    cache.flush();
    assert_eq!(pool.available(), pool.capacity(), "buffers are missing");
    let mut bytes = [0; 4096];
    fence.copy_out(0, &mut bytes).expect("room");
    assert!(bytes.iter().all(|byte| *byte == FENCE), "memory that the device does not have was written");
});

/// Looks at a packet as an application does.
fn examine(packet: &Buf) {
    let mut sum = 0u64;
    for segment in packet.segments() {
        assert!(segment.len() <= ROOM as usize, "{} bytes in a buffer of {ROOM}", segment.len());
        sum = segment.data().iter().fold(sum, |sum, byte| sum.wrapping_add((*byte).into()));
    }
    assert!(packet.segment_count() <= 32 && packet.packet_len() <= 32 * ROOM as usize);
    let _ = (packet.hash(), packet.mark(), packet.vlan(), packet.packet_type(), packet.timestamp(), sum);
    let _ = (packet.ip_checksum(), packet.l4_checksum(), packet.rx_flags());
}
