//! From the command line to started ports.
//!
//! [`open`] reads every `--vdev`, plugs a device model into its link, attaches all devices to one IOVA space, makes one
//! pool that is large enough for all, and starts the driver on each. [`Ports::stop`] takes everything back and checks that
//! no buffer is missing.

mod gate;
mod vdev;

use std::sync::Arc;
use std::time::Duration;

use pmd_ixgbe::{Config, Probed, Running, rss::RssConfig};
use vfio_hal::backend::local::{Idle, ModelThread};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::IovaSpace;
use vfio_hal::dma::pool::Pool;
use vfio_hal::pmd::{Port, RxQueue, TxQueue};

use crate::cli::{EnvArgs, Models, PortArgs};
use crate::fault::Fault;
use crate::memory;

pub(crate) use vdev::{Plugged, Step};

/// How long a link may take to come up (as testpmd waits).
const LINK_LIMIT: Duration = Duration::from_secs(9);

/// One started port.
pub(crate) struct Open {
    /// The name from the command line.
    pub(crate) name: String,
    /// Its control side.
    pub(crate) port: Box<dyn Port>,
    /// What its model is plugged into.
    pub(crate) plugged: Plugged,
}

/// All ports, and what they share.
pub(crate) struct Ports {
    /// The control sides, by number.
    pub(crate) open: Vec<Open>,
    /// Receive queues of each port.
    pub(crate) rx: Vec<Vec<Box<dyn RxQueue>>>,
    /// Transmit queues of each port.
    pub(crate) tx: Vec<Vec<Box<dyn TxQueue>>>,
    /// The pool of all ports.
    pub(crate) pool: Pool,

    
    /// Models that work on the lcores.
    pub(crate) steps: Vec<Step>,
    threads: Vec<ModelThread>,
}

/// The ports of a command line without any: two, each with a traffic generator behind it.
const DEFAULT_VDEVS: [&str; 2] = ["net_ixgbe0,link=gen", "net_ixgbe1,link=gen"];

/// Opens and starts the ports of a command line.
pub(crate) fn open(env: &EnvArgs, args: &PortArgs, default: &[&str]) -> Result<Ports, Fault> {
    let texts: Vec<&str> = if env.vdevs.is_empty() {
        default.to_vec()
    } else {
        env.vdevs.iter().map(String::as_str).collect()
    };
    let config = config(args);
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let mut plugged = vdev::plug(&texts, &clock)?;
    let space = IovaSpace::new();
    let steps: Vec<Step> = plugged.iter().map(|one| one.step.clone()).collect();
    let mut threads = Vec::new();
    let driver_clock: Arc<dyn Clock> = match env.models {
        Models::Inline => Arc::new(vdev::SteppingClock::new(clock.clone(), steps.clone())),
        Models::Threads => {
            for one in &plugged {
                threads.push((one.spawn)(Idle::default())?);
            }
            clock.clone()
        }
    };
    for one in &mut plugged {
        if env.trace_mmio {
            one.device = vdev::traced(one.device.clone(), clock.clone());
        }
        space.attach(&one.device)?;
    }
    let need = config.buffers().saturating_mul(plugged.len() as u32);
    let count = args.total_num_mbufs.unwrap_or(need);
    let pool = memory::pool(&space, count, args.mbuf_size, env.no_huge)?;
    let mut ports = Ports {
        open: Vec::new(),
        rx: Vec::new(),
        tx: Vec::new(),
        pool,
        steps: if env.models == Models::Inline { steps } else { Vec::new() },
        threads,
    };
    for (number, one) in plugged.into_iter().enumerate() {
        ports.start(number as u16, one, &space, &driver_clock, &config)?;
    }
    Ok(ports)
}

/// Returns the vdevs that `pmd fwd` uses when none are given.
pub(crate) fn default_vdevs() -> &'static [&'static str] {
    &DEFAULT_VDEVS
}

fn config(args: &PortArgs) -> Config {
    Config {
        rx_queues: args.rxq,
        tx_queues: args.txq,
        rx_ring: args.rxd,
        tx_ring: args.txd,
        mtu: args.mtu(),
        rss: (args.rxq > 1 && !args.disable_rss).then(RssConfig::default),
        vlan_strip: args.enable_hw_vlan_strip,
        drop_enable: args.enable_drop_en.then_some(true),
        promiscuous: !args.no_promiscuous,
        ..Config::default()
    }
}

impl Ports {
    fn start(
        &mut self,
        number: u16,
        plugged: Plugged,
        space: &IovaSpace,
        clock: &Arc<dyn Clock>,
        config: &Config,
    ) -> Result<(), Fault> {
        let name = plugged.name.clone();
        let in_port = |fault: Fault| fault.of(&name);
        let probed = Probed::new(plugged.device.clone(), clock.clone()).map_err(|error| in_port(error.into()))?;
        let config = Config { port: number, ..config.clone() };
        let configured = probed
            .configure(space, &self.pool, config)
            .map_err(|failed| in_port(failed.error.into()))?;
        let started = configured.start().map_err(|failed| in_port(failed.error.into()))?;
        let mut started = Running::erase(started);
        let link = started.port.wait_for_link(LINK_LIMIT).map_err(|error| in_port(error.into()))?;
        let info = started.port.info();
        eprintln!("port {number}: {name}, {}, MAC {}, link {link}", info.driver, info.mac);
        self.open.push(Open { name: name.clone(), port: started.port, plugged });
        self.rx.push(started.rx);
        self.tx.push(started.tx);
        Ok(())
    }

    /// Lets traffic in, once every port receives.
    pub(crate) fn open_valves(&self) {
        for one in &self.open {
            one.plugged.valve.set(true);
        }
    }

    /// Stops all ports. An error if a buffer did not come back.
    pub(crate) fn stop(self) -> Result<(), Fault> {
        let Ports { open, rx, tx, pool, threads, .. } = self;
        for ((one, rx), tx) in open.into_iter().zip(rx).zip(tx) {
            one.port.stop(rx, tx).map_err(|error| Fault::from(error).of(&one.name))?;
        }
        for thread in threads {
            thread.stop().map_err(|error| Fault::Run(error.to_string()))?;
        }
        let (have, all, leaked) = (pool.available(), pool.capacity(), pool.leaked());
        if have != all {
            return Err(Fault::Run(format!("{} of {all} buffers did not come back ({leaked} left to the device)", all - have)));
        }
        Ok(())
    }
}
