//! Virtual devices: a model of the 82599 for each, plugged into the link that the command line says.

use std::sync::Arc;
use std::time::Duration;

use pmd_ixgbe_model::{Config, Model82599, Overrun};
use pmd_links::{Impairments, Kind, PatchPanel, Traffic, Vdev, Verdict, Watch};
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::clock::Clock;
use vfio_hal::pmd::MacAddr;
use vfio_hal::wrap::{TraceEvent, Tracer};
use vfio_hal::{Device, DeviceError};
use vfio_user_kit::Work;

use super::gate::{Gate, Valve};
use crate::fault::Fault;

/// Lets a model do some work; returns whether there was any.
pub(crate) type Step = Arc<dyn Fn() -> bool + Send + Sync>;

/// A model in a device, plugged into a link.
pub(crate) struct Plugged {
    pub(crate) name: String,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) step: Step,
    /// Lets the model work on a thread of its own.
    pub(crate) spawn: Box<dyn Fn(Idle) -> Result<ModelThread, DeviceError> + Send>,
    /// Shuts the link's source, and knows when that has run dry.
    pub(crate) valve: Valve,
    /// What crosses the link, seen from the MAC.
    pub(crate) traffic: Watch<Traffic>,
    /// What the sink finds, where the link is a generator with one.
    pub(crate) verdict: Option<Watch<Verdict>>,
    /// What the cable does, where it does.
    pub(crate) impairments: Option<Watch<Impairments>>,
    /// Traffic is generated without end: such a run ends by time.
    pub(crate) endless: bool,
}

/// Options of a device, before those of its link.
const OWN: &[&str] = &["mac", "part"];

/// The names of devices: those that DPDK has for links, and the model's own.
const NAMES: [&str; 4] = ["net_ixgbe", "net_tap", "net_pcap", "net_af_packet"];

/// Makes the devices that `texts` describe.
pub(crate) fn plug(texts: &[&str], clock: &Arc<dyn Clock>) -> Result<Vec<Plugged>, Fault> {
    let mut panel = PatchPanel::new();
    let mut all: Vec<Plugged> = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let vdev = Vdev::parse(text, OWN)?;
        let kind = vdev.name.trim_end_matches(|c: char| c.is_ascii_digit());
        if !NAMES.contains(&kind) {
            let names = NAMES.join("N, ");
            return Err(Fault::Usage(format!("--vdev {}: there is no such device; there are {names}N", vdev.name)));
        }
        if all.iter().any(|other| other.name == vdev.name) {
            return Err(Fault::Usage(format!("--vdev {} is there twice: number them {kind}0, {kind}1", vdev.name)));
        }
        all.push(plug_one(number, &vdev, &mut panel, clock).map_err(|fault| fault.of(&vdev.name))?);
    }
    panel.finish()?;
    Ok(all)
}

fn plug_one(
    number: usize,
    vdev: &Vdev,
    panel: &mut PatchPanel,
    clock: &Arc<dyn Clock>,
) -> Result<Plugged, Fault> {
    let spec = match &vdev.link {
        Some(spec) => spec.clone(),
        None => "gen".parse()?,
    };
    let opened = panel.open(&spec)?;
    let (gate, valve) = Gate::new(opened.link);
    let mac = mac_of(vdev, number)?;
    let endless = matches!(&spec.kind, Kind::Generate { config, .. } if config.count.is_none())
        || matches!(&spec.kind, Kind::Sink { .. } | Kind::Loopback { .. });
    // A generator waits for the driver, as testpmd's users expect of a benchmark without loss; a real wire does not.
    let waits = matches!(spec.kind, Kind::Generate { .. } | Kind::Pcap { .. } | Kind::Pair { .. } | Kind::Loopback { .. });
    let overrun = if waits { Overrun::Wait } else { Overrun::Drop };
    let config = Config { overrun, ..Config::new(mac.0) };
    let model = Model82599::new(config, Box::new(gate));
    let options = LocalOptions::default().clock(clock.clone());
    let device = LocalDevice::new(vdev.name.clone(), model, options)
        .map_err(|error| Fault::Run(format!("the model cannot be a PCI function: {error}")))?;
    let (stepper, spawner) = (device.stepper(), device.stepper());
    Ok(Plugged {
        name: vdev.name.clone(),
        device,
        step: Arc::new(move || stepper.step() == Work::Done),
        spawn: Box::new(move |idle| spawner.spawn(idle)),
        valve,
        traffic: opened.traffic,
        verdict: opened.verdict,
        impairments: opened.impairments,
        endless,
    })
}

fn mac_of(vdev: &Vdev, number: usize) -> Result<MacAddr, Fault> {
    let given = vdev.options.iter().find(|(key, _)| key == "mac").and_then(|(_, value)| value.as_deref());
    match given {
        // Locally administered, and another one for each port.
        None => Ok(MacAddr([0x02, 0x82, 0x59, 0x90, 0x00, number as u8])),
        Some(text) => text.parse().map_err(|error| Fault::Usage(format!("mac={text} is {error}"))),
    }
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

/// Prints every register access of `device` to standard error, decoded.
pub(crate) fn traced(device: Arc<dyn Device>, clock: Arc<dyn Clock>) -> Arc<dyn Device> {
    let print = |event: &TraceEvent<'_>| eprintln!("{event}");
    Arc::new(Tracer::new(device, clock, print).decode::<pmd_ixgbe::regs::Ixgbe>(0))
}
