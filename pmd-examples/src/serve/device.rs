//! The models that can be served, and how each is made from the command line.
//!
//! [`Played`] is what `pmd serve` needs of a model beside [`DeviceModel`]; a further model implements it and gets an arm in
//! [`make`].

use pmd_afu_model::{AfuModel, Control, Discovery, Headers};
use pmd_ixgbe::regs::Ixgbe;
use pmd_ixgbe_model::{Config, Model82599, Module, Part, Signals};
use pmd_links::{PatchPanel, Spec, Traffic, Watch};
use vfio_hal::pmd::MacAddr;
use vfio_hal::regs::Decoder;
use vfio_user_kit::{DeviceModel, Migration};

use super::args::{Device, Interrupts, ModuleName, Overrun, PartName, ServeArgs};
use crate::fault::Fault;

/// A model that can be served.
pub(super) trait Played: DeviceModel {
    /// Returns what it counted, by name, for the totals.
    fn counts(&self) -> Vec<(&'static str, u64)>;

    /// Returns whether its migration, if it has one, begins while it runs.
    fn pre_copies(&self) -> bool {
        false
    }

    /// Makes what it has buffered for files reach them.
    fn flush(&mut self) -> Result<(), Fault>;
}

impl Played for Model82599 {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        let counters = self.inspect().counters();
        vec![
            ("rx_delivered", counters.rx_delivered),
            ("rx_disabled", counters.rx_disabled),
            ("rx_filtered", counters.rx_filtered),
            ("rx_missed", counters.rx_missed),
            ("rx_no_descriptor", counters.rx_no_descriptor),
            ("tx_packets", counters.tx_packets),
            ("tx_malformed", counters.tx_malformed),
            ("tx_link_error", counters.tx_link_error),
            ("dma_faults", counters.dma_faults),
            ("resets", counters.resets),
            ("interrupts", self.inspect().interrupts().iter().sum()),
            ("packets_waiting", self.inspect().packet_buffer().0 as u64),
        ]
    }

    fn pre_copies(&self) -> bool {
        self.pre_copy()
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(Model82599::flush(self)?)
    }
}

impl Played for AfuModel {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = (0..pmd_afu_model::MAX_PORTS).map(|port| self.traffic(port));
        let (reads, writes) = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        vec![("lines_read", reads), ("lines_written", writes)]
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A model ready to be served.
pub(super) struct Made {
    pub(super) title: String,
    pub(super) model: Box<dyn Played>,
    /// Knows its registers.
    pub(super) decoder: Decoder,
    /// What crosses its link, where it has one.
    pub(super) traffic: Option<Watch<Traffic>>,
    /// What can be done to the device from outside, where it takes orders.
    pub(super) control: Option<Control>,
}

/// Returns how many links each device of a kind is plugged into.
pub(super) fn links(device: Device) -> usize {
    match device {
        Device::Ixgbe => 1,
        Device::Afu => 0,
    }
}

/// Makes the `number`-th device, plugged into `link` where it takes one.
pub(super) fn make(
    args: &ServeArgs,
    number: usize,
    link: Option<&Spec>,
    panel: &mut PatchPanel,
) -> Result<Made, Fault> {
    match (args.model, link) {
        (Device::Ixgbe, Some(link)) => {
            let opened = panel.open(link)?;
            let mac = mac(args, number);
            let model = Model82599::new(config(args, number, mac), opened.link);
            Ok(Made {
                title: format!("82599 {mac}"),
                model: Box::new(model),
                decoder: Decoder::of::<Ixgbe>(),
                traffic: Some(opened.traffic),
                control: None,
            })
        }
        (Device::Ixgbe, None) => Err(Fault::Usage("an 82599 needs a --link".into())),
        (Device::Afu, _) => {
            let model = AfuModel::new(card(args, number));
            let control = Some(model.control());
            let afus: Vec<&str> = args.afu.iter().map(|afu| afu.name()).collect();
            // Its registers are in blocks that move with the feature lists: accesses are shown as they are.
            let decoder = Decoder::new(&[], 0);
            let title = format!("an FPGA card with {}", afus.join(", "));
            Ok(Made { title, model: Box::new(model), decoder, traffic: None, control })
        }
    }
}

fn card(args: &ServeArgs, number: usize) -> pmd_afu_model::Config {
    let config = pmd_afu_model::Config::with_ports(&args.afu);
    pmd_afu_model::Config {
        discovery: if args.vsec { Discovery::Vsec } else { Discovery::PortOffsets },
        headers: if args.dfh_v1 { Headers::V1 } else { Headers::V0 },
        serial: config.serial.map(|serial| serial.wrapping_add(number as u64)),
        ..config
    }
}

fn mac(args: &ServeArgs, number: usize) -> MacAddr {
    let mut bytes = args.mac.0;
    bytes[5] = bytes[5].wrapping_add(number as u8);
    MacAddr(bytes)
}

fn config(args: &ServeArgs, number: usize, mac: MacAddr) -> Config {
    let part = match args.part {
        PartName::Sfp => Part::Sfp,
        PartName::Kx4 => Part::BackplaneKx4,
    };
    let module = match args.module {
        ModuleName::Sr => Module::Sr,
        ModuleName::Lr => Module::Lr,
        ModuleName::Dac => Module::DirectAttach,
        ModuleName::Foreign => Module::ForeignSr,
        ModuleName::Absent => Module::Absent,
    };
    let signals = match args.interrupts.get(number).or(args.interrupts.last()) {
        None | Some(Interrupts::Msix) => Signals::MsiX,
        Some(Interrupts::Msi) => Signals::Msi,
        Some(Interrupts::Intx) => Signals::IntX,
    };
    let overrun = match args.overrun {
        Overrun::Drop => pmd_ixgbe_model::Overrun::Drop,
        Overrun::Wait => pmd_ixgbe_model::Overrun::Wait,
    };
    Config { part, module, signals, overrun, ..Config::new(mac.0) }
}
