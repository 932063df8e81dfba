//! What the tests share.

use std::sync::Arc;

use vfio_hal::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Buf, Packet, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::testing::{FakeDevice, FakeDma};

pub(crate) const ROOM: u32 = 256;

/// A space with a device in it, which shows what is mapped.
pub(crate) struct Host {
    pub(crate) memory: FakeDma,
    pub(crate) space: IovaSpace,
    _device: Arc<dyn Device>,
}

impl Host {
    pub(crate) fn new() -> Host {
        let memory = FakeDma::new();
        let device: Arc<dyn Device> = Arc::new(FakeDevice::new(0x100).with_memory(memory.clone()));
        let space = IovaSpace::new();
        space.attach(&device).unwrap();
        Host { memory, space, _device: device }
    }

    pub(crate) fn region(&self, bytes: usize) -> Region {
        Region::alloc(&self.space, HeapMemory::new(bytes).unwrap(), DmaAccess::ReadWrite).unwrap()
    }

    pub(crate) fn pool(&self, count: u32) -> Pool {
        self.pool_of(count, ROOM)
    }

    pub(crate) fn pool_of(&self, count: u32, room: u32) -> Pool {
        Pool::new(self.region(Pool::stride(room) * count as usize), count, room).unwrap()
    }
}

/// Returns a packet with this content.
pub(crate) fn packet(pool: &Pool, data: &[u8]) -> Buf {
    let mut buf = pool.alloc().expect("the pool has a buffer");
    assert!(buf.fill(data));
    buf
}

/// Returns a packet of one segment for each part.
pub(crate) fn chain(pool: &Pool, parts: &[&[u8]]) -> Buf {
    let mut bufs = parts.iter().map(|part| packet(pool, part));
    let mut first = bufs.next().unwrap();
    bufs.for_each(|buf| first.chain(buf));
    first
}

/// Returns the bytes of a packet, all segments.
pub(crate) fn bytes(packet: &Packet) -> Vec<u8> {
    packet.segments().flat_map(|segment| segment.data().iter().copied()).collect()
}
