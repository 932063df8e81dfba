//! Forwarding in place: one receive ring, outputs that share its buffers, a NIC that reports how far it has sent.

use vfio_hal::Iova;
use vfio_hal::dma::Region;
use vfio_hal::ring::{InPlace, InPlaceFormat, Output, Outputs, RingMemory};
use vfio_hal::testing::FakeDma;

use crate::kit::*;

/// Descriptors that keep the address.
pub(crate) struct Legacy;

pub(crate) const SEND: u64 = 1 << 24;
pub(crate) const REPORT: u64 = 1 << 27;
pub(crate) const GOT: u64 = 1 << 32;
pub(crate) const LAST: u64 = 1 << 33;

impl InPlaceFormat for Legacy {
    const RECEIVED: u64 = GOT | LAST;
    const DONE: u64 = GOT;
    const LENGTH: u64 = 0xffff;
    const SEND: u64 = SEND;
    const REPORT: u64 = REPORT;
}

/// The NIC's side of one output.
pub(crate) struct Port {
    pub(crate) base: Iova,
    pub(crate) tail: Tail,
    pub(crate) write_back: Iova,
    pub(crate) head: u32,
    pub(crate) sent: Vec<Vec<u8>>,
}

/// The NIC's side of a forwarder.
pub(crate) struct Nic {
    pub(crate) memory: FakeDma,
    pub(crate) size: u32,
    pub(crate) base: Iova,
    pub(crate) tail: Tail,
    pub(crate) head: u32,
    pub(crate) ports: Vec<Port>,
}

/// Bytes between two buffers.
pub(crate) const STRIDE: u32 = 320;

/// Returns a forwarder that is not started, and its NIC.
pub(crate) fn forwarder(host: &mut Host, size: u32, outputs: usize) -> (InPlace<Legacy>, Nic) {
    let ring = host.descriptors(size);
    let (doorbell, tail) = host.doorbell();
    let memory = host.device.memory().clone();
    let base = ring.bus().iova();
    let mut nic = Nic { memory, size, base, tail, head: 0, ports: vec![] };
    let mut ends = vec![];
    for number in 0..outputs {
        let own = (number != 0).then(|| host.descriptors(size));
        let base = own.as_ref().map_or(nic.base, |own| own.bus().iova());
        let (doorbell, tail) = host.doorbell();
        let (head, bus) = host.rings().block().unwrap();
        nic.ports.push(Port { base, tail, write_back: bus.iova(), head: 0, sent: vec![] });
        ends.push(match own {
            None => Output::shared(doorbell, head),
            Some(own) => Output::own(own, doorbell, head),
        });
    }
    let buffers = region(&host.space, (STRIDE * size) as usize);
    let forwarder = InPlace::new(ring, doorbell, ends, buffers, STRIDE, ROOM, host.lost.clone()).unwrap();
    (forwarder, nic)
}

impl Nic {
    /// Returns how many descriptors the host has given.
    pub(crate) fn free(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head) & (self.size - 1)
    }

    /// Writes `data` into the next buffer and `word` back, whether the descriptor is the NIC's or not.
    pub(crate) fn write_back(&mut self, data: &[u8], word: u64) {
        let at = self.base.0 + u64::from(self.head) * 16;
        let buffer = Iova(self.memory.load(Iova(at)).unwrap());
        self.memory.write(buffer, data).unwrap();
        self.memory.store(Iova(at + 8), word).unwrap();
        self.head = (self.head + 1) % self.size;
    }

    /// Receives a frame; `false` if there is no descriptor.
    pub(crate) fn receive(&mut self, frame: &[u8]) -> bool {
        let free = self.free() != 0;
        if free {
            self.write_back(frame, frame.len() as u64 | GOT | LAST);
        }
        free
    }

    /// Sends up to `limit` descriptors of output `number`.
    pub(crate) fn send(&mut self, number: usize, limit: u32) {
        let Nic { memory, size, ports, .. } = self;
        let port = &mut ports[number];
        let waiting = port.tail.get().wrapping_sub(port.head) & (*size - 1);
        for _ in 0..limit.min(waiting) {
            let at = port.base.0 + u64::from(port.head) * 16;
            let [buffer, word] = [at, at + 8].map(|at| memory.load(Iova(at)).unwrap());
            assert_ne!(word & SEND, 0, "descriptor {} of output {number} is not to be sent", port.head);
            let mut data = vec![0; (word & 0xffff) as usize];
            memory.read(Iova(buffer), &mut data).unwrap();
            if !data.is_empty() {
                port.sent.push(data);
            }
            port.head = (port.head + 1) % *size;
            if word & REPORT != 0 {
                memory.store32(port.write_back, port.head).unwrap();
            }
        }
    }

    pub(crate) fn send_all(&mut self) {
        (0..self.ports.len()).for_each(|number| self.send(number, self.size));
    }

    pub(crate) fn reset(&mut self) {
        self.head = 0;
        self.tail.reset();
        for port in &mut self.ports {
            (port.head, port.sent) = (0, vec![]);
            port.tail.reset();
        }
    }
}

