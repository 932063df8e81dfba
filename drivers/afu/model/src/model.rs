//! The card as a whole: its BARs, one step of work, and what the outside calls.
//!
//! Key types: [`AfuModel`]. Neighbours: implements [`DeviceModel`] for the backends; [`list`](crate::list) says what is
//! where, [`fme`](crate::fme) and [`port`](crate::port) are what is there.

use core::time::Duration;

use pmd_afu::ids;
use pmd_afu::regs::fme::error::{FME_ERROR, PCIE0_ERROR, RAS_NONFATAL};
use vfio_user_kit::{
    AccessError, BarKind, BarSpec, CapabilitySpec, Context, DeviceModel, Ids, ResetKind, Spec, Work,
};

use crate::config::{AfuKind, Config, Discovery, MAX_PORTS};
use crate::control::{Control, Environment, ErrorRegister, Orders};
use crate::fme::Fme;
use crate::fme::perf::Traffic;
use crate::list::{FME_BYTES, Layout, Place, PortPlace};
use crate::port::Port;
use crate::vectors::Pending;
use crate::words::{self, Words};

/// The BAR of the MSI-X table holds nothing else.
const MSIX_BYTES: u64 = 0x4000;
/// PCI class: a processing accelerator.
const CLASS: u32 = 0x12_0000;

/// A model of an FPGA card with a device feature list.
pub struct AfuModel {
    config: Config,
    control: Control,
    layout: Layout,
    port_bars: Vec<(u8, u64)>,
    environment: Environment,
    fme: Fme,
    ports: Vec<Port>,
    traffic: [Traffic; MAX_PORTS],
    pending: Pending,
    now: u64,
}

impl AfuModel {
    /// Returns a card that was just switched on.
    pub fn new(config: Config) -> AfuModel {
        let config = config.bounded();
        let control = Control::new(config.temperature.min(127), config.power);
        let layout = Layout::new(&config);
        let environment = control.environment().0;
        AfuModel {
            port_bars: layout.port_bars(),
            fme: Fme::new(&config, &layout, &environment),
            ports: ports(&config, &layout),
            traffic: Default::default(),
            pending: Pending::default(),
            now: 0,
            control,
            layout,
            environment,
            config,
        }
    }

    /// Returns the user's hand on this card.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Returns the accelerator that a port holds, `None` if there is no such port.
    pub fn accelerator(&self, port: usize) -> Option<AfuKind> {
        self.ports.get(port).map(Port::kind)
    }

    /// Returns whether a port is in reset, `None` if there is no such port.
    pub fn port_in_reset(&self, port: usize) -> Option<bool> {
        self.ports.get(port).map(Port::in_reset)
    }

    /// Returns how many lines of 64 bytes a port has read from and written to host memory since power-on.
    pub fn traffic(&self, port: usize) -> (u64, u64) {
        self.traffic.get(port).map_or((0, 0), |traffic| (traffic.reads, traffic.writes))
    }

    /// Brings time and environment up to date.
    fn tick(&mut self, now: Duration) {
        // A clock that runs backwards stands still here.
        self.now = self.now.max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        let (environment, orders) = self.control.environment();
        self.environment = environment;
        self.fme.climate.follow(&environment);
        if let Some(orders) = orders {
            self.follow(orders);
        }
        if let Some(load) = self.fme.pr.tick(self.now)
            && let Some(port) = self.ports.get_mut(load.port)
        {
            port.load(load.kind, &self.config);
        }
        let power = self.fme.climate.verdict().state;
        let away = self.fme.pr.busy_port();
        for (number, port) in self.ports.iter_mut().enumerate() {
            let faults = environment.faults[number];
            port.tick(self.now, faults, power, away == Some(number), &self.config);
        }
        self.settle();
    }

