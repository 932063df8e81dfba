//! An open card.

use std::sync::Arc;

use pmd_afu::accel::Memory;
use pmd_afu::{Afu, Card, Filter, Sharing};
use pmd_afu_model::{AfuModel, Config, Discovery};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::backend::user::{self, UserDevice};
use vfio_hal::backend::vfio::{self, VfioDevice};
use vfio_hal::clock::MonotonicClock;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

use super::options::SourceArgs;
use crate::fault::Fault;
use crate::memory::Wanted;
use crate::signal::Stop;

/// A card, the memory that it shares, and what else a command needs.
pub(crate) struct Session {
    pub(crate) card: Card,
    pub(crate) memory: Memory,
    pub(crate) stop: Stop,
    json: bool,
    /// Keeps the model at work.
    _model: Option<ModelThread>,
}

impl Session {
    /// Opens the card that the command line names.
    pub(super) fn open(args: &SourceArgs) -> Result<Session, Fault> {
        let (device, model) = match (&args.allow, &args.socket) {
            (Some(address), _) => {
                let options = vfio::Options { api: args.vfio_api, token: args.vfio_vf_token, iommu: None };
                let device = VfioDevice::open(address, &options)?;
                crate::note!("{}: opened by {}", device.name(), device.api());
                let device: Arc<dyn Device> = device;
                (device, None)
            }
            (None, Some(path)) => {
                let device = UserDevice::connect(path, &user::Options::default())
                    .map_err(|error| Fault::Run(format!("socket {}: {error}", path.display())))?;
                let device: Arc<dyn Device> = device;
                (device, None)
            }
            (None, None) => {
                let (device, model) = model(args)?;
                (device, Some(model))
            }
        };
        if model.is_none() && !args.order.is_empty() {
            return Err(Fault::Usage(
                "--order is for the model in this process: leave out -a and --socket".into(),
            ));
        }
        let card = Card::open(device.clone(), Arc::new(MonotonicClock::new()))?;
        let space = IovaSpace::new();
        card.attach(&space)?;
        let physical = space.stats().physical;
        let source = Wanted { no_huge: args.no_huge, node: None, physical }.rings();
        let (memory, stop) = (Memory { space, source }, Stop::on_signal()?);
        Ok(Session { card, memory, stop, json: args.json, _model: model })
    }

    /// Returns whether results are printed as JSON.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Prints text for people, which a program does not want.
    pub(super) fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.json {
            crate::output::line(text);
        }
    }

    /// Maps a buffer that both sides may use.
    pub(super) fn buffer(&self, len: u64, name: &'static str) -> Result<Region, Fault> {
        let too_much =
            || Fault::Usage(format!("a buffer of {len} bytes is more than this machine can address"));
        let len = usize::try_from(len).map_err(|_| too_much())?;
        Ok(self.memory.buffer(len.max(4096), DmaAccess::ReadWrite, name)?)
    }

    /// Opens an accelerator.
    pub(super) fn afu(&self, filter: &Filter, shared: bool) -> Result<Afu, Fault> {
        let sharing = if shared { Sharing::Shared } else { Sharing::Exclusive };
        Ok(self.card.open_matching(filter, sharing)?)
    }
}

/// Makes the model, and lets it work on a thread of its own.
fn model(args: &SourceArgs) -> Result<(Arc<dyn Device>, ModelThread), Fault> {
    let config = Config { discovery: Discovery::Vsec, ..Config::with_ports(&args.model) };
    let model = AfuModel::new(config);
    let control = model.control();
    let device = LocalDevice::new("afu0", model, LocalOptions::default())
        .map_err(|error| Fault::Run(error.to_string()))?;
    args.order.iter().for_each(|order| control.run(*order));
    let thread = device.stepper().spawn(Idle::default())?;
    Ok((device, thread))
}