#[test]
fn packets_are_looked_at_and_sent_where_they_lie() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 1);
    forwarder.start();
    for number in 0..10 {
        assert!(nic.receive(&frame(number, 60 + number)));
    }
    let mut seen = vec![];
    let taken = forwarder.forward(|data| {
        seen.push(data.to_vec());
        data[0] = 0xaa;
        // Every third is sent nowhere.
        if seen.len() % 3 == 0 { Outputs::DROP } else { Outputs::FIRST }
    });
    assert_eq!(taken, Ok(10));
    assert_eq!(seen, (0..10).map(|number| frame(number, 60 + number)).collect::<Vec<_>>());
    nic.send_all();
    let mut expected: Vec<_> = (0..10).filter(|at| at % 3 != 2).map(|at| frame(at, 60 + at)).collect();
    expected.iter_mut().for_each(|data| data[0] = 0xaa);
    assert_eq!(nic.ports[0].sent, expected);
    let stats = forwarder.stats();
    let bytes: usize = (60..70).sum();
    assert_eq!(
        (stats.received(), stats.bytes(), stats.dropped(), stats.malformed()),
        (10, bytes as u64, 3, 0)
    );
}

#[test]
fn each_output_gets_what_its_bit_says() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 3);
    forwarder.start();
    for number in 0..16 {
        assert!(nic.receive(&frame(number, 60)));
    }
    let mut bits = 0;
    let taken = forwarder.forward(|_| {
        bits += 1;
        // Bit 3 names no output.
        Outputs(bits - 1)
    });
    assert_eq!(taken, Ok(16));
    nic.send_all();
    for (bit, port) in nic.ports.iter().enumerate() {
        let expected: Vec<_> = (0..16).filter(|at| at >> bit & 1 != 0).map(|at| frame(at, 60)).collect();
        assert_eq!(port.sent, expected, "output {bit}");
    }
    // 0 and 8 went nowhere.
    assert_eq!((forwarder.stats().dropped(), forwarder.stats().received()), (2, 16));
}

#[test]
fn one_doorbell_per_output_and_burst_and_one_for_64_received() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 512, 2);
    forwarder.start();
    assert_eq!(nic.tail.writes(), [511]);
    let (mut posted, mut recycled) = (Vec::<u64>::new(), Vec::<u64>::new());
    for round in 0..64 {
        for number in 0..32 {
            assert!(nic.receive(&frame(number, 60)));
        }
        host.device.registers().take_log();
        assert_eq!(forwarder.forward(|_| Outputs::all(2)), Ok(32));
        let log = host.device.registers().take_log();
        let tails = [&nic.tail, &nic.ports[0].tail, &nic.ports[1].tail];
        let counts = tails.map(|tail| tail.writes_in(&log));
        assert_eq!(counts[1], [(round + 1) * 32u64 % 512]);
        assert_eq!(counts[2], counts[1]);
        posted.extend(counts[1].iter());
        recycled.extend(counts[0].iter());
        nic.send_all();
    }
    // The first 64 were reported before the second call looked.
    assert_eq!((posted.len(), recycled.len()), (64, 31));
    assert!(recycled.windows(2).all(|pair| (pair[1] + 512 - pair[0]) % 512 == 64), "{recycled:?}");
}

