//! The FPGA management engine: identity, climate, counters, errors, reconfiguration.
//!
//! Key types: [`Fme`]. Neighbours: [`model`](crate::model) asks it for what is in BAR 0; ports use its errors and its
//! climate.

pub(crate) mod climate;
pub(crate) mod errors;
pub(crate) mod perf;
pub(crate) mod pr;

use pmd_afu::guid;
use pmd_afu::regs::fme::header::*;
use vfio_hal::regs::Register;

use crate::config::{Config, Counters, Discovery, MAX_PORTS};
use crate::control::Environment;
use crate::list::{Layout, Unit};
use crate::words::merge;

use climate::Climate;
use errors::FmeErrors;
use perf::{Perf, Traffic};
use pr::Reconfiguration;

/// From PORT_OFST of a port that is not to be followed.
const NO_BAR: u64 = 7;
/// A register that holds what is written (OFS: SCRATCHPAD0).
const SCRATCHPAD: u64 = 0x28;

pub(crate) struct Fme {
    scratchpad: u64,
    port_offsets: [PORT_OFST; MAX_PORTS],
    bitstream: [u64; 2],
    capability: CAP,
    pub(crate) climate: Climate,
    pub(crate) perf: Perf,
    pub(crate) errors: FmeErrors,
    pub(crate) pr: Reconfiguration,
}

impl Fme {
    pub(crate) fn new(config: &Config, layout: &Layout, environment: &Environment) -> Fme {
        let ports = config.ports.len();
        let port_offset = |port: usize| {
            let offset = PORT_OFST::default().with_implemented(port < ports);
            match config.discovery {
                _ if port >= ports => offset,
                Discovery::PortOffsets => {
                    let (bar, list) = layout.list_of(port);
                    offset.with_bar(bar.into()).with_offset(list)
                }
                Discovery::Vsec => offset.with_bar(NO_BAR),
            }
        };
        let integrated = config.counters == Counters::Integrated;
        let capability = CAP::default()
            .with_pcie0_link(true)
            .with_iommu(true)
            .with_ports(ports as u64)
            .with_address_width(48)
            .with_cache_size(if integrated { 64 } else { 0 });
        let delay = config.timing.counter_select.as_nanos().try_into().unwrap_or(u64::MAX);
        Fme {
            scratchpad: 0,
            port_offsets: core::array::from_fn(port_offset),
            bitstream: [config.bitstream_id, config.bitstream_metadata],
            capability,
            climate: Climate::new(environment),
            perf: Perf::new(config.counters, delay),
            errors: FmeErrors::new(layout.vectors_of(None, Unit::FmeErrors)),
            pr: Reconfiguration::new(config),
        }
    }

    /// Whether a port's accelerator belongs to a virtual function, so that the physical one may not access it.
    pub(crate) fn is_vf(&self, port: usize) -> bool {
        self.port_offsets.get(port).is_some_and(|offset| offset.vf())
    }

    pub(crate) fn read(&self, unit: Unit, at: u64, now: u64, traffic: &[Traffic; MAX_PORTS]) -> u64 {
        match unit {
            Unit::FmeHeader => self.read_header(at),
            Unit::Thermal => self.climate.read_thermal(at),
            Unit::Power => self.climate.read_power(at),
            Unit::Perf => self.perf.read(at, now, traffic),
            Unit::FmeErrors => self.errors.read(at),
            Unit::Reconfiguration => self.pr.read(at, now),
            Unit::PortHeader | Unit::PortErrors | Unit::UserInterrupts | Unit::SignalTap => 0,
        }
    }

    pub(crate) fn write(
        &mut self,
        unit: Unit,
        at: u64,
        value: u64,
        mask: u64,
        now: u64,
        traffic: &[Traffic; MAX_PORTS],
    ) {
        match unit {
            Unit::FmeHeader => self.write_header(at, value, mask),
            Unit::Thermal => self.climate.write_thermal(at, value, mask),
            Unit::Power => self.climate.write_power(at, value, mask),
            Unit::Perf => self.perf.write(at, value, mask, now, traffic),
            Unit::FmeErrors => self.errors.write(at, value, mask),
            Unit::Reconfiguration => self.pr.write(at, value, mask, now),
            Unit::PortHeader | Unit::PortErrors | Unit::UserInterrupts | Unit::SignalTap => {}
        }
    }

    fn read_header(&self, at: u64) -> u64 {
        let (low, high) = guid::words(guid::FME);
        match at {
            GUID_L::OFFSET => low,
            GUID_H::OFFSET => high,
            SCRATCHPAD => self.scratchpad,
            CAP::OFFSET => self.capability.bits(),
            BITSTREAM_ID::OFFSET => self.bitstream[0],
            BITSTREAM_MD::OFFSET => self.bitstream[1],
            _ => port_of(at).map_or(0, |port| self.port_offsets[port].bits()),
        }
    }

    fn write_header(&mut self, at: u64, value: u64, mask: u64) {
        if at == SCRATCHPAD {
            self.scratchpad = merge(self.scratchpad, value, mask);
        } else if let Some(port) = port_of(at) {
            let offset = &mut self.port_offsets[port];
            let new = PORT_OFST::new(merge(offset.bits(), value, mask));
            // Only who may access the port can be changed, and only of a port that is there.
            if offset.implemented() {
                *offset = offset.with_vf(new.vf());
            }
        }
    }
}

/// The port whose PORT_OFST is at this offset.
fn port_of(at: u64) -> Option<usize> {
    let port = at.checked_sub(PORT_OFST::OFFSET)? / PORT_OFST::STRIDE;
    (port < MAX_PORTS as u64).then_some(port as usize)
}
