//! Cards, here and on sockets, in one address space with one pool.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pmd_ixgbe::{Config, Probed, Started};
use pmd_ixgbe_model::{Config as ModelConfig, Model82599, Overrun};
use pmd_links::{Link, LinkError, LinkStatus, Nanos, Sent};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::memory::{Memory, MemorySource, Pages, Request};
use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions};

/// After this, packets are not late but lost.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn options() -> Options {
    Options::default().timeout(Duration::from_secs(60))
}

fn model(number: u8, link: impl Link + 'static) -> Model82599 {
    // Frames wait for room, as the tests count all of them.
    let config = ModelConfig { overrun: Overrun::Wait, ..ModelConfig::new([2, 0, 0, 0, 0, number]) };
    Model82599::new(config, Box::new(link))
}

/// A card behind a socket, on a thread of its own.
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(link: impl Link + 'static, mapped_doorbells: bool) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let options = ServerOptions { mapped_doorbells, ..ServerOptions::default() };
        let mut server = Server::bind(&path, model(1, link), options).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || server.serve(&told, IdlePolicy::default()).unwrap());
        Served { path, _folder: folder, stop, thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().unwrap().join();
    }
}

pub(crate) enum Card {
    /// The thread ends when it is dropped.
    Here(Arc<dyn Device>, #[expect(dead_code)] ModelThread),
    On(Arc<UserDevice>),
}

impl Card {
    pub(crate) fn here(link: impl Link + 'static) -> Card {
        let device = LocalDevice::new("here", model(2, link), LocalOptions::default()).unwrap();
        let thread = device.stepper().spawn(Idle::default()).unwrap();
        Card::Here(device, thread)
    }

    fn device(&self) -> Arc<dyn Device> {
        match self {
            Card::Here(device, _) => device.clone(),
            Card::On(device) => device.clone(),
        }
    }
}

/// Two started ports.
pub(crate) struct Bench {
    pub(crate) ports: Vec<Started>,
    pub(crate) pool: Pool,
    pub(crate) space: IovaSpace,
    /// Models that work on threads stop with them.
    cards: Vec<Card>,
}

impl Bench {
    pub(crate) fn new(cards: Vec<Card>, rings: Rings) -> Bench {
        let space = IovaSpace::new();
        for card in &cards {
            space.attach(&card.device()).unwrap();
        }
        let count = 4 * config(rings).buffers();
        let memory =
            Request::new(Pool::stride(2048) as u64 * u64::from(count)).pages(Pages::Size4K).alloc().unwrap();
        let pool =
            Pool::new(Region::alloc(&space, memory, DmaAccess::ReadWrite).unwrap(), count, 2048).unwrap();
        let ports = cards.iter().map(|card| start(card.device(), &space, &pool, rings)).collect();
        Bench { ports, pool, space, cards }
    }

    /// Stops everything; every buffer must be back then.
    pub(crate) fn stop(self) {
        for Started { port, rx, tx } in self.ports {
            drop(port.stop(rx, tx).unwrap());
        }
        assert_eq!((self.pool.available(), self.pool.leaked()), (self.pool.capacity(), 0));
        drop(self.pool);
        let stats = self.space.stats();
        assert_eq!((stats.regions, stats.leaked_regions), (0, 0));
        drop(self.cards);
    }
}

/// Where descriptor rings are. A card on a socket reaches a heap by message only: that works, but not while a connection is
/// lost, and a card stops a queue whose memory it cannot reach.
#[derive(Clone, Copy)]
pub(crate) enum Rings {
    Heap,
    File,
}

fn config(rings: Rings) -> Config {
    let memory = match rings {
        Rings::Heap => MemorySource::default(),
        Rings::File => MemorySource::new(|len| {
            Ok(Box::new(Request::new(len as u64).pages(Pages::Size4K).alloc()?) as Box<dyn Memory>)
        }),
    };
    Config {
        rx_ring: 128,
        tx_ring: 128,
        promiscuous: true,
        drop_enable: Some(false),
        memory,
        ..Config::default()
    }
}

pub(crate) fn start(device: Arc<dyn Device>, space: &IovaSpace, pool: &Pool, rings: Rings) -> Started {
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let probed = Probed::new(device, clock).unwrap();
    let mut started = probed.configure(space, pool, config(rings)).unwrap().start().unwrap();
    assert!(started.port.wait_for_link(LIMIT).unwrap().up);
    started
}

/// Forwards from each port to the other until it is `done`. Tells `each` round how many packets there were.
pub(crate) fn forward_all(bench: &mut Bench, done: impl Fn(u64) -> bool, mut each: impl FnMut(u64)) {
    let (mut cache, mut burst) = (bench.pool.cache(), Burst::new(16));
    let (start, mut forwarded) = (Instant::now(), 0);
    let [one, other] = &mut bench.ports[..] else { panic!("two ports") };
    while !done(forwarded) {
        assert!(start.elapsed() < LIMIT, "{forwarded} packets were forwarded, and no more");
        let before = forwarded;
        for (from, to) in [(&mut one.rx[0], &mut other.tx[0]), (&mut other.rx[0], &mut one.tx[0])] {
            to.reap(&mut cache);
            if (to.free() as usize) < 16 {
                continue;
            }
            from.rx_burst(&mut cache, &mut burst).unwrap();
            forwarded += to.tx_burst(&mut cache, &mut burst).unwrap() as u64;
            assert!(burst.is_empty());
        }
        each(forwarded);
        if forwarded == before {
            std::thread::yield_now();
        }
    }
}

/// Lets no packets in until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Valve(Arc<AtomicBool>);

impl Valve {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn gate<L: Link>(&self, link: L) -> impl Link + use<L> {
        Gate { open: self.0.clone(), link }
    }
}

struct Gate<L> {
    open: Arc<AtomicBool>,
    link: L,
}

impl<L: Link> Link for Gate<L> {
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.link.transmit(frame, now)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        if self.open.load(Ordering::Acquire) { self.link.receive(frame, now) } else { Ok(false) }
    }

    fn status(&mut self) -> LinkStatus {
        self.link.status()
    }
}
