//! Which driver of the kit is for which device, and how it is started.

use std::sync::Arc;

use vfio_hal::dma::IovaSpace;
use vfio_hal::dma::memory::MemorySource;
use vfio_hal::dma::pool::Pool;
use vfio_hal::pci;
use vfio_hal::pmd::Started;
use vfio_hal::wrap::{TraceEvent, Tracer};
use vfio_hal::{Clock, Device};

use crate::cli::PortArgs;
use crate::fault::Fault;
use crate::note;

/// A driver, and what it calls a device.
pub(crate) struct Known {
    /// Its name, as DPDK's driver for the same devices has it.
    pub(crate) name: &'static str,
    /// The device's name.
    pub(crate) model: &'static str,
    family: Family,
}

/// The drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// 82599, X540, X550.
    Ixgbe,
    /// 82576, I350.
    Igb,
}

/// Returns the driver for the PCI device `vendor`:`device`.
pub(crate) fn of(vendor: u16, device: u16) -> Option<Known> {
    let ixgbe = pmd_ixgbe::MODELS.iter().find(|model| vendor == pmd_ixgbe::VENDOR && model.id == device);
    let igb = pmd_igb::MODELS.iter().find(|model| vendor == pmd_igb::VENDOR && model.id == device);
    let ixgbe = ixgbe.map(|model| Known { name: "net_ixgbe", model: model.name, family: Family::Ixgbe });
    ixgbe.or_else(|| igb.map(|model| Known { name: "net_e1000_igb", model: model.name, family: Family::Igb }))
}

/// Returns the driver for an open device.
pub(super) fn for_device(device: &Arc<dyn Device>) -> Result<Known, Fault> {
    let ids = pci::Config::new(device.clone()).ids().map_err(|error| Fault::Run(error.to_string()))?;
    of(ids.vendor, ids.device).ok_or_else(|| {
        let known: Vec<String> = pmd_ixgbe::MODELS
            .iter()
            .map(|model| (pmd_ixgbe::VENDOR, model.id))
            .chain(pmd_igb::MODELS.iter().map(|model| (pmd_igb::VENDOR, model.id)))
            .map(|(vendor, id)| format!("{vendor:04x}:{id:04x}"))
            .collect();
        let known = known.join(", ");
        Fault::Usage(format!("there is no driver for device {ids}: there are drivers for {known}"))
    })
}

/// Prints every register access of `device` to standard error, decoded.
pub(super) fn traced(known: &Known, device: Arc<dyn Device>, clock: Arc<dyn Clock>) -> Arc<dyn Device> {
    let print = |event: &TraceEvent<'_>| note!("{event}");
    let tracer = Tracer::new(device, clock, print);
    match known.family {
        Family::Ixgbe => Arc::new(tracer.decode::<pmd_ixgbe::regs::Ixgbe>(0)),
        Family::Igb => Arc::new(tracer.decode::<pmd_igb::regs::Igb>(0)),
    }
}

/// What a port is started with.
pub(super) struct Start<'a> {
    pub(super) number: u16,
    pub(super) device: Arc<dyn Device>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) space: &'a IovaSpace,
    pub(super) pool: &'a Pool,
    pub(super) memory: MemorySource,
    pub(super) args: &'a PortArgs,
}

/// The drivers have the same names for the same things, and no common type before a port is started.
macro_rules! start {
    ($driver:ident, $start:expr) => {{
        let Start { number, device, clock, space, pool, memory, args } = $start;
        let config = $driver::Config {
            port: number,
            rx_queues: args.rxq,
            tx_queues: args.txq,
            rx_ring: args.rxd,
            tx_ring: args.txd,
            mtu: args.mtu(),
            rss: (args.rxq > 1 && !args.disable_rss).then($driver::rss::RssConfig::default),
            vlan_strip: args.enable_hw_vlan_strip,
            drop_enable: Some(args.enable_drop_en),
            promiscuous: !args.no_promiscuous,
            memory,
            ..$driver::Config::default()
        };
        let probed = $driver::Probed::new(device, clock)?;
        let configured = probed.configure(space, pool, config).map_err(|failed| failed.error)?;
        let started = configured.start().map_err(|failed| failed.error)?;
        Ok($driver::Running::erase(started))
    }};
}

impl Known {
    /// Starts a port.
    pub(super) fn start(&self, start: Start<'_>) -> Result<Started, Fault> {
        match self.family {
            Family::Ixgbe => start!(pmd_ixgbe, start),
            Family::Igb => start!(pmd_igb, start),
        }
    }
}
