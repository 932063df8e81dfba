//! A port's life: probed, configured, running. What a state cannot do, its type does not have.
//!
//! [`Probed`] knows the device and its address. [`Configured`] has rings, filters and the pool its buffers come
//! from. [`Running`] is the control side of a started port; the queues are values of their own, and
//! [`Running::stop`] takes all of them back. A step that fails gives back the state before it, in [`Failed`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pmd_intel::{Failed, PortKey};
use vfio_hal::dma::pool::{Commitment, Pool};
use vfio_hal::dma::{DmaAccess, IovaSpace, Quiesced, Region};
use vfio_hal::pci;
use vfio_hal::pmd::{MacAddr, PortError, PortInfo};
use vfio_hal::ring::{RingMemory, RxRing, TxRing};
use vfio_hal::{Clock, Device, DeviceError};

use crate::config::{Config, buffer_kib};
use crate::filter::Filters;
use crate::hw::{Hw, MODELS, Model, VENDOR};
use crate::inspect::Inspect;
use crate::regs::{RDT, Regs, TDT};
use crate::rss::Rss;
use crate::running::Running;
use crate::rx::RxQueue;
use crate::stats::Stats;
use crate::tx::TxQueue;
use crate::{init, nvm};

/// A device that the driver has reset and identified.
pub struct Probed {
    hw: Box<Hw>,
    mac: MacAddr,
}

impl core::fmt::Debug for Probed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Probed").field("model", self.hw.model).field("mac", &self.mac).finish_non_exhaustive()
    }
}

impl Probed {
    /// Identifies, resets and checks a device.
    pub fn new(device: Arc<dyn Device>, clock: Arc<dyn Clock>) -> Result<Probed, PortError> {
        let model = identify(&device)?;
        let regs = Regs::new(device.bar(0)?)?;
        let mut hw = Box::new(Hw { regs, device, clock, model });
        init::allow_access(&hw)?;
        init::reset(&mut hw)?;
        nvm::verify_checksum(&hw)?;
        let mac = nvm::permanent_mac(&hw)?;
        Ok(Probed { hw, mac })
    }

    /// Returns which device it is.
    pub fn model(&self) -> &'static Model {
        self.hw.model
    }

    /// Returns the permanent MAC address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Returns a look at the card: versions, memory dumps, its PHY.
    pub fn inspect(&mut self) -> Inspect<'_> {
        Inspect::new(&mut self.hw)
    }

    /// Makes rings in `space` and sets the port up to receive into buffers of `pool`. The device must be attached to the
    /// space.
    pub fn configure(
        self,
        space: &IovaSpace,
        pool: &Pool,
        config: Config,
    ) -> Result<Configured, Failed<Probed>> {
        match Setup::new(&self.hw, self.mac, space, pool, config) {
            Ok(setup) => Ok(Configured { hw: self.hw, setup: Box::new(setup) }),
            Err(error) => Err(Failed { error, back: self }),
        }
    }
}

/// Finds the device among those the driver knows.
fn identify(device: &Arc<dyn Device>) -> Result<&'static Model, PortError> {
    let ids = pci::Config::new(device.clone()).ids()?;
    let known = MODELS.iter().find(|model| ids.vendor == VENDOR && ids.device == model.id);
    known.ok_or(PortError::WrongDevice { vendor: ids.vendor, device: ids.device })
}

/// What a configured port has besides the device.
pub(crate) struct Setup {
    pub(crate) mac: MacAddr,
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) space: IovaSpace,
    pub(crate) filters: Filters,
    pub(crate) rss: Rss,
    pub(crate) stats: Stats,
    buffer_kib: u32,
    _commitment: Commitment,
}

impl Setup {
    fn new(
        hw: &Hw,
        mac: MacAddr,
        space: &IovaSpace,
        pool: &Pool,
        config: Config,
    ) -> Result<Setup, PortError> {
        config.validate(hw.model)?;
        if !space.is_attached(&hw.device) || pool.space() != space.id() {
            return Err(PortError::NotInSpace);
        }
        Ok(Setup {
            filters: Filters::new(hw.model.chip, mac, config.promiscuous, config.vlan_strip),
            rss: Rss::new(hw.model.chip, config.rss.as_ref(), config.rx_queues)?,
            stats: Stats::new(),
            buffer_kib: buffer_kib(pool)?,
            _commitment: pool.commit(config.buffers())?,
            pool: pool.clone(),
            space: space.clone(),
            mac,
            config,
        })
    }

    pub(crate) fn info(&self, hw: &Hw) -> PortInfo {
        PortInfo {
            driver: "net_e1000_igb",
            device: String::from(hw.device.name()),
            mac: self.filters.mac(),
            max_rx_queues: hw.model.chip.queues(),
            max_tx_queues: hw.model.chip.queues(),
            max_rss_queues: hw.model.chip.queues(),
            reta_size: crate::rss::RETA_SIZE,
            mtu_range: crate::mtu::RANGE,
            mtu: self.config.mtu,
        }
    }
}

/// A port with rings and filters, not started.
pub struct Configured {
    hw: Box<Hw>,
    setup: Box<Setup>,
}

impl core::fmt::Debug for Configured {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Configured").field("model", self.hw.model).finish_non_exhaustive()
    }
}

/// A started port: its control side and its queues, by number.
pub struct Started {
    /// The control side.
    pub port: Running,
    /// Receive queues.
    pub rx: Vec<RxQueue>,
    /// Transmit queues.
    pub tx: Vec<TxQueue>,
}

impl core::fmt::Debug for Started {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let queues = (self.rx.len(), self.tx.len());
        f.debug_struct("Started").field("queues", &queues).finish_non_exhaustive()
    }
}

