//! A model on a wire, a pool, and a clock that lets the model work while the driver waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pmd_ixgbe::{Config, Configured, Probed, RxQueue, Started, TxQueue};
use pmd_ixgbe_model::Model82599;
use pmd_links::{Link, PairEnd, Sent, pair};
use vfio_hal::backend::local::{LocalDevice, LocalOptions, Stepper};
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Buf, Burst, Cache, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::testing::VirtualClock;
use vfio_hal::wrap::{FaultInjector, Faults};
use vfio_hal::{Clock, Device};
use vfio_user_kit::DeviceModel;

pub(crate) const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// Frames that fit on the wire, each way.
const WIRE: usize = 4096;

/// The time as the model sees it: that of the driver's clock when it last waited. The model is asked for the time
/// while it is busy, so this clock must not let it work.
#[derive(Default)]
struct ModelTime(AtomicU64);

impl Clock for ModelTime {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn wait(&self, _: Duration) {}
}

/// One device with its wire.
pub(crate) struct Rig<M = Model82599> {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) model: Arc<LocalDevice<M>>,
    pub(crate) faults: Arc<FaultInjector>,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) stepper: Stepper<M>,
    /// The other end of the wire.
    pub(crate) wire: PairEnd,
    pub(crate) space: IovaSpace,
    pub(crate) pool: Pool,
}

pub(crate) fn model_config() -> pmd_ixgbe_model::Config {
    pmd_ixgbe_model::Config { ram_noise: Some(7), ..pmd_ixgbe_model::Config::new(MAC) }
}

/// One queue each way, small rings.
pub(crate) fn small() -> Config {
    Config { rx_ring: 64, tx_ring: 64, ..Config::default() }
}

/// Several queues each way, small rings.
pub(crate) fn queues(rx: u16, tx: u16) -> Config {
    Config { rx_queues: rx, tx_queues: tx, ..small() }
}

/// Cuts a pool of `buffers` with 2 KiB of room each out of `space`.
pub(crate) fn pool(space: &IovaSpace, buffers: u32) -> Pool {
    let memory = HeapMemory::new(Pool::stride(2048) * buffers as usize).unwrap();
    Pool::new(Region::alloc(space, memory, DmaAccess::ReadWrite).unwrap(), buffers, 2048).unwrap()
}

impl Rig {
    /// Enough buffers for a few queues.
    pub(crate) fn new() -> Rig {
        Rig::with(model_config(), 2048)
    }

    pub(crate) fn with(config: pmd_ixgbe_model::Config, buffers: u32) -> Rig {
        Rig::of(|wire| Model82599::new(config, wire), buffers)
    }

    /// Asks the model.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(pmd_ixgbe_model::inspect::Inspect<'_>) -> R) -> R {
        self.model.with_model(|model| look(model.inspect())).unwrap()
    }
}

