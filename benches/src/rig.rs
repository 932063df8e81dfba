//! Ports on a [`Platform`]: the burst path and the in-place path, one packet in, one packet out.

use std::sync::Arc;

use pmd_ixgbe::inplace::{self, InPlaceStarted};
use pmd_ixgbe::{Config, Configured, Probed, RxQueue, TxQueue};
use vfio_hal::Device;
use vfio_hal::dma::memory::HeapMemory;
use vfio_hal::dma::pool::{Burst, Cache, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};
use vfio_hal::ring::Outputs;

use crate::Platform;

/// Packets a burst.
pub const BATCH: u32 = 32;

/// Bytes a packet, without check sequence: the shortest frame.
pub const FRAME: u64 = 60;

fn configured() -> (Arc<Platform>, IovaSpace, Pool, Configured) {
    let (platform, clock) = Platform::new();
    let device: Arc<dyn Device> = platform.clone();
    let space = IovaSpace::new();
    space.attach(&device).expect("a space of one device");
    let config = Config::default();
    let count = config.buffers();
    let bytes = (Pool::stride(2048) * count as usize).next_multiple_of(4096);
    let memory = HeapMemory::new(bytes).expect("memory");
    let region = Region::alloc(&space, memory, DmaAccess::ReadWrite).expect("a mapping");
    let pool = Pool::new(region, count, 2048).expect("a pool");
    let probed = Probed::new(device, clock).expect("the platform answers as an 82599");
    let configured = probed.configure(&space, &pool, config).expect("the default configuration");
    (platform, space, pool, configured)
}

/// The burst path: receive, touch a byte, transmit, out of the same port.
pub struct Bursts {
    platform: Arc<Platform>,
    rx: RxQueue,
    tx: TxQueue,
    cache: Cache,
    burst: Burst,
    heads: (u32, u32),
    _port: pmd_ixgbe::Running,
}

impl Default for Bursts {
    fn default() -> Self {
        Bursts::new()
    }
}

impl Bursts {
    /// Starts a port.
    pub fn new() -> Bursts {
        let (platform, _, pool, configured) = configured();
        let mut started = configured.start().expect("the platform starts");
        Bursts {
            platform,
            rx: started.rx.remove(0),
            tx: started.tx.remove(0),
            cache: pool.cache(),
            burst: Burst::new(BATCH as usize),
            heads: (0, 0),
            _port: started.port,
        }
    }

    /// Lets a batch arrive: not the driver's work.
    pub fn arrive(&mut self) {
        self.heads.0 = self.platform.receive(self.heads.0, BATCH, FRAME);
    }

    /// Receives the batch; returns how many packets.
    #[inline(never)]
    pub fn measured_receive(&mut self) -> usize {
        self.rx.rx_burst(&mut self.cache, &mut self.burst).unwrap_or(0)
    }

    /// Touches one byte of each packet: the application's work.
    pub fn touch(&mut self) {
        for buf in self.burst.iter_mut() {
            if let Some(byte) = buf.data_mut().first_mut() {
                *byte ^= 1;
            }
        }
    }

    /// Transmits the batch; returns how many packets.
    #[inline(never)]
    pub fn measured_transmit(&mut self) -> usize {
        self.tx.tx_burst(&mut self.cache, &mut self.burst).unwrap_or(0)
    }

    /// Lets the device send what it has: not the driver's work.
    pub fn depart(&mut self) {
        self.heads.1 = self.platform.transmit(self.heads.1);
    }

    /// Forwards one batch, everything included; returns how many packets.
    pub fn round(&mut self) -> usize {
        self.arrive();
        self.measured_receive();
        self.touch();
        let sent = self.measured_transmit();
        self.depart();
        sent
    }
}

/// The in-place path.
pub struct InPlace {
    platform: Arc<Platform>,
    started: InPlaceStarted,
    heads: (u32, u32),
}

impl Default for InPlace {
    fn default() -> Self {
        InPlace::new()
    }
}

impl InPlace {
    /// Starts a forwarder.
    pub fn new() -> InPlace {
        let (platform, space, _, configured) = configured();
        let started = inplace::start(&space, vec![configured], 0, &[0], 512).expect("the platform starts");
        InPlace { platform, started, heads: (0, 0) }
    }

    /// Lets a batch arrive: not the driver's work.
    pub fn arrive(&mut self) {
        self.heads.0 = self.platform.receive(self.heads.0, BATCH, FRAME);
    }

    /// Forwards the batch, touching one byte of each packet; returns how many packets.
    #[inline(never)]
    pub fn measured_forward(&mut self) -> usize {
        let forwarded = self.started.forwarder.forward(|packet| {
            if let Some(byte) = packet.first_mut() {
                *byte ^= 1;
            }
            Outputs::FIRST
        });
        forwarded.unwrap_or(0)
    }

    /// Lets the device send what it has: not the driver's work.
    pub fn depart(&mut self) {
        self.heads.1 = self.platform.transmit(self.heads.1);
    }

    /// Forwards one batch, everything included; returns how many packets.
    pub fn round(&mut self) -> usize {
        self.arrive();
        let forwarded = self.measured_forward();
        self.depart();
        forwarded
    }
}
