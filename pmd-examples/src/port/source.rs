//! Where ports come from: `-a` names devices of this machine, `--vdev` models in this process and devices on sockets.
//!
//! [`Sources::read`] reads all that the command line says before anything is opened; [`Sources::open`] opens in the order
//! of DPDK: first what sits on PCI, then the virtual ones.

use std::path::PathBuf;
use std::sync::Arc;

use pmd_links::{PatchPanel, Vdev};
use vfio_hal::Device;
use vfio_hal::backend::user::{self, UserDevice};
use vfio_hal::backend::vfio::{self, Api, VfioDevice, VfioError};
use vfio_hal::clock::Clock;
use vfio_hal::pci::discovery::System;

use super::model::{self, Described, Wire};
use crate::cli::EnvArgs;
use crate::cli::parse::duration;
use crate::fault::Fault;

/// A device to make a port of.
pub(crate) struct Plugged {
    pub(crate) name: String,
    pub(crate) device: Arc<dyn Device>,
    /// What its model is plugged into; none for a device that is not a model in this process.
    pub(crate) wire: Option<Wire>,
}

/// The options of devices, for help.
pub(crate) const HELP: &str = "\
NAME[,OPTION]...[,link=KIND[,KEY[=VALUE]]...]
  net_ixgbeN      an 82599: mac=MAC  part=sfp|kx4  module=sr|lr|dac|foreign|absent
                  die=N (vanishes after N register accesses, as if it were pulled out)
  net_tapN        the same, plugged into a TAP interface: iface=NAME (dtapN)
  net_pcapN       the same, plugged into files: rx_pcap=FILE  tx_pcap=FILE  infinite_rx=1; or iface=NAME
  net_af_packetN  the same, plugged into an interface that is there: iface=NAME
 or a device that another process serves (`pmd serve`), whose driver is chosen by its PCI ids
  net_ixgbeN,socket=PATH   net_igbN,socket=PATH
                  doorbells=mapped|messages (registers that the server gives a file for)
                  reconnect=TIME (a lost server is waited for)  timeout=TIME (10s)";

/// The names of devices: those that DPDK has for links, and the models' own.
const NAMES: [&str; 5] = ["net_ixgbe", "net_igb", "net_tap", "net_pcap", "net_af_packet"];

/// Options of a device on a socket.
const OF_SOCKET: [&str; 4] = ["socket", "doorbells", "reconnect", "timeout"];

/// Options of devices, before those of their links.
const OWN: &[&str] = &{
    let ([a, b, c, d], [e, f, g, h]) = (model::OWN, OF_SOCKET);
    [a, b, c, d, e, f, g, h]
};

/// What the command line says of ports.
#[derive(Default)]
pub(crate) struct Sources {
    pci: Vec<String>,
    virtuals: Vec<Virtual>,
}

enum Virtual {
    Model(Box<Described>),
    /// `mapped`: the user wants registers in memory.
    Socket {
        name: String,
        path: PathBuf,
        options: user::Options,
        mapped: bool,
    },
}