impl<M: DeviceModel + 'static> Rig<M> {
    pub(crate) fn of(make: impl FnOnce(Box<dyn Link>) -> M, buffers: u32) -> Rig<M> {
        let space = IovaSpace::new();
        let pool = pool(&space, buffers);
        Rig::in_space(make, space, pool)
    }

    /// In a space that others may be in too.
    pub(crate) fn in_space(make: impl FnOnce(Box<dyn Link>) -> M, space: IovaSpace, pool: Pool) -> Rig<M> {
        let (wire, end) = pair(WIRE);
        let time = Arc::new(ModelTime::default());
        let options = LocalOptions::default().clock(time.clone());
        let model = LocalDevice::new("model", make(Box::new(end)), options).unwrap();
        let stepper = model.stepper();
        let clock = Arc::new(VirtualClock::new());
        clock.hook({
            let stepper = stepper.clone();
            move |now| {
                time.0.store(now.as_nanos() as u64, Ordering::Relaxed);
                stepper.step();
            }
        });
        let faults = Arc::new(FaultInjector::new(model.clone(), Faults::new()));
        let device: Arc<dyn Device> = faults.clone();
        space.attach(&device).unwrap();
        Rig { clock, model, faults, device, stepper, wire, space, pool }
    }

    pub(crate) fn probe(&self) -> Probed {
        Probed::new(self.device.clone(), self.clock.clone()).unwrap()
    }

    pub(crate) fn configure(&self, config: Config) -> Configured {
        self.probe().configure(&self.space, &self.pool, config).unwrap()
    }

    /// Starts a port and waits for its link.
    pub(crate) fn start(&self, config: Config) -> Started {
        self.up(self.configure(config))
    }

    /// Starts a configured port and waits for its link.
    pub(crate) fn up(&self, configured: Configured) -> Started {
        let mut started = configured.start().unwrap();
        assert!(started.port.wait_for_link(Duration::from_secs(3)).unwrap().up);
        started
    }

    /// Lets the model work until there is nothing to do.
    pub(crate) fn run(&self) {
        assert!(self.stepper.run_until_idle(100_000).idle, "the model never comes to rest");
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, time: Duration) {
        self.clock.wait(time);
        self.run();
    }

    /// Puts a frame on the wire.
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        assert_eq!(self.wire.transmit(frame, 0).unwrap(), Sent::Accepted);
    }

    /// Takes all frames off the wire that the device sent.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        self.run();
        let (mut frames, mut frame) = (Vec::new(), Vec::new());
        while self.wire.receive(&mut frame, 0).unwrap() {
            frames.push(frame.clone());
            self.run();
        }
        frames
    }

    /// Puts a frame on the wire and returns what `queue` receives.
    pub(crate) fn deliver(&mut self, queue: &mut RxQueue, frame: &[u8]) -> Vec<Buf> {
        self.inject(frame);
        self.received(queue)
    }

    /// Returns all that `queue` received.
    pub(crate) fn received(&self, queue: &mut RxQueue) -> Vec<Buf> {
        self.run();
        let mut cache = self.pool.cache();
        let mut burst = Burst::new(32);
        let mut packets = Vec::new();
        while queue.rx_burst(&mut cache, &mut burst).unwrap() != 0 {
            packets.extend(core::iter::from_fn(|| burst.take()));
            self.run();
        }
        packets
    }

    /// Sends `frames` on `queue`, all of them.
    pub(crate) fn send(&self, queue: &mut TxQueue, frames: impl IntoIterator<Item = Buf>) {
        let mut cache = self.pool.cache();
        let mut burst = Burst::new(32);
        for frame in frames {
            burst.push(frame).unwrap();
            self.transmit(queue, &mut cache, &mut burst);
        }
    }

    fn transmit(&self, queue: &mut TxQueue, cache: &mut Cache, burst: &mut Burst) {
        for _ in 0..1000 {
            queue.tx_burst(cache, burst).unwrap();
            if burst.is_empty() {
                return;
            }
            self.run();
        }
        panic!("the device does not send");
    }

    /// Takes a buffer and fills it.
    pub(crate) fn buf(&self, data: &[u8]) -> Buf {
        let mut buf = self.pool.alloc().expect("a free buffer");
        assert!(buf.fill(data));
        buf
    }

    /// Stops a port and checks that every buffer came home.
    pub(crate) fn stop(&self, started: Started) -> Configured {
        let configured = stop(started);
        self.assert_home();
        configured
    }

    /// Every buffer is at home, none was given up, and no memory was.
    pub(crate) fn assert_home(&self) {
        assert_eq!(self.pool.available(), self.pool.capacity());
        assert_eq!(self.pool.leaked(), 0);
        assert_eq!((self.space.stats().leaked_regions, self.space.stats().leaked_bytes), (0, 0));
    }
}

/// Stops a port with all of its queues.
pub(crate) fn stop(started: Started) -> Configured {
    let Started { port, rx, tx } = started;
    port.stop(rx, tx).unwrap()
}

/// The bytes of a packet, all segments.
pub(crate) fn bytes(packet: &Buf) -> Vec<u8> {
    packet.segments().flat_map(|segment| segment.data().to_vec()).collect()
}
