//! The driver on a served device.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pmd_ixgbe::{Config, Probed, Started};
use vfio_hal::backend::user::{Options, UserDevice};
use vfio_hal::bar::Width;
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::memory::{Pages, Request};
use vfio_hal::dma::pool::{Burst, Cache, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::{Device, Iova};

use crate::process::LIMIT;

pub(crate) struct Rig {
    pub(crate) device: Arc<UserDevice>,
    pub(crate) port: Started,
    pub(crate) pool: Pool,
    space: IovaSpace,
    pub(crate) cache: Cache,
    pub(crate) burst: Burst,
    /// Where the pool's memory is on the bus, and how long it is.
    pub(crate) memory: (Iova, u64),
}

fn config() -> Config {
    Config { rx_ring: 128, tx_ring: 128, promiscuous: true, drop_enable: Some(false), ..Config::default() }
}

impl Rig {
    /// Starts the driver; a lost connection is made again.
    pub(crate) fn start(path: &Path) -> Rig {
        let device = UserDevice::connect(path, &Options::default().timeout(LIMIT).reconnect(LIMIT)).unwrap();
        let space = IovaSpace::new();
        let erased: Arc<dyn Device> = device.clone();
        space.attach(&erased).unwrap();
        let count = 2 * config().buffers();
        let len = Pool::stride(2048) as u64 * u64::from(count);
        let memory = Request::new(len).pages(Pages::Size4K).alloc().unwrap();
        let region = Region::alloc(&space, memory, DmaAccess::ReadWrite).unwrap();
        let memory = (region.iova(), region.len() as u64);
        let pool = Pool::new(region, count, 2048).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
        let mut port =
            Probed::new(erased, clock).unwrap().configure(&space, &pool, config()).unwrap().start().unwrap();
        assert!(port.port.wait_for_link(LIMIT).unwrap().up);
        let (cache, burst) = (pool.cache(), Burst::new(32));
        Rig { device, port, pool, space, cache, burst, memory }
    }

    /// Receives what is there, shows each packet, and sends it back. Returns how many were received.
    pub(crate) fn round(&mut self, mut see: impl FnMut(&[u8])) -> u64 {
        let Rig { port, cache, burst, .. } = self;
        let (rx, tx) = (&mut port.rx[0], &mut port.tx[0]);
        tx.reap(cache);
        if (tx.free() as usize) < 32 {
            return 0;
        }
        rx.rx_burst(cache, burst).unwrap();
        burst.iter_mut().for_each(|packet| see(packet.data_mut()));
        let sent = tx.tx_burst(cache, burst).unwrap() as u64;
        assert!(burst.is_empty(), "there was room");
        sent
    }

    /// Does rounds until `done`, which gets the packets of all of them.
    pub(crate) fn until(&mut self, mut see: impl FnMut(&[u8]), mut done: impl FnMut(u64) -> bool) -> u64 {
        let (start, mut packets) = (Instant::now(), 0);
        while !done(packets) {
            assert!(start.elapsed() < LIMIT, "{packets} packets, and no more");
            match self.round(&mut see) {
                0 => std::thread::yield_now(),
                some => packets += some,
            }
        }
        packets
    }

    /// Waits until the device has sent everything: its head is where its tail is.
    pub(crate) fn drain(&mut self) {
        let start = Instant::now();
        let bar = self.device.bar(0).unwrap();
        let register = |offset| bar.read(offset, Width::W32).unwrap();
        while register(0x6010) != register(0x6018) {
            assert!(start.elapsed() < LIMIT, "TDH {}, TDT {}", register(0x6010), register(0x6018));
            std::thread::yield_now();
        }
    }

    /// Stops; every buffer must be back then.
    pub(crate) fn stop(self) {
        let Rig { port, pool, space, cache, burst, .. } = self;
        drop((cache, burst));
        let Started { port, rx, tx } = port;
        drop(port.stop(rx, tx).unwrap());
        assert_eq!((pool.available(), pool.leaked()), (pool.capacity(), 0));
        drop(pool);
        let stats = space.stats();
        assert_eq!((stats.regions, stats.leaked_regions), (0, 0));
    }
}
