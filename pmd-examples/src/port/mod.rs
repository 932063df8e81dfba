//! From the command line to started ports.
//!
//! [`Sources`] is what `-a` and `--vdev` say. [`open`] checks what can be checked first, then opens the devices, plugs
//! models into their links, attaches all devices to one IOVA space, makes one pool that is large enough for all, and
//! starts on each the [driver](drivers) that knows its PCI ids.
//! [`Ports::stop`] takes everything back and checks that no buffer is missing.

mod check;
pub(crate) mod drivers;
mod gate;
mod model;
mod source;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use vfio_hal::backend::local::{Idle, ModelThread};
use vfio_hal::backend::vfio::Api;
use vfio_hal::clock::{Clock, MonotonicClock};
use vfio_hal::dma::pool::Pool;
use vfio_hal::dma::{Addressing, IovaSpace, SpaceOptions};
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};
use vfio_hal::pmd::{Port, PortError, PortStats, RxQueue, TxQueue};

use crate::cli::{EnvArgs, IovaMode, Models, PortArgs};
use crate::fault::Fault;
use crate::memory::Wanted;
use crate::note;
use crate::signal::Stop;

use drivers::Start;

pub(crate) use check::Holders;
pub(crate) use model::{Step, Wire};
pub(crate) use source::{HELP, Plugged, Sources};

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
    /// Its device, and what that is plugged into, if it is a model of this process.
    pub(crate) plugged: Plugged,
    /// Its receive and transmit queues.
    pub(crate) queues: (usize, usize),
    /// What it counted when it was asked last.
    last: PortStats,
    /// Fires when the system wants the device back.
    wanted_back: Option<Arc<EventFd>>,
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

    /// Returns what its model is plugged into, if it is one of this process.
    pub(crate) fn wire(&self) -> Option<&Wire> {
        self.plugged.wire.as_ref()
    }

    /// Returns why it cannot go on: its link was given up, or the system wants the device back.
    pub(crate) fn broken(&self) -> Option<Fault> {
        if self.wanted_back.as_ref().is_some_and(|event| event.take() != 0) {
            return Some(Fault::Run(format!(
                "{}: the system wants the device back, because it is unplugged or bound to another driver: stopped, start \
                 again when it is there",
                self.name
            )));
        }
        let error = (self.wire()?.broken)()?;
        Some(Fault::from(error).of(&self.name))
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

/// Opens and starts the ports of a command line, for those who hold their buffers, and waits until their links are up, too long,
/// or `stop` is set.
pub(crate) fn open(
    env: &EnvArgs,
    args: &PortArgs,
    sources: Sources,
    holders: Holders,
    stop: &Stop,
) -> Result<Ports, Fault> {
    let buffers = check::buffers(args, sources.len(), holders)?;
    let space = space(env)?;
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let node = sources.node();
    let mut plugged = sources.open(env, &clock)?;
    let steps: Vec<Step> = plugged.iter().filter_map(|one| Some(one.wire.as_ref()?.step.clone())).collect();
    let mut threads = Vec::new();
    let driver_clock: Arc<dyn Clock> = match env.models {
        Models::Inline => Arc::new(model::SteppingClock::new(clock.clone(), steps.clone())),
        Models::Threads => {
            for wire in plugged.iter().filter_map(|one| one.wire.as_ref()) {
                threads.push((wire.spawn)(Idle::default())?);
            }
            clock.clone()
        }
    };
    let mut known = Vec::new();
    for one in &mut plugged {
        let driver = drivers::for_device(&one.device).map_err(|fault| fault.of(&one.name))?;
        if env.trace_mmio {
            one.device = drivers::traced(&driver, one.device.clone(), clock.clone());
        }
        space.attach(&one.device).map_err(|error| Fault::from(error).of(&one.name))?;
        known.push(driver);
    }
    let physical = plugged.iter().any(|one| one.device.dma().caps().addressing == Addressing::Physical);
    let wanted = Wanted { no_huge: env.no_huge, node, physical };
    let (pool, memory) = wanted.pool(&space, buffers, args.mbuf_size)?;
    let rings = wanted.rings();
    let steps = if env.models == Models::Inline { steps } else { Vec::new() };
    let mut ports = Ports { open: Vec::new(), rx: Vec::new(), tx: Vec::new(), pool, steps, threads };
    for (number, (plugged, driver)) in plugged.into_iter().zip(known).enumerate() {
        let name = plugged.name.clone();
        let start = Start {
            number: number as u16,
            device: plugged.device.clone(),
            clock: driver_clock.clone(),
            space: &space,
            pool: &ports.pool,
            memory: rings.clone(),
            args,
        };
        let started = driver.start(start).map_err(|fault| fault.of(&name))?;
        let wanted_back = asked_back(&plugged)?;
        let queues = (started.rx.len(), started.tx.len());
        let (port, last) = (started.port, PortStats::default());
        ports.open.push(Open { name, port, plugged, queues, last, wanted_back });
        ports.rx.push(started.rx);
        ports.tx.push(started.tx);
    }
    note!("{memory}");
    ports.wait_for_links(stop)?;
    Ok(ports)
}

/// Lets the system ask for a device, which it does before it takes one away: as long as nobody answers, it waits.
fn asked_back(plugged: &Plugged) -> Result<Option<Arc<EventFd>>, Fault> {
    let irqs = plugged.device.irqs().filter(|irqs| irqs.info(IrqKind::Request).count != 0);
    let Some(irqs) = irqs.filter(|_| plugged.wire.is_none()) else { return Ok(None) };
    let event = Arc::new(EventFd::new()?);
    irqs.enable(IrqKind::Request, 0, &[Some(event.clone() as Arc<dyn IrqSink>)])?;
    Ok(Some(event))
}

/// Returns the ports that `pmd fwd` uses when none are given.
pub(crate) fn default_vdevs() -> &'static [&'static str] {
    &DEFAULT_VDEVS
}

