//! What the tests share.
//!
//! - [`Format`] is a made-up device's descriptors, both ways.
//! - [`Host`] is the driver's side: a device, its space, pools and rings.
//! - [`RxNic`] and [`TxNic`] are the device's side. They know what a NIC knows: base, length, tail, and memory through
//!   bus addresses.

use std::sync::Arc;

use vfio_hal::bar::Doorbell;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Buf, Packet, Pool, RxFlags, RxInfo, TxFlags};
use vfio_hal::dma::{DmaAccess, IovaSpace, Quiesced, Region};
use vfio_hal::ring::{Descriptors, RingMemory, RxFormat, RxRing, TxError, TxFormat, TxPlan, TxRing};
use vfio_hal::testing::{Access, FakeBar, FakeDevice, FakeDma};
use vfio_hal::{Device, Iova, Lost, poll};

/// The bytes of a buffer that the device may fill.
pub(crate) const ROOM: u32 = 256;

/// Descriptors of a device that never was.
pub(crate) struct Format;

pub(crate) const DONE: u64 = 1 << 0;
pub(crate) const END: u64 = 1 << 1;
/// As [`RxFlags::FLOW_MATCH`]: the hash field names a rule.
pub(crate) const MATCH: u64 = 1 << 2;
pub(crate) const LEN_SHIFT: u32 = 32;

impl RxFormat for Format {
    const DONE: u64 = DONE;
    const END: u64 = END;
    const RARE: u64 = MATCH;

    fn len(words: [u64; 2]) -> u32 {
        (words[1] >> LEN_SHIFT) as u32 & 0xffff
    }

    fn info(words: [u64; 2]) -> RxInfo {
        RxInfo(words)
    }

    fn rarity(words: [u64; 2], _info: &mut RxInfo) -> u32 {
        (words[0] >> 32) as u32
    }
}

pub(crate) const TX_END: u64 = 1 << 24;
pub(crate) const TX_REPORT: u64 = 1 << 27;
pub(crate) const TX_DONE: u64 = 1 << 32;
pub(crate) const TX_CONTEXT: u64 = 1 << 20;
/// In every data descriptor, so that the tests see who wrote it.
pub(crate) const TX_DATA: u64 = 1 << 21;
pub(crate) const TX_LEN: u64 = 0xffff;

impl TxFormat for Format {
    const DONE: u64 = TX_DONE;
    const REPORT: u64 = TX_REPORT;
    const END: u64 = TX_END;
    const KIND: (u64, u64) = (TX_CONTEXT | TX_DATA, TX_CONTEXT);
    const MAX_SEGMENT: u32 = 4000;
    const MAX_DESCRIPTORS: u32 = 40;

    fn plain(len: u32) -> u64 {
        u64::from(len) | TX_DATA | TX_END
    }

    fn plan(packet: &Packet) -> Result<TxPlan, TxError> {
        if packet.tx_flags().contains(TxFlags::TCP_SEGMENT) && packet.mss() == 0 {
            return Err(TxError::Offload { reason: "no MSS" });
        }
        // The ring must not believe the kind.
        let context = packet.tx_vlan().map(|tci| [u64::from(tci), TX_DATA]);
        Ok(TxPlan { context, common: TX_DATA })
    }

    fn segment(plan: &TxPlan, len: u32) -> u64 {
        plan.common | u64::from(len)
    }
}

/// The driver's side.
pub(crate) struct Host {
    pub(crate) device: Arc<FakeDevice>,
    pub(crate) space: IovaSpace,
    pub(crate) lost: Lost,
    rings: RingMemory,
    doorbells: u64,
}

impl Host {
    pub(crate) fn new() -> Host {
        Host::with(FakeDma::new())
    }

    pub(crate) fn with(memory: FakeDma) -> Host {
        let device = Arc::new(FakeDevice::new(0x1000).with_memory(memory));
        let space = IovaSpace::new();
        let dynamic: Arc<dyn Device> = device.clone();
        space.attach(&dynamic).unwrap();
        let rings = RingMemory::new(region(&space, 1 << 18));
        Host { lost: device.lost().clone(), device, space, rings, doorbells: 0 }
    }

    /// Returns a pool of `count` buffers of [`ROOM`] bytes.
    pub(crate) fn pool(&self, count: u32) -> Pool {
        pool_in(&self.space, count, ROOM)
    }

    pub(crate) fn descriptors(&mut self, size: u32) -> Descriptors {
        self.rings.ring(size).unwrap()
    }

    pub(crate) fn rings(&mut self) -> &mut RingMemory {
        &mut self.rings
    }

