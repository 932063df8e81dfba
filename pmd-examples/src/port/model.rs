//! Device models in this process: an 82599 for each, plugged into the link that the command line says.

use std::sync::Arc;
use std::time::Duration;

use pmd_ixgbe_model::{Config, Model82599, Module, Overrun, Part};
use pmd_links::{Kind, LinkError, PatchPanel, Spec, Traffic, Vdev, Verdict, Watch};
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::clock::Clock;
use vfio_hal::pmd::MacAddr;
use vfio_hal::wrap::{FaultInjector, Faults};
use vfio_hal::{Device, DeviceError};
use vfio_user_kit::Work;

use super::gate::{Gate, Valve};
use super::source::Plugged;
use crate::fault::Fault;

/// Lets a model do some work; returns whether there was any.
pub(crate) type Step = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a model is plugged into, and how it works.
pub(crate) struct Wire {
    pub(crate) step: Step,
    /// Lets the model work on a thread of its own.
    pub(crate) spawn: Box<dyn Fn(Idle) -> Result<ModelThread, DeviceError> + Send>,
    /// Shuts the link's source, and knows when that has run dry.
    pub(crate) valve: Valve,
    /// What crosses the link, seen from the MAC.
    pub(crate) traffic: Watch<Traffic>,
    /// What the sink finds, where the link is a generator with one.
    pub(crate) verdict: Option<Watch<Verdict>>,
    /// Makes what the link has buffered reach its file; an error if the link failed, now or earlier.
    pub(crate) flush: Box<dyn Fn() -> Result<(), LinkError> + Send>,
    /// Why the link was given up, if it was.
    pub(crate) broken: Box<dyn Fn() -> Option<LinkError> + Send>,
    /// Traffic is generated without end: such a run ends by time.
    pub(crate) endless: bool,
}

/// Options of a model, before those of its link.
pub(super) const OWN: [&str; 4] = ["mac", "part", "module", "die"];

/// A model as it was described, not made yet.
pub(super) struct Described {
    pub(super) name: String,
    config: Config,
    pub(super) spec: Spec,
    die: Option<u64>,
}

/// Reads what the command line says of a model, which is port `number`.
pub(super) fn describe(number: usize, vdev: &Vdev) -> Result<Described, Fault> {
    let spec = match &vdev.link {
        Some(spec) => spec.clone(),
        None => "gen".parse()?,
    };
    // Locally administered, and another one for each port.
    let mut config = Config::new([0x02, 0x82, 0x59, 0x90, 0x00, number as u8]);
    // A generator waits for the driver, as testpmd's users expect of a benchmark without loss; a real wire does not.
    let waits = matches!(
        spec.kind,
        Kind::Generate { .. } | Kind::Pcap { .. } | Kind::Pair { .. } | Kind::Loopback { .. }
    );
    config.overrun = if waits { Overrun::Wait } else { Overrun::Drop };
    let mut die = None;
    for (key, value) in &vdev.options {
        let value = value.as_deref().unwrap_or_default();
        let expected = |what: &str| Fault::Usage(format!("\"{value}\" is no value for {key}: use {what}"));
        match key.as_str() {
            "mac" => {
                let mac: Option<MacAddr> = value.parse().ok().filter(|mac: &MacAddr| mac.is_valid_unicast());
                config.mac = mac.ok_or_else(|| expected("a station's address such as 02:00:00:00:00:01"))?.0;
            }
            "part" => {
                config.part = match value {
                    "sfp" => Part::Sfp,
                    "kx4" => Part::BackplaneKx4,
                    _ => return Err(expected("sfp or kx4")),
                }
            }
            "module" => {
                config.module = match value {
                    "sr" => Module::Sr,
                    "lr" => Module::Lr,
                    "dac" => Module::DirectAttach,
                    "foreign" => Module::ForeignSr,
                    "absent" => Module::Absent,
                    _ => return Err(expected("sr, lr, dac, foreign or absent")),
                }
            }
            _ => die = Some(value.parse().map_err(|_| expected("a number of register accesses"))?),
        }
    }
    Ok(Described { name: vdev.name.clone(), config, spec, die })
}

/// Opens the link, and plugs a model into it.
pub(super) fn plug(
    described: Described,
    panel: &mut PatchPanel,
    clock: &Arc<dyn Clock>,
) -> Result<Plugged, Fault> {
    let Described { name, config, spec, die } = described;
    let opened = panel.open(&spec)?;
    let (gate, valve) = Gate::new(opened.link);
    let endless = matches!(&spec.kind, Kind::Generate { config, .. } if config.count.is_none())
        || matches!(&spec.kind, Kind::Sink { .. } | Kind::Loopback { .. } | Kind::Pair { .. });
    let model = Model82599::new(config, Box::new(gate));
    let options = LocalOptions::default().clock(clock.clone());
    let local = LocalDevice::new(name.clone(), model, options)
        .map_err(|error| Fault::Run(format!("the model cannot be a PCI function: {error}")))?;
    let (stepper, spawner) = (local.stepper(), local.stepper());
    let (flushed, broken) = (local.clone(), local.clone());
    let device: Arc<dyn Device> = match die {
        Some(accesses) => Arc::new(FaultInjector::new(local, Faults::new().die_after(accesses))),
        None => local,
    };
    let wire = Wire {
        step: Arc::new(move || stepper.step() == Work::Done),
        spawn: Box::new(move |idle| spawner.spawn(idle)),
        valve,
        traffic: opened.traffic,
        verdict: opened.verdict,
        flush: Box::new(move || flushed.with_model(Model82599::flush).unwrap_or(Ok(()))),
        broken: Box::new(move || broken.with_model(|model| model.inspect().link_error()).flatten()),
        endless,
    };
    Ok(Plugged { name, device, wire: Some(wire) })
}

/// A clock that lets inline models work while a driver waits for one of them.
pub(crate) struct SteppingClock {
    clock: Arc<dyn Clock>,
    steps: Vec<Step>,
}

impl SteppingClock {
    pub(crate) fn new(clock: Arc<dyn Clock>, steps: Vec<Step>) -> SteppingClock {
        SteppingClock { clock, steps }
    }
}

impl Clock for SteppingClock {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wait(&self, time: Duration) {
        for step in &self.steps {
            step();
        }
        self.clock.wait(time);
    }
}
