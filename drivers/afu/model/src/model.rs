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
use crate::fme::perf::Traffic;
use crate::fme::{Fme, PORT_BAR};
use crate::list::{AFU_BYTES, FME_BYTES, Layout, PORT_STEP, Place};
use crate::port::Port;
use crate::vectors::Pending;
use crate::words::{self, Words};

/// The BAR of the MSI-X table, and its size.
const MSIX_BAR: u8 = 4;
const MSIX_BYTES: u64 = 0x4000;
/// PCI class: a processing accelerator.
const CLASS: u32 = 0x12_0000;

/// A model of an FPGA card with a device feature list.
pub struct AfuModel {
    config: Config,
    control: Control,
    layout: Layout,
    port_bytes: u64,
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
            port_bytes: ((config.ports.len() as u64 + 1) * AFU_BYTES).next_power_of_two(),
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

    /// What is at an offset of BAR 2: a port's accelerator or its list, and the offset there.
    fn port_place(&self, offset: u64) -> PortPlace {
        if let Some(afus) = offset.checked_sub(AFU_BYTES) {
            return PortPlace::Accelerator((afus / AFU_BYTES) as usize, afus % AFU_BYTES);
        }
        PortPlace::List((offset / PORT_STEP) as usize, offset % PORT_STEP)
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

enum PortPlace {
    Accelerator(usize, u64),
    List(usize, u64),
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

/// BAR 2.
struct PortsBar<'m>(&'m mut AfuModel);

impl Words for PortsBar<'_> {
    fn read(&mut self, offset: u64) -> u64 {
        let model = &mut *self.0;
        match model.port_place(offset) {
            PortPlace::Accelerator(number, at) if number < model.ports.len() => {
                if !model.may_access(number) {
                    return u64::MAX;
                }
                model.traffic[number].mmio_reads += 1;
                model.ports[number].read_afu(at)
            }
            PortPlace::List(number, at) if number < model.ports.len() => {
                match model.layout.port(number, at) {
                    Place::Header(word) => word,
                    Place::Register(unit, at) => model.ports[number].read(unit, at, model.now),
                    Place::Nothing => 0,
                }
            }
            _ => 0,
        }
    }

    fn write(&mut self, offset: u64, value: u64, mask: u64) {
        let model = &mut *self.0;
        match model.port_place(offset) {
            PortPlace::Accelerator(number, at) if number < model.ports.len() => {
                if model.may_access(number) {
                    model.traffic[number].mmio_writes += 1;
                    model.ports[number].write_afu(at, value, mask);
                }
            }
            PortPlace::List(number, at) if number < model.ports.len() => {
                if let Place::Register(unit, at) = model.layout.port(number, at) {
                    model.ports[number].write(unit, at, value, mask, model.now);
                }
            }
            _ => {}
        }
    }
}

impl DeviceModel for AfuModel {
    fn spec(&self) -> Spec {
        let memory = |index: u8, size: u64| BarSpec { index, size, kind: BarKind::Memory64 };
        let mut capabilities = Vec::new();
        if self.config.discovery == Discovery::Vsec {
            // How many lists, then BAR and offset of each.
            let mut data = Vec::new();
            for word in [2u32, 0, PORT_BAR.into()] {
                data.extend(word.to_le_bytes());
            }
            capabilities.push(CapabilitySpec::vsec(ids::VSEC_DFL, 0, &data).read_only());
        }
        Spec {
            ids: Ids {
                vendor: ids::VENDOR_INTEL,
                device: self.config.pci_device(),
                subsystem_vendor: ids::VENDOR_INTEL,
                subsystem: 0x1770,
                class: CLASS,
                revision: 1,
            },
            bars: vec![memory(0, FME_BYTES), memory(PORT_BAR, self.port_bytes), memory(MSIX_BAR, MSIX_BYTES)],
            msix_vectors: self.layout.vectors(),
            msix_bar: MSIX_BAR,
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
        let result = match bar {
            0 => words::read(&mut FmeBar(self), bar, FME_BYTES, offset, data),
            PORT_BAR => {
                let size = self.port_bytes;
                words::read(&mut PortsBar(self), bar, size, offset, data)
            }
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
        let result = match bar {
            0 => words::write(&mut FmeBar(self), bar, FME_BYTES, offset, data),
            PORT_BAR => {
                let size = self.port_bytes;
                words::write(&mut PortsBar(self), bar, size, offset, data)
            }
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