impl Configured {
    pub(crate) fn from_parts(hw: Box<Hw>, setup: Box<Setup>) -> Configured {
        Configured { hw, setup }
    }

    pub(crate) fn parts(&mut self) -> (&mut Hw, &mut Setup) {
        (&mut self.hw, &mut self.setup)
    }

    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        self.hw.check()
    }

    /// Returns what the port is.
    pub fn info(&self) -> PortInfo {
        self.setup.info(&self.hw)
    }

    /// Goes back to the probed state, for another configuration.
    pub fn unconfigure(self) -> Probed {
        Probed { mac: self.setup.mac, hw: self.hw }
    }

    /// Resets the device and starts everything (82576 datasheet 4.5.3). The link may take seconds to come up after.
    pub fn start(mut self) -> Result<Started, Failed<Configured>> {
        match self.bring_up() {
            Ok((key, rx, tx)) => {
                let queues = (rx.len() as u32, tx.len() as u32);
                Ok(Started { port: Running::new(self.hw, self.setup, key, queues), rx, tx })
            }
            Err(error) => Err(Failed { error, back: self }),
        }
    }

    fn bring_up(&mut self) -> Result<(PortKey, Vec<RxQueue>, Vec<TxQueue>), PortError> {
        init::reset(&mut self.hw)?;
        init::allow_access(&self.hw)?;
        self.hw.regs.bind(self.setup.space.id())?;
        self.prepare()?;
        let key = PortKey::new();
        let (mut rx, mut tx) = self.make_queues(&key)?;
        let counters = (rx.iter().map(RxQueue::stats).collect(), tx.iter().map(TxQueue::stats).collect());
        self.setup.stats.attach(counters.0, counters.1);
        match self.enable_queues(&mut rx, &mut tx) {
            Ok(()) => Ok((key, rx, tx)),
            Err(error) => {
                // Some queues run: only a stopped device gives buffers back. Without that proof they are leaked and counted.
                let _ = init::reset(&mut self.hw).and_then(|proof| release(&mut rx, &mut tx, &proof));
                Err(error)
            }
        }
    }

    /// Sets up everything but queues, on a device that was just reset.
    pub(crate) fn prepare(&mut self) -> Result<(), PortError> {
        let (hw, setup) = (&mut self.hw, &mut self.setup);
        crate::stats::clear(hw)?;
        crate::filter::clear_all(hw)?;
        init::receive(hw)?;
        crate::mtu::apply(hw, setup.config.mtu)?;
        setup.filters.apply(hw)?;
        setup.rss.apply(hw)?;
        crate::flow_control::apply(hw, setup.config.flow_control, setup.config.mtu)?;
        init::transmit(hw);
        crate::interrupt::setup(hw, setup.config.rx_queues)?;
        crate::link::setup(hw, &setup.config.link, setup.config.flow_control)
    }

    fn make_queues(&mut self, key: &PortKey) -> Result<(Vec<RxQueue>, Vec<TxQueue>), PortError> {
        let (hw, setup) = (&self.hw, &self.setup);
        let config = &setup.config;
        let rx_sizes = core::iter::repeat_n(config.rx_ring, config.rx_queues.into());
        let tx_sizes = core::iter::repeat_n(config.tx_ring, config.tx_queues.into());
        let mut memory = RingMemory::new(region(setup, RingMemory::bytes(rx_sizes.chain(tx_sizes)))?);
        let (view, clock, lost) = (hw.regs.view(), &hw.clock, hw.regs.lost());
        let mut rx = Vec::new();
        for id in 0..config.rx_queues {
            let tail = hw.regs.doorbell::<RDT>(id.into())?;
            let room = setup.buffer_kib * 1024;
            let ring = RxRing::new(
                memory.ring(config.rx_ring)?,
                tail,
                lost.clone(),
                &setup.pool,
                room,
                config.port,
            )?;
            rx.push(RxQueue::new(key.clone(), id, ring, view.clone(), clock.clone()));
        }
        let mut tx = Vec::new();
        for id in 0..config.tx_queues {
            let tail = hw.regs.doorbell::<TDT>(id.into())?;
            let ring = TxRing::new(memory.ring(config.tx_ring)?, tail, lost.clone(), &setup.pool)?;
            tx.push(TxQueue::new(key.clone(), id, ring, view.clone(), clock.clone()));
        }
        Ok((rx, tx))
    }

    fn enable_queues(&mut self, rx: &mut [RxQueue], tx: &mut [TxQueue]) -> Result<(), PortError> {
        for queue in tx {
            queue.program()?;
            queue.enable()?;
        }
        let drop = self.setup.config.drop_enabled();
        for queue in &mut *rx {
            queue.program(self.setup.buffer_kib, drop)?;
        }
        for queue in rx {
            queue.enable()?;
        }
        init::enable_receive(&mut self.hw, true);
        Ok(self.hw.check()?)
    }
}

/// Gives all buffers on queues back to their pools.
pub(crate) fn release(rx: &mut [RxQueue], tx: &mut [TxQueue], proof: &Quiesced) -> Result<(), DeviceError> {
    rx.iter_mut().try_for_each(|queue| queue.release(proof))?;
    tx.iter_mut().try_for_each(|queue| queue.release(proof))
}

/// Returns `bytes` of memory that the device can read and write.
pub(crate) fn region(setup: &Setup, bytes: usize) -> Result<Region, PortError> {
    let memory = setup.config.memory.memory(bytes)?;
    Ok(Region::alloc(&setup.space, memory, DmaAccess::ReadWrite)?)
}