    /// Does what the user asked for.
    fn follow(&mut self, orders: Orders) {
        for (register, bits) in orders.fme_errors {
            self.fme.errors.raise(register, bits);
        }
        for (port, bits) in orders.port_errors {
            if let Some(port) = self.ports.get_mut(port) {
                port.errors.raise_bits(bits);
            }
        }
        for (port, number) in orders.user_interrupts {
            if let Some(port) = self.ports.get(port) {
                port.user_interrupt(number.into(), &mut self.pending);
            }
        }
        for (port, kind) in orders.load {
            if let Some(port) = self.ports.get_mut(port) {
                port.load(kind, &self.config);
            }
        }
    }

    /// Lets errors reach the FME, and interrupts their vectors.
    fn settle(&mut self) {
        let mut any = false;
        for port in &mut self.ports {
            any |= port.errors.any();
            if port.errors.take_raised()
                && let Some(vector) = port.errors.vector()
            {
                self.pending.raise(vector);
            }
            if port.take_bad_completion() {
                self.fme
                    .errors
                    .raise(ErrorRegister::Pcie0, PCIE0_ERROR::default().with_cpl_status(true).bits());
            }
        }
        let verdict = self.fme.climate.verdict();
        let nonfatal = verdict.nonfatal | RAS_NONFATAL::default().with_port_fatal(any).bits();
        self.fme.errors.hold(nonfatal, verdict.catastrophic);
        if let Some(vector) = self.fme.errors.take_interrupt() {
            self.pending.raise(vector);
        }
    }

    /// The size of a BAR of ports.
    fn port_bar(&self, bar: u8) -> Option<u64> {
        self.port_bars.iter().find(|one| one.0 == bar).map(|one| one.1)
    }

    /// Whether the physical function may access a port's accelerator; if not, the FME says so.
    fn may_access(&mut self, port: usize) -> bool {
        let may = !self.fme.is_vf(port);
        if !may {
            self.fme.errors.raise(ErrorRegister::Fme, FME_ERROR::default().with_pf_vf_mismatch(true).bits());
        }
        may
    }
}

fn ports(config: &Config, layout: &Layout) -> Vec<Port> {
    config.ports.iter().enumerate().map(|(number, &kind)| Port::new(number, kind, config, layout)).collect()
}

/// BAR 0.
struct FmeBar<'m>(&'m mut AfuModel);

impl Words for FmeBar<'_> {
    fn read(&mut self, offset: u64) -> u64 {
        let model = &mut *self.0;
        match model.layout.fme(offset) {
            Place::Header(word) => word,
            Place::Register(unit, at) => model.fme.read(unit, at, model.now, &model.traffic),
            Place::Nothing => 0,
        }
    }

    fn write(&mut self, offset: u64, value: u64, mask: u64) {
        let model = &mut *self.0;
        if let Place::Register(unit, at) = model.layout.fme(offset) {
            model.fme.write(unit, at, value, mask, model.now, &model.traffic);
        }
    }
}

/// A BAR of ports.
struct PortsBar<'m>(&'m mut AfuModel, u8);

impl Words for PortsBar<'_> {
    fn read(&mut self, offset: u64) -> u64 {
        let model = &mut *self.0;
        match model.layout.port_place(self.1, offset) {
            Some(PortPlace::Accelerator(number, at)) => {
                if !model.may_access(number) {
                    return u64::MAX;
                }
                model.traffic[number].mmio_reads += 1;
                model.ports[number].read_afu(at)
            }
            Some(PortPlace::List(number, at)) => match model.layout.port(number, at) {
                Place::Header(word) => word,
                Place::Register(unit, at) => model.ports[number].read(unit, at, model.now),
                Place::Nothing => 0,
            },
            None => 0,
        }
    }

    fn write(&mut self, offset: u64, value: u64, mask: u64) {
        let model = &mut *self.0;
        match model.layout.port_place(self.1, offset) {
            Some(PortPlace::Accelerator(number, at)) => {
                if !model.may_access(number) {
                    return;
                }
                model.traffic[number].mmio_writes += 1;
                model.ports[number].write_afu(at, value, mask);
            }
            Some(PortPlace::List(number, at)) => {
                if let Place::Register(unit, at) = model.layout.port(number, at) {
                    model.ports[number].write(unit, at, value, mask, model.now);
                }
            }
            None => {}
        }
    }
}

