//! How many packets a second one core moves through the model: frames come in from an endless link, a client that does
//! nothing but hand buffers on sends each out again. Prints packets received and sent per second.
//!
//! `cargo run --release -p pmd-ixgbe-model --example throughput [frame bytes]`

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pmd_ixgbe_model::{Config, Model82599, Overrun};
use pmd_links::{Link, LinkError, LinkStatus, Nanos, Sent};
use vfio_user_kit::{Context, DeviceModel, DmaBus, DmaFault, Doorbells, IrqBus, NoConfig};

const RING: u32 = 512;
const BASE: u64 = 1 << 32;
const RX_RING: u64 = BASE;
const TX_RING: u64 = BASE + 0x4000;
const BUFFERS: u64 = BASE + 0x1_0000;

/// Memory of the client and the device.
struct Memory(RefCell<Vec<u8>>);

impl Memory {
    fn place(&self, iova: u64, len: usize) -> Result<usize, DmaFault> {
        let from = iova.wrapping_sub(BASE);
        let inside = from.checked_add(len as u64).is_some_and(|end| end <= self.0.borrow().len() as u64);
        if inside { Ok(from as usize) } else { Err(DmaFault::NotMapped { iova, len }) }
    }
    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0.borrow()[(at - BASE) as usize..][..8]);
        u64::from_le_bytes(bytes)
    }
    fn put(&self, at: u64, word: u64) {
        self.0.borrow_mut()[(at - BASE) as usize..][..8].copy_from_slice(&word.to_le_bytes());
    }
}

impl DmaBus for Memory {
    fn read(&self, iova: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        let from = self.place(iova, data.len())?;
        data.copy_from_slice(&self.0.borrow()[from..from + data.len()]);
        Ok(())
    }
    fn write(&self, iova: u64, data: &[u8]) -> Result<(), DmaFault> {
        let from = self.place(iova, data.len())?;
        self.0.borrow_mut()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
    fn load(&self, iova: u64) -> Result<u64, DmaFault> {
        self.place(iova, 8)?;
        Ok(self.word(iova))
    }
    fn store(&self, iova: u64, word: u64) -> Result<(), DmaFault> {
        self.write(iova, &word.to_le_bytes())
    }
    fn store32(&self, iova: u64, word: u32) -> Result<(), DmaFault> {
        self.write(iova, &word.to_le_bytes())
    }
}

struct NoInterrupts;
impl IrqBus for NoInterrupts {
    fn msi(&self, _vector: u32) {}
    fn intx(&self, _asserted: bool) {}
}

struct Bells(Vec<Cell<u32>>);
impl Doorbells for Bells {
    fn load(&self, index: usize) -> u32 {
        self.0[index].get()
    }
    fn store(&self, index: usize, value: u32) {
        self.0[index].set(value);
    }
}

/// Frames without end one way, a hole the other.
struct Endless(Vec<u8>);
impl Link for Endless {
    fn transmit(&mut self, _frame: &[u8], _now: Nanos) -> Result<Sent, LinkError> {
        Ok(Sent::Accepted)
    }
    fn receive(&mut self, frame: &mut Vec<u8>, _now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        frame.extend_from_slice(&self.0);
        Ok(true)
    }
    fn status(&mut self) -> LinkStatus {
        LinkStatus::UP_10G
    }
}

/// A UDP packet of `len` bytes without FCS.
fn packet(len: usize) -> Vec<u8> {
    let mut frame = vec![0u8; len.max(60)];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x45;
    let total = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[23] = 17;
    frame[38..40].copy_from_slice(&(total - 20).to_be_bytes());
    frame
}

fn main() {
    let bytes = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let config = Config { overrun: Overrun::Wait, ..Config::new([2, 0, 0, 0, 0, 1]) };
    let mut model = Model82599::new(config, Box::new(Endless(packet(bytes))));
    let memory = Memory(RefCell::new(vec![0; 0x1_0000 + RING as usize * 2048]));
    let bells = Bells((0..model.spec().doorbells.len()).map(|_| Cell::new(0)).collect());
    let mut now = Duration::from_secs(1);
    let context =
        |now| Context { dma: &memory, irq: &NoInterrupts, doorbells: &bells, config: &NoConfig, now };
    for _ in 0..50 {
        now += Duration::from_millis(1);
        model.step(&mut context(now));
    }
    let set_up = [
        (0x5080, 0x700), // everything is received
        (0x3000, 1),
        (0x4A80, 0x8100_0001),
        (0x1000, RX_RING as u32),
        (0x1004, (RX_RING >> 32) as u32),
        (0x1008, RING * 16),
        (0x1014, 1 << 25 | 2),
        (0x1028, 1 << 25),
        (0x6000, TX_RING as u32),
        (0x6004, (TX_RING >> 32) as u32),
        (0x6008, RING * 16),
        (0x6028, 1 << 25),
    ];
    for (offset, value) in set_up {
        model.bar_write(&mut context(now), 0, offset, &u32::to_le_bytes(value)).expect("a register");
    }
    let slot = |ring: u64, index: u32| ring + u64::from(index % RING) * 16;
    let buffer = |index: u32| BUFFERS + u64::from(index % RING) * 2048;
    for i in 0..RING {
        memory.put(slot(RX_RING, i), buffer(i));
    }
    let (mut received, mut sent) = (0u32, 0u32);
    bells.store(0, RING - 1);
    let start = Instant::now();
    let mut total = 0u64;
    while start.elapsed() < Duration::from_secs(3) {
        for _ in 0..100 {
            model.step(&mut context(start.elapsed() + now));
            // Everything that arrived goes out; its buffer returns once it is sent.
            loop {
                let status = memory.word(slot(RX_RING, received) + 8);
                if status & 1 == 0 {
                    break;
                }
                let len = status >> 32 & 0xFFFF;
                memory.put(slot(TX_RING, received), buffer(received));
                let report = if received % 32 == 31 { 1 << 27 } else { 0 };
                memory.put(slot(TX_RING, received) + 8, len | len << 46 | 0x2330_0000 | 1 << 24 | report);
                memory.put(slot(RX_RING, received) + 8, 0);
                received = received.wrapping_add(1);
                total += 1;
            }
            bells.store(64, received % RING);
            while sent.wrapping_add(32) <= received
                && memory.word(slot(TX_RING, sent.wrapping_add(31)) + 8) == 1 << 32
            {
                for i in 0..32 {
                    memory.put(slot(TX_RING, sent + i) + 8, 0);
                    memory.put(slot(RX_RING, sent + i), buffer(sent + i));
                }
                sent = sent.wrapping_add(32);
                bells.store(0, sent.wrapping_add(RING - 1) % RING);
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let counters = model.inspect().counters();
    println!(
        "{bytes} bytes: received {:.2} and sent {:.2} million packets a second",
        total as f64 / seconds / 1e6,
        counters.tx_frames as f64 / seconds / 1e6
    );
    assert_eq!(counters.rx_missed + counters.dma_faults + counters.tx_malformed, 0, "{counters:?}");
}