/// Returns the address space that the command line asks for.
fn space(env: &EnvArgs) -> Result<IovaSpace, Fault> {
    match env.iova_mode {
        None => Ok(IovaSpace::new()),
        Some(IovaMode::Va) if env.vfio_api == Api::NoIommu => Err(Fault::Usage(
            "--iova-mode va needs an IOMMU, and --vfio-api noiommu goes without: leave one of them out".into(),
        )),
        Some(IovaMode::Va) => Ok(IovaSpace::with(SpaceOptions::default().identity())),
        Some(IovaMode::Pa) if env.vfio_api == Api::NoIommu => Ok(IovaSpace::new()),
        Some(IovaMode::Pa) => Err(Fault::Usage(
            "--iova-mode pa gives devices physical addresses, which only goes without an IOMMU: add --vfio-api noiommu"
                .into(),
        )),
    }
}

impl Ports {
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
        self.open.iter().filter_map(Open::wire).for_each(|wire| wire.valve.set(true));
    }

    /// Lets no more traffic in.
    pub(crate) fn shut_valves(&self) {
        self.open.iter().filter_map(Open::wire).for_each(|wire| wire.valve.set(false));
    }

    /// Returns the failure of a link, a model or a device that ends a run.
    pub(crate) fn broken(&self) -> Option<Fault> {
        self.open.iter().find_map(Open::broken)
    }

    /// Stops all ports, and writes out what links have buffered. Everything is tried; the first failure is returned.
    pub(crate) fn stop(self) -> Result<(), Fault> {
        let Ports { open, rx, tx, pool, threads, .. } = self;
        let mut result = Ok(());
        for ((one, rx), tx) in open.into_iter().zip(rx).zip(tx) {
            let Open { name, port, plugged, .. } = one;
            let stopped = port.stop(rx, tx).map_err(Fault::from);
            let flushed = plugged.wire.map_or(Ok(()), |wire| (wire.flush)()).map_err(Fault::from);
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