#[test]
fn outputs_that_stand_still_for_long_lose_nothing_but_what_the_nic_drops() {
    for (size, outputs) in [(64, 1), (64, 3), (128, 2), (512, 1)] {
        let mut host = Host::new();
        let (mut forwarder, mut nic) = forwarder(&mut host, size, outputs);
        forwarder.start();
        let all = Outputs::all(outputs as u32);
        let mut accepted = vec![];
        for pause in 0..5 {
            // PAUSE frames, a dead cable: nothing leaves, everything else goes on.
            for poll in 0..100_000u32 {
                let frame = frame(accepted.len(), 60 + accepted.len() % 7);
                if poll % 3 == 0 && nic.receive(&frame) {
                    accepted.push(frame);
                }
                forwarder.forward(|_| all).unwrap();
            }
            assert_eq!(nic.free(), 0, "the ring of {size} is full");
            // It goes on slowly, the outputs not at the same speed.
            for poll in 0..3000usize {
                let frame = frame(accepted.len(), 60 + accepted.len() % 7);
                if nic.receive(&frame) {
                    accepted.push(frame);
                }
                forwarder.forward(|_| all).unwrap();
                nic.send(poll % outputs, 1 + (poll % 5) as u32 * 9);
            }
            assert!(accepted.len() > (pause + 1) * 1000, "{} of ring {size} in all", accepted.len());
            // And is idle.
            nic.send_all();
            for _ in 0..100 {
                forwarder.forward(|_| all).unwrap();
                nic.send_all();
            }
            assert!(nic.free() >= size / 2 - 1, "{} of {size}", nic.free());
        }
        for port in &nic.ports {
            assert_eq!(port.sent.len(), accepted.len());
            assert!(port.sent == accepted, "packets of ring {size} were changed or swapped");
        }
        assert_eq!(forwarder.stats().received(), accepted.len() as u64);
    }
}

#[test]
fn a_slow_output_holds_the_others_buffers() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 2);
    forwarder.start();
    let mut number = 0;
    for _ in 0..100 {
        if nic.receive(&frame(number, 60)) {
            number += 1;
        }
        forwarder.forward(|_| Outputs::FIRST).unwrap();
        nic.send(0, 64);
    }
    // The second sends nothing, but it is not past the descriptors.
    assert_eq!((number, nic.ports[0].sent.len(), nic.ports[1].sent.len()), (63, 63, 0));
    nic.send(1, 64);
    forwarder.forward(|_| Outputs::FIRST).unwrap();
    assert!(nic.receive(&frame(63, 60)));
}

#[test]
fn it_starts_over_after_the_device_stopped() {
    let mut host = Host::new();
    let (mut forwarder, mut nic) = forwarder(&mut host, 64, 2);
    forwarder.start();
    for round in 0..3 {
        for number in 0..50 {
            assert!(nic.receive(&frame(number, 60)));
        }
        while forwarder.forward(|_| Outputs::all(2)).unwrap() != 0 {}
        nic.send(0, 40);
        nic.send(1, 20);
        assert_eq!((nic.ports[0].sent.len(), nic.ports[1].sent.len()), (40, 20));
        forwarder.restart(&[host.stopped()]).unwrap();
        nic.reset();
        assert_eq!(forwarder.forward(|_| Outputs::FIRST), Ok(0), "not before it is started");
        assert_eq!(nic.tail.get(), 0);
        forwarder.start();
        assert_eq!((nic.free(), nic.memory.load(nic.ports[1].write_back)), (63, Ok(0)), "round {round}");
    }
}

#[test]
fn its_memory_goes_back_once_the_device_stopped() {
    let memory = FakeDma::physical(0);
    let mut host = Host::with(memory.clone());
    let (mut forwarder, nic) = forwarder(&mut host, 64, 1);
    forwarder.start();
    let mapped = memory.mappings();
    forwarder.release(&[host.stopped()]).unwrap();
    assert_eq!((memory.mappings(), host.space.stats().leaked_bytes), (mapped - 1, 0));
    drop(nic);
}

#[test]
fn rings_with_their_write_back_blocks_fit_into_what_their_sizes_say() {
    let host = Host::new();
    let bytes = RingMemory::bytes([64; 5]) + 5 * 64;
    let buffers: Region = region(&host.space, bytes);
    let mut memory = RingMemory::new(buffers);
    for _ in 0..5 {
        let ring = memory.ring(64).unwrap();
        let (_, block) = memory.block().unwrap();
        assert_eq!((ring.bus().iova().0 % 128, block.iova().0 % 64), (0, 0));
    }
}