impl Sources {
    /// Reads `-a` and `--vdev`, or `default` if there is neither.
    pub(crate) fn read(env: &EnvArgs, default: &[&str]) -> Result<Sources, Fault> {
        let texts: Vec<&str> = match env.names_ports() {
            true => env.vdevs.iter().map(String::as_str).collect(),
            false => default.to_vec(),
        };
        let mut sources = Sources { pci: Vec::new(), virtuals: Vec::new() };
        for address in &env.allow {
            if sources.pci.contains(address) {
                return Err(Fault::Usage(format!("-a {address} is there twice: a device is one port")));
            }
            sources.pci.push(address.clone());
        }
        let mut names: Vec<String> = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let vdev = Vdev::parse(text, OWN)?;
            let name = vdev.name.clone();
            let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
            if !NAMES.contains(&kind) {
                let names = NAMES.join("N, ");
                return Err(Fault::Usage(format!("--vdev {name}: there is no such device: use {names}N")));
            }
            if names.contains(&name) {
                return Err(Fault::Usage(format!(
                    "--vdev {name} is there twice: number them {kind}0, {kind}1"
                )));
            }
            let read = match vdev.options.iter().any(|(key, _)| key == "socket") {
                true => socket(&vdev),
                false => no_socket(kind, &vdev)
                    .and_then(|()| model::describe(sources.pci.len() + number, &vdev))
                    .map(|described| Virtual::Model(Box::new(described))),
            };
            sources.virtuals.push(read.map_err(|fault| fault.of(&name))?);
            names.push(name);
        }
        Ok(sources)
    }

    /// Returns how many ports there will be.
    pub(crate) fn len(&self) -> usize {
        self.pci.len() + self.virtuals.len()
    }

    /// Returns whether a model of this process is among them.
    pub(crate) fn has_models(&self) -> bool {
        self.virtuals.iter().any(|one| matches!(one, Virtual::Model(_)))
    }

    /// Returns the NUMA node that the devices on PCI are near to, if that is one.
    pub(super) fn node(&self) -> Option<u32> {
        let system = System::new();
        let node = |address: &String| system.device(system.resolve(address).ok()?).ok()?.numa_node;
        let mut nodes = self.pci.iter().map(node);
        let first = nodes.next()??;
        nodes.all(|node| node == Some(first)).then_some(first)
    }

    /// Opens everything.
    pub(super) fn open(self, env: &EnvArgs, clock: &Arc<dyn Clock>) -> Result<Vec<Plugged>, Fault> {
        // What would be overwritten is so only by a run that can be.
        for one in &self.virtuals {
            if let Virtual::Model(described) = one {
                described.spec.check().map_err(|error| Fault::from(error).of(&described.name))?;
            }
        }
        let mut all = Vec::new();
        let mut options = vfio::Options { api: env.vfio_api, token: env.vfio_vf_token, iommu: None };
        for address in &self.pci {
            let device = VfioDevice::open(address, &options)?;
            // All of them in one context: what they share is mapped once.
            options.iommu.get_or_insert_with(|| device.iommu().clone());
            crate::note!("{}: opened by {}", device.name(), device.api());
            all.push(Plugged { name: device.name().to_owned(), device, wire: None });
        }
        let mut panel = PatchPanel::new();
        for one in self.virtuals {
            all.push(match one {
                Virtual::Model(described) => {
                    let name = described.name.clone();
                    model::plug(*described, &mut panel, clock).map_err(|fault| fault.of(&name))?
                }
                Virtual::Socket { name, path, options, mapped } => {
                    let at = format!("{name}: socket {}", path.display());
                    let device = UserDevice::connect(&path, &options)
                        .map_err(|error| Fault::Run(format!("{at}: {error}")))?;
                    if mapped && !device.bar(0)?.windows().any(|(_, _, in_memory)| in_memory) {
                        return Err(Fault::Run(format!(
                            "{at}: the server gives no file for registers: serve it with --doorbells mapped, or leave doorbells out"
                        )));
                    }
                    Plugged { name, device, wire: None }
                }
            });
        }
        panel.finish()?;
        Ok(all)
    }
}

/// Reads a device on a socket. What it is, the server says.
fn socket(vdev: &Vdev) -> Result<Virtual, Fault> {
    let mut options = user::Options::default();
    let mut path = PathBuf::new();
    let mut mapped = false;
    for (key, value) in &vdev.options {
        let value = value.as_deref().unwrap_or_default();
        let wrong = |what: &str| Fault::Usage(format!("\"{value}\" is no value for {key}: use {what}"));
        match key.as_str() {
            "socket" if value.is_empty() => return Err(wrong("the path of the server's socket")),
            "socket" => path = value.into(),
            "doorbells" => {
                mapped = match value {
                    "mapped" => true,
                    "messages" => false,
                    _ => return Err(wrong("mapped or messages")),
                };
                options = options.map_bars(mapped);
            }
            "reconnect" => options = options.reconnect(duration(value).map_err(Fault::Usage)?),
            "timeout" => options = options.timeout(duration(value).map_err(Fault::Usage)?),
            _ => {
                return Err(Fault::Usage(format!(
                    "{key} is for a model in this process: the server of the socket decides that"
                )));
            }
        }
    }
    if vdev.link.is_some() {
        return Err(Fault::Usage("the device's link is its server's: leave link out, or the socket".into()));
    }
    Ok(Virtual::Socket { name: vdev.name.clone(), path, options, mapped })
}

fn no_socket(kind: &str, vdev: &Vdev) -> Result<(), Fault> {
    if let Some((key, _)) = vdev.options.iter().find(|(key, _)| OF_SOCKET.contains(&key.as_str())) {
        return Err(Fault::Usage(format!("{key} is for a device on a socket: add socket=PATH")));
    }
    match kind {
        "net_igb" => Err(Fault::Usage(
            "there is no model of it here: give -a BDF for a device of this machine, or socket=PATH for a served one".into(),
        )),
        _ => Ok(()),
    }
}

impl From<VfioError> for Fault {
    fn from(error: VfioError) -> Fault {
        match error {
            VfioError::Address { .. } | VfioError::NoDevice { .. } | VfioError::HasIommu { .. } => {
                Fault::Usage(error.to_string())
            }
            VfioError::NoIommuNotAsked { .. } => {
                Fault::Usage(format!("{error}: --vfio-api {}", Api::NoIommu))
            }
            _ => Fault::Run(error.to_string()),
        }
    }
}
