//! From the command line to started ports.
//!
//! [`open`] checks what can be checked first, then reads every `--vdev`, plugs a device model into its link, attaches all
//! devices to one IOVA space, makes one pool that is large enough for all, and starts the driver on each.
//! [`Ports::stop`] takes everything back and checks that no buffer is missing.

mod check;
pub(crate) mod drivers;
mod gate;
mod vdev;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pmd_ixgbe::{Config, Probed, Running, rss::RssConfig};
use vfio_hal::backend::local::{Idle, ModelThread};
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::IovaSpace;
use vfio_hal::dma::pool::Pool;
use vfio_hal::pmd::{Port, PortError, PortStats, RxQueue, TxQueue};

use crate::cli::{EnvArgs, Models, PortArgs};
use crate::fault::Fault;
use crate::signal::Stop;
use crate::{memory, note};

pub(crate) use vdev::{HELP, Plugged, Step};

/// How long a link may take to come up (as testpmd waits).
const LINK_LIMIT: Duration = Duration::from_secs(9);

/// After how long it is said that a link is waited for.
const LINK_PATIENCE: Duration = Duration::from_millis(100);

/// How often a link that is waited for is looked at, and models that have no thread may work on it.
const LINK_TICK: Duration = Duration::from_micros(500);

/// One started port.
pub(crate) struct Open {
    /// The name from the command line.
    pub(crate) name: String,
    /// Its control side.
    pub(crate) port: Box<dyn Port>,
    /// What its model is plugged into.
    pub(crate) plugged: Plugged,
    /// What it counted when it was asked last.
    last: PortStats,
}

impl Open {
    /// Returns the basic statistics.
    pub(crate) fn stats(&mut self) -> Result<PortStats, PortError> {
        self.last = self.port.stats()?;
        Ok(self.last)
    }

    /// Returns the basic statistics of a device that may be gone: then those of when it was asked last.
    pub(crate) fn last_stats(&mut self) -> PortStats {
        let _ = self.stats();
        self.last
    }
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

/// Opens and starts the ports of a command line, for `lcores` that use them, and waits until their links are up, too long,
/// or `stop` is set.
pub(crate) fn open(
    env: &EnvArgs,
    args: &PortArgs,
    default: &[&str],
    lcores: usize,
    stop: &Stop,
) -> Result<Ports, Fault> {
    let texts = vdevs(env, default);
    let config = config(args);
    let buffers = check::buffers(args, &config, texts.len(), lcores)?;
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
    let (pool, memory) = memory::pool(&space, buffers, args.mbuf_size, env.no_huge)?;
    let steps = if env.models == Models::Inline { steps } else { Vec::new() };
    let mut ports = Ports { open: Vec::new(), rx: Vec::new(), tx: Vec::new(), pool, steps, threads };
    for (number, one) in plugged.into_iter().enumerate() {
        let name = one.name.clone();
        ports.start(number as u16, one, &space, &driver_clock, &config).map_err(|fault| fault.of(&name))?;
    }
    note!("{memory}");
    ports.wait_for_links(stop)?;
    Ok(ports)
}

/// Returns the vdevs of a command line, or `default` if there are none.
pub(crate) fn vdevs<'a>(env: &'a EnvArgs, default: &[&'a str]) -> Vec<&'a str> {
    if env.vdevs.is_empty() { default.to_vec() } else { env.vdevs.iter().map(String::as_str).collect() }
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
        drop_enable: Some(args.enable_drop_en),
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
        let probed = Probed::new(plugged.device.clone(), clock.clone())?;
        let config = Config { port: number, ..config.clone() };
        let configured = probed.configure(space, &self.pool, config).map_err(|failed| failed.error)?;
        let started = configured.start().map_err(|failed| failed.error)?;
        let started = Running::erase(started);
        let name = plugged.name.clone();
        self.open.push(Open { name, port: started.port, plugged, last: PortStats::default() });
        self.rx.push(started.rx);
        self.tx.push(started.tx);
        Ok(())
    }

    /// Says what each port is once its link is up. One that stays down is said and used: it may come up any time.
    fn wait_for_links(&mut self, stop: &Stop) -> Result<(), Fault> {
        let start = Instant::now();
        let limit = start + LINK_LIMIT;
        for (number, one) in self.open.iter_mut().enumerate() {
            let mut waiting = false;
            let link = loop {
                let link = one.port.link().map_err(|error| Fault::from(error).of(&one.name))?;
                if link.up || stop.is_set() || Instant::now() >= limit {
                    break link;
                }
                if !waiting && start.elapsed() > LINK_PATIENCE {
                    note!("port {number}: {}, waiting for the link", one.name);
                    waiting = true;
                }
                for step in &self.steps {
                    step();
                }
                thread::sleep(LINK_TICK);
            };
            let info = one.port.info();
            note!("port {number}: {}, {}, MAC {}, link {link}", one.name, info.driver, info.mac);
        }
        Ok(())
    }

    /// Lets traffic in, once every port receives.
    pub(crate) fn open_valves(&self) {
        self.open.iter().for_each(|one| one.plugged.valve.set(true));
    }

    /// Lets no more traffic in.
    pub(crate) fn shut_valves(&self) {
        self.open.iter().for_each(|one| one.plugged.valve.set(false));
    }

    /// Returns the failure of a link or a model that ends a run.
    pub(crate) fn broken(&self) -> Option<Fault> {
        self.open.iter().find_map(|one| (one.plugged.broken)().map(|error| Fault::from(error).of(&one.name)))
    }

    /// Stops all ports, and writes out what links have buffered. Everything is tried; the first failure is returned.
    pub(crate) fn stop(self) -> Result<(), Fault> {
        let Ports { open, rx, tx, pool, threads, .. } = self;
        let mut result = Ok(());
        for ((one, rx), tx) in open.into_iter().zip(rx).zip(tx) {
            let Open { name, port, plugged, .. } = one;
            let stopped = port.stop(rx, tx).map_err(Fault::from);
            let flushed = (plugged.flush)().map_err(Fault::from);
            result = result.and(stopped.and(flushed).map_err(|fault| fault.of(&name)));
        }
        for thread in threads {
            result = result.and(thread.stop().map_err(|error| Fault::Run(error.to_string())));
        }
        result?;
        let (have, all, leaked) = (pool.available(), pool.capacity(), pool.leaked());
        if have != all {
            let missing = all - have;
            return Err(Fault::Run(format!(
                "{missing} of {all} buffers did not come back ({leaked} left to the device)"
            )));
        }
        Ok(())
    }
}