impl DeviceModel for AfuModel {
    fn spec(&self) -> Spec {
        let mut capabilities = Vec::new();
        let kind = match self.config.discovery {
            Discovery::PortOffsets => BarKind::Memory64,
            // All six places are taken.
            Discovery::Vsec => {
                // How many lists, then BAR and offset of each; all are at the start.
                let lists = (0..=self.ports.len()).map(|list| list as u32);
                let words = [self.ports.len() as u32 + 1].into_iter().chain(lists);
                let data: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
                capabilities.push(CapabilitySpec::vsec(ids::VSEC_DFL, 0, &data).read_only());
                BarKind::Memory32
            }
        };
        let msix_bar = self.layout.msix_bar();
        let bars = [(0, FME_BYTES)].into_iter().chain(self.port_bars.iter().copied());
        let bars = bars.chain([(msix_bar, MSIX_BYTES)]);
        Spec {
            ids: Ids {
                vendor: ids::VENDOR_INTEL,
                device: self.config.pci_device(),
                subsystem_vendor: ids::VENDOR_INTEL,
                subsystem: 0x1770,
                class: CLASS,
                revision: 1,
            },
            bars: bars.map(|(index, size)| BarSpec { index, size, kind }).collect(),
            msix_vectors: self.layout.vectors(),
            msix_bar,
            serial: self.config.serial,
            capabilities,
            ..Spec::default()
        }
    }

    fn bar_read(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), AccessError> {
        self.tick(cx.now);
        let result = match (bar, self.port_bar(bar)) {
            (0, _) => words::read(&mut FmeBar(self), bar, FME_BYTES, offset, data),
            (_, Some(size)) => words::read(&mut PortsBar(self, bar), bar, size, offset, data),
            _ => Err(AccessError::OutOfRange { bar, offset }),
        };
        self.settle();
        self.pending.send(cx.irq);
        result
    }

    fn bar_write(
        &mut self,
        cx: &mut Context<'_>,
        bar: u8,
        offset: u64,
        data: &[u8],
    ) -> Result<(), AccessError> {
        self.tick(cx.now);
        let result = match (bar, self.port_bar(bar)) {
            (0, _) => words::write(&mut FmeBar(self), bar, FME_BYTES, offset, data),
            (_, Some(size)) => words::write(&mut PortsBar(self, bar), bar, size, offset, data),
            _ => Err(AccessError::OutOfRange { bar, offset }),
        };
        self.settle();
        self.pending.send(cx.irq);
        result
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Work {
        self.tick(cx.now);
        let mut worked = false;
        for (port, traffic) in self.ports.iter_mut().zip(&mut self.traffic) {
            worked |= port.step(cx.dma, traffic, &mut self.pending);
        }
        self.settle();
        self.pending.send(cx.irq);
        if worked { Work::Done } else { Work::Idle }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let ports = self.ports.iter().filter_map(Port::deadline);
        ports.chain(self.fme.pr.deadline()).min().map(Duration::from_nanos)
    }

    fn reset(&mut self, cx: &mut Context<'_>, kind: ResetKind) {
        self.tick(cx.now);
        log::debug!("reset of the card: {kind:?}");
        // What a port was reconfigured to stays: a reset does not load the flash again.
        let kinds: Vec<AfuKind> = self.ports.iter().map(Port::kind).collect();
        self.config.ports = kinds;
        self.fme = Fme::new(&self.config, &self.layout, &self.environment);
        self.ports = ports(&self.config, &self.layout);
        self.pending = Pending::default();
        self.tick(cx.now);
    }
}