    /// Returns a doorbell that nobody else has, and the device's view of it.
    pub(crate) fn doorbell(&mut self) -> (Doorbell, Tail) {
        let offset = self.doorbells;
        self.doorbells += 4;
        let doorbell = self.device.bar(0).unwrap().doorbell(offset).unwrap();
        (doorbell, Tail { bar: self.device.registers().clone(), offset })
    }

    /// Returns a receive ring that is not posted yet, and its NIC.
    pub(crate) fn rx(&mut self, size: u32, pool: &Pool) -> (RxRing<Format>, RxNic) {
        self.rx_of(size, pool)
    }

    /// Does the same for descriptors of another format.
    pub(crate) fn rx_of<F: RxFormat>(&mut self, size: u32, pool: &Pool) -> (RxRing<F>, RxNic) {
        let (doorbell, tail) = self.doorbell();
        let ring = self.descriptors(size);
        let base = ring.bus().iova();
        let ring = RxRing::new(ring, doorbell, self.lost.clone(), pool, ROOM, 7).unwrap();
        (ring, RxNic { memory: self.device.memory().clone(), base, size, head: 0, tail })
    }

    /// Returns a transmit ring that takes packets, and its NIC.
    pub(crate) fn tx(&mut self, size: u32, pool: &Pool) -> (TxRing<Format>, TxNic) {
        let (doorbell, tail) = self.doorbell();
        let ring = self.descriptors(size);
        let base = ring.bus().iova();
        let mut ring = TxRing::new(ring, doorbell, self.lost.clone(), pool).unwrap();
        ring.post_all();
        let memory = self.device.memory().clone();
        let nic = TxNic {
            memory,
            base,
            size,
            head: 0,
            tail,
            context: None,
            fresh: false,
            open: None,
            sent: vec![],
        };
        (ring, nic)
    }

    /// Stops the device.
    pub(crate) fn stopped(&self) -> Quiesced {
        poll::reset(&*self.device).unwrap()
    }
}

pub(crate) fn region(space: &IovaSpace, bytes: usize) -> Region {
    Region::alloc(space, HeapMemory::new(bytes).unwrap(), DmaAccess::ReadWrite).unwrap()
}

pub(crate) fn pool_in(space: &IovaSpace, count: u32, room: u32) -> Pool {
    Pool::new(region(space, Pool::stride(room) * count as usize), count, room).unwrap()
}

/// Returns a packet of `len` bytes that say which it is.
pub(crate) fn packet(pool: &Pool, number: usize, len: usize) -> Buf {
    let mut buf = pool.alloc().expect("the pool has a buffer");
    assert!(buf.fill(&frame(number, len)));
    buf
}

/// Returns `len` bytes that depend on `number`.
pub(crate) fn frame(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7) as u8).collect()
}

/// Returns the bytes of a packet, all segments.
pub(crate) fn bytes(packet: &Packet) -> Vec<u8> {
    packet.segments().flat_map(|segment| segment.data().iter().copied()).collect()
}

/// A tail register as the device sees it.
#[derive(Clone)]
pub(crate) struct Tail {
    bar: FakeBar,
    offset: u64,
}

impl Tail {
    pub(crate) fn get(&self) -> u32 {
        self.bar.registers().read32(self.offset)
    }

    pub(crate) fn reset(&self) {
        self.bar.registers().write32(self.offset, 0);
    }

    /// Returns the values that were written since the last call for any of the device's tails.
    pub(crate) fn writes(&self) -> Vec<u64> {
        self.writes_in(&self.bar.take_log())
    }

    /// Returns the values that were written to this tail.
    pub(crate) fn writes_in(&self, log: &[Access]) -> Vec<u64> {
        let value = |access: &Access| match *access {
            Access::Write { offset, value, .. } if offset == self.offset => Some(value),
            _ => None,
        };
        log.iter().filter_map(value).collect()
    }
}

/// The NIC's side of a receive ring.
pub(crate) struct RxNic {
    pub(crate) memory: FakeDma,
    pub(crate) base: Iova,
    pub(crate) size: u32,
    pub(crate) head: u32,
    pub(crate) tail: Tail,
}

