//! A started port whose wire the test holds, on a clock that moves only when it is told to.

use std::sync::Arc;
use std::time::Duration;

use pmd_ixgbe::{Config, Configured, Probed, Running, RxQueue, Started, TxQueue};
use pmd_ixgbe_model::{Config as ModelConfig, Model82599};
use pmd_links::{Link, PairEnd, Sent, pair};
use vfio_hal::backend::local::{LocalDevice, LocalOptions, Stepper};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, Cache, MAGAZINE, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::pmd::MacAddr;
use vfio_hal::testing::VirtualClock;
use vfio_hal::{Clock, Device};

pub(crate) const OWN: MacAddr = MacAddr([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
pub(crate) const PEER: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x99]);

/// Data room of a buffer in bytes.
const ROOM: u32 = 2048;

pub(crate) struct Bench {
    pub(crate) port: Running,
    pub(crate) rx: Vec<RxQueue>,
    pub(crate) tx: Vec<TxQueue>,
    pub(crate) wire: PairEnd,
    pub(crate) clock: VirtualClock,
    pub(crate) device: Arc<LocalDevice<Model82599>>,
    stepper: Stepper<Model82599>,
    pub(crate) pool: Pool,
    pub(crate) cache: Cache,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Bench {
        Bench::start(configure(config))
    }

    pub(crate) fn start((configured, parts): (Configured, Parts)) -> Bench {
        let Parts { wire, clock, device, pool } = parts;
        let Started { port, rx, tx } = configured.start().expect("the port starts");
        let (stepper, cache) = (device.stepper(), pool.cache());
        let mut bench = Bench { port, rx, tx, wire, clock, device, stepper, pool, cache };
        let link = bench.port.wait_for_link(Duration::from_secs(5)).expect("the device is there");
        assert!(link.up, "{link}");
        bench
    }

    /// Stops the port and starts it again.
    pub(crate) fn restart(self) -> Bench {
        let Bench { port, rx, tx, wire, clock, device, pool, cache, .. } = self;
        drop(cache);
        let configured = port.stop(rx, tx).expect("the port stops");
        Bench::start((configured, Parts { wire, clock, device, pool }))
    }

    /// Lets time go by until nothing moves.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            self.clock.advance(Duration::from_micros(100));
            assert!(self.stepper.run_until_idle(10_000).idle);
        }
    }

    /// Puts a frame on the wire.
    pub(crate) fn arrive(&mut self, frame: &[u8]) {
        assert_eq!(self.wire.transmit(frame, 0), Ok(Sent::Accepted));
        self.settle();
    }

    /// Returns what has been received: queue, bytes, RSS hash.
    pub(crate) fn received(&mut self) -> Vec<(u16, Vec<u8>, Option<u32>)> {
        let mut all = Vec::new();
        let mut burst = Burst::new(MAGAZINE);
        for queue in &mut self.rx {
            while queue.rx_burst(&mut self.cache, &mut burst).expect("the device is there") != 0 {
                while let Some(buf) = burst.take() {
                    let bytes = buf.segments().flat_map(|segment| segment.data().to_vec()).collect();
                    all.push((queue.id(), bytes, buf.hash()));
                    self.cache.free(buf);
                }
                self.stepper.run_until_idle(10_000);
            }
        }
        all
    }

    /// Puts a frame on the wire and returns whether the port takes it in.
    pub(crate) fn takes(&mut self, frame: &[u8]) -> bool {
        self.arrive(frame);
        let received = self.received();
        assert!(received.len() <= 1 && received.iter().all(|(_, bytes, _)| bytes == frame));
        !received.is_empty()
    }

    /// Sends a frame from queue 0.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        let mut burst = Burst::new(1);
        let mut buf = self.cache.alloc().expect("a buffer");
        assert!(buf.fill(frame));
        assert!(burst.push(buf).is_ok());
        assert_eq!(self.tx[0].tx_burst(&mut self.cache, &mut burst), Ok(1));
        self.settle();
    }

    /// Returns what came out on the wire.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        let (mut all, mut frame) = (Vec::new(), Vec::new());
        while self.wire.receive(&mut frame, 0).expect("a cable") {
            all.push(frame.clone());
        }
        all
    }

    pub(crate) fn xstat(&mut self, wanted: &str) -> u64 {
        let mut found = None;
        self.port
            .xstats(&mut |name, value| {
                if name == wanted {
                    found = Some(value)
                }
            })
            .expect("the device is there");
        found.unwrap_or_else(|| panic!("no statistic {wanted}"))
    }
}

/// The driver's time: whenever the driver waits, the device works. The device asks the clock itself, while it is locked
/// for a register access; so it cannot be the clock's own hook that steps it.
struct Stepping {
    clock: VirtualClock,
    stepper: Stepper<Model82599>,
}

impl Clock for Stepping {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wait(&self, time: Duration) {
        self.clock.wait(time);
        self.stepper.run_until_idle(64);
    }
}

/// What a bench is made of besides the port.
pub(crate) struct Parts {
    wire: PairEnd,
    clock: VirtualClock,
    device: Arc<LocalDevice<Model82599>>,
    pool: Pool,
}

/// Returns a port that is set up and not started. The device's tables are full of noise, as after power-on.
pub(crate) fn configure(config: Config) -> (Configured, Parts) {
    let (wire, end) = pair(4096);
    let mut model = ModelConfig::new(OWN.0);
    model.ram_noise = Some(0x5eed);
    let clock = VirtualClock::new();
    let options = LocalOptions::default().clock(Arc::new(clock.clone()));
    let device = LocalDevice::new("bench", Model82599::new(model, Box::new(end)), options).expect("a device");
    let space = IovaSpace::new();
    let erased: Arc<dyn Device> = device.clone();
    space.attach(&erased).expect("an empty space");
    let count = config.buffers() + 1024;
    let bytes = (count as usize * Pool::stride(ROOM)).next_multiple_of(4096);
    let memory = HeapMemory::new(bytes).expect("memory");
    let region = Region::alloc(&space, memory, DmaAccess::ReadWrite).expect("a mapping");
    let pool = Pool::new(region, count, ROOM).expect("a pool");
    let driver_clock = Stepping { clock: clock.clone(), stepper: device.stepper() };
    let probed = Probed::new(erased, Arc::new(driver_clock)).expect("an 82599");
    let configured = probed.configure(&space, &pool, config).expect("a valid configuration");
    (configured, Parts { wire, clock, device, pool })
}

/// Returns a frame of 60 bytes without a tag.
pub(crate) fn frame(to: MacAddr) -> Vec<u8> {
    tagged(to, None)
}

/// Returns a frame of 60 bytes with these VLAN tags (type and control), the outer first.
pub(crate) fn tagged(to: MacAddr, tags: impl IntoIterator<Item = (u16, u16)>) -> Vec<u8> {
    let mut frame = [to.0, PEER.0].concat();
    for (ethertype, tci) in tags {
        frame.extend(ethertype.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend([0x88, 0xb5]);
    frame.resize(60, 0xa5);
    frame
}

/// Returns a frame with an IPv4 packet: protocol 6 is TCP, 17 UDP.
pub(crate) fn ipv4(protocol: u8, from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
    let mut frame = [OWN.0, PEER.0].concat();
    frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, protocol, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.resize(60, 0);
    if protocol == 17 {
        frame[38..40].copy_from_slice(&20u16.to_be_bytes());
    } else {
        frame[46] = 5 << 4;
    }
    let sum: u32 =
        frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !(((folded & 0xffff) + (folded >> 16)) as u16);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}