impl RxNic {
    /// Returns how many descriptors the host has given.
    pub(crate) fn free(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head) & (self.size - 1)
    }

    pub(crate) fn at(&self, index: u32) -> Iova {
        Iova(self.base.0 + u64::from(index % self.size) * 16)
    }

    /// Returns the buffer address that the host wrote.
    pub(crate) fn buffer(&self, index: u32) -> Iova {
        Iova(self.memory.load(self.at(index)).unwrap())
    }

    /// Writes `data` to the buffer of the next descriptor and `words` back, whether it is the NIC's or not.
    pub(crate) fn write_back(&mut self, data: &[u8], words: [u64; 2]) {
        let at = self.at(self.head);
        self.memory.write(self.buffer(self.head), data).unwrap();
        self.memory.store(at, words[0]).unwrap();
        self.memory.store(Iova(at.0 + 8), words[1]).unwrap();
        self.head = (self.head + 1) % self.size;
    }

    /// Receives a frame into as many descriptors as it needs; `false` if there are not as many.
    pub(crate) fn receive(&mut self, frame: &[u8]) -> bool {
        self.receive_as(frame, 0, 0)
    }

    /// Receives a frame with more bits in its last descriptor, and `hash` there.
    pub(crate) fn receive_as(&mut self, frame: &[u8], more: u64, hash: u32) -> bool {
        let parts: Vec<_> = frame.chunks(ROOM as usize).collect();
        if (self.free() as usize) < parts.len() {
            return false;
        }
        for (number, part) in parts.iter().enumerate() {
            let last = number + 1 == parts.len();
            let status = DONE | if last { END | more } else { 0 };
            self.write_back(part, [u64::from(hash) << 32, status | (part.len() as u64) << LEN_SHIFT]);
        }
        true
    }

    /// Begins anew, as a queue that is disabled.
    pub(crate) fn reset(&mut self) {
        self.head = 0;
        self.tail.reset();
    }
}

/// A packet as the NIC put it on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) data: Vec<u8>,
    /// Bytes of each segment.
    pub(crate) segments: Vec<usize>,
    /// The VLAN tag of the context that was valid.
    pub(crate) context: Option<u64>,
    /// Whether a report was asked for.
    pub(crate) report: bool,
    /// Whether its context descriptor came just before.
    pub(crate) with_context: bool,
}

/// The NIC's side of a transmit ring.
pub(crate) struct TxNic {
    pub(crate) memory: FakeDma,
    pub(crate) base: Iova,
    pub(crate) size: u32,
    pub(crate) head: u32,
    pub(crate) tail: Tail,
    /// The context that the NIC holds, and whether it came just now.
    context: Option<u64>,
    fresh: bool,
    /// A packet that has not ended.
    open: Option<Sent>,
    pub(crate) sent: Vec<Sent>,
}

impl TxNic {
    /// Returns how many descriptors wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head) & (self.size - 1)
    }

    pub(crate) fn at(&self, index: u32) -> Iova {
        Iova(self.base.0 + u64::from(index % self.size) * 16)
    }

    /// Sends what up to `limit` descriptors say, and writes back those that ask for it.
    pub(crate) fn send(&mut self, limit: u32) {
        for _ in 0..limit.min(self.waiting()) {
            let at = self.at(self.head);
            let words = [at, Iova(at.0 + 8)].map(|at| self.memory.load(at).unwrap());
            if words[1] & (TX_CONTEXT | TX_DATA) == TX_CONTEXT {
                assert!(self.open.is_none(), "a context inside of a packet");
                assert_eq!(words[1] & TX_REPORT, 0, "a report on a context");
                (self.context, self.fresh) = (Some(words[0]), true);
            } else {
                let len = (words[1] & TX_LEN) as usize;
                let mut data = vec![0; len];
                self.memory.read(Iova(words[0]), &mut data).expect("the address is mapped");
                let open = self.open.get_or_insert_with(|| Sent {
                    data: vec![],
                    segments: vec![],
                    context: self.context,
                    report: false,
                    with_context: self.fresh,
                });
                open.data.extend(data);
                open.segments.push(len);
                self.fresh = false;
                if words[1] & TX_REPORT != 0 {
                    assert_ne!(words[1] & TX_END, 0, "a report inside of a packet");
                    open.report = true;
                }
                if words[1] & TX_END != 0 {
                    self.sent.extend(self.open.take());
                }
                if words[1] & TX_REPORT != 0 {
                    self.memory.store(Iova(at.0 + 8), TX_DONE).unwrap();
                }
            }
            self.head = (self.head + 1) % self.size;
        }
    }

    /// Sends all there is.
    pub(crate) fn send_all(&mut self) {
        self.send(self.size);
        assert!(self.open.is_none(), "the last packet never ends");
    }

    /// Begins anew, as a queue that is disabled.
    pub(crate) fn reset(&mut self) {
        (self.head, self.context, self.fresh, self.open) = (0, None, false, None);
        self.tail.reset();
    }
}

/// Returns the flags that a descriptor of [`Format`] may say without being rare.
pub(crate) const PLAIN_FLAGS: RxFlags = RxFlags(RxFlags::IP_CHECKED.0 | RxFlags::L4_CHECKED.0);
