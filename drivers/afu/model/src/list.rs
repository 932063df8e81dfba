//! The feature lists: which feature is where, and what its header says.
//!
//! Key types: [`Feature`], which is a header with a block of registers behind it, and [`Layout`], all features of a card.
//! Neighbours: [`model`](crate::model) asks which feature an offset belongs to; the units of `fme` and `port` know only
//! the offsets within their block.

use pmd_afu::ids;
use pmd_afu::regs::dfh::{CSR_ADDR, CSR_SIZE_GROUP, DFH, PARAM, PARAM_MSIX};

use crate::config::{Config, Counters, Discovery, Headers};

/// From one private feature to the next.
const STEP: u64 = 0x1000;
/// From a version 1 header to its registers, and their size.
const V1_REGISTERS: u64 = 0x800;
/// From one port to the next, where they share a BAR.
pub(crate) const PORT_STEP: u64 = 0x1_0000;
/// Bytes of an accelerator's registers, and of the room for lists before the first one.
pub(crate) const AFU_BYTES: u64 = 0x4_0000;
/// BAR 0.
pub(crate) const FME_BYTES: u64 = 0x8_0000;

/// What a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    FmeHeader,
    Thermal,
    Power,
    Perf,
    FmeErrors,
    Reconfiguration,
    PortHeader,
    PortErrors,
    UserInterrupts,
    SignalTap,
}

/// Message vectors of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vectors {
    pub(crate) first: u16,
    pub(crate) count: u16,
}

/// One feature of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feature {
    pub(crate) unit: Unit,
    /// From the start of the list, in bytes.
    at: u64,
    header: DFH,
    vectors: Vectors,
}

/// Where an offset of a list leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The header itself has this word.
    Header(u64),
    /// A register of the unit, at this offset of its block.
    Register(Unit, u64),
    /// Nothing.
    Nothing,
}

impl Feature {
    /// Returns what is at `offset` of the list, which is not before this feature.
    fn place(&self, offset: u64) -> Place {
        let within = offset - self.at;
        if within == 0 {
            return Place::Header(self.header.bits());
        }
        if self.header.version() == 0 {
            return if within < STEP { Place::Register(self.unit, within) } else { Place::Nothing };
        }
        match within {
            // The address field counts half addresses when absolute, and Linux takes a relative one as it stands.
            0x18 => Place::Header(CSR_ADDR::default().with_half_address(V1_REGISTERS).bits()),
            0x20 => {
                let word = CSR_SIZE_GROUP::default().with_size(V1_REGISTERS);
                Place::Header(word.with_has_params(self.vectors.count > 0).bits())
            }
            0x28 if self.vectors.count > 0 => {
                let word = PARAM::default().with_id(ids::PARAM_MSIX.into()).with_last(true);
                Place::Header(word.with_next_words(2).bits())
            }
            0x30 if self.vectors.count > 0 => {
                let word = PARAM_MSIX::default().with_start(self.vectors.first.into());
                Place::Header(word.with_count(self.vectors.count.into()).bits())
            }
            // The block's first word is the header again: drivers look there for the revision.
            V1_REGISTERS => Place::Header(self.header.bits()),
            _ if (V1_REGISTERS..2 * V1_REGISTERS).contains(&within) => {
                Place::Register(self.unit, within - V1_REGISTERS)
            }
            _ => Place::Nothing,
        }
    }
}

/// Where an offset of a BAR of ports leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortPlace {
    /// The list of this port, at this offset from its start.
    List(usize, u64),
    /// The accelerator of this port, at this offset.
    Accelerator(usize, u64),
}

/// All features of a card.
///
/// Ports with port offsets share BAR 2: lists first, then accelerators. With a VSEC each has a BAR of its own, because
/// it can name one list a BAR, and because Linux does not take a list in which another port follows an accelerator.
pub(crate) struct Layout {
    discovery: Discovery,
    fme: Vec<Feature>,
    ports: Vec<Vec<Feature>>,
    vectors: u16,
}

impl Layout {
    pub(crate) fn new(config: &Config) -> Layout {
        let ports = config.ports.len() as u16;
        let users = u16::from(config.user_interrupts);
        // Vectors: the user interrupts of each port, then the ports' errors, then the FME's.
        let user = |port: u16| Vectors { first: port * users, count: users };
        let port_error = |port: u16| Vectors { first: ports * users + port, count: 1 };
        let fme_error = Vectors { first: ports * (users + 1), count: 1 };
        let perf = match config.counters {
            Counters::Discrete => ids::FME_PERF_DISCRETE,
            Counters::Integrated => ids::FME_PERF_INTEGRATED,
        };
        let none = Vectors::default();
        let fme = list(
            config.headers,
            ids::FIU_FME,
            &[
                (Unit::FmeHeader, 0, 0, none),
                (Unit::Thermal, ids::FME_THERMAL, 0, none),
                (Unit::Power, ids::FME_POWER, 0, none),
                (Unit::Perf, perf, 0, none),
                // Revision 0 is known for an error bit that drivers mask.
                (Unit::FmeErrors, ids::FME_ERROR, 1, fme_error),
                (Unit::Reconfiguration, ids::FME_PR, 1, none),
            ],
        );
        let port = |port: u16| {
            list(
                config.headers,
                ids::FIU_PORT,
                &[
                    // Revision 0 has the user clock in the header.
                    (Unit::PortHeader, 0, 0, none),
                    (Unit::PortErrors, ids::PORT_ERROR, 0, port_error(port)),
                    (Unit::UserInterrupts, ids::PORT_UINT, 0, user(port)),
                    (Unit::SignalTap, ids::PORT_STP, 1, none),
                ],
            )
        };
        let ports = (0..ports).map(port).collect();
        Layout { discovery: config.discovery, fme, ports, vectors: fme_error.first + 1 }
    }

    /// How many message vectors the card has.
    pub(crate) fn vectors(&self) -> u16 {
        self.vectors
    }

    /// The vectors of a unit of the FME, or of a port.
    pub(crate) fn vectors_of(&self, port: Option<usize>, unit: Unit) -> Vectors {
        let list = match port {
            None => &self.fme,
            Some(port) => match self.ports.get(port) {
                Some(list) => list,
                None => return Vectors::default(),
            },
        };
        list.iter().find(|feature| feature.unit == unit).map_or_else(Vectors::default, |found| found.vectors)
    }

    /// The BAR of a port's list, and the list's offset in it.
    pub(crate) fn list_of(&self, port: usize) -> (u8, u64) {
        match self.discovery {
            Discovery::PortOffsets => (2, port as u64 * PORT_STEP),
            Discovery::Vsec => (port as u8 + 1, 0),
        }
    }

    /// How far a port's accelerator is from its list.
    pub(crate) fn afu_of(&self, port: usize) -> u64 {
        let port = port as u64;
        match self.discovery {
            Discovery::PortOffsets => (port + 1) * AFU_BYTES - port * PORT_STEP,
            Discovery::Vsec => AFU_BYTES,
        }
    }

    /// The BARs of ports, with their sizes.
    pub(crate) fn port_bars(&self) -> Vec<(u8, u64)> {
        match self.discovery {
            Discovery::PortOffsets => {
                vec![(2, ((self.ports.len() as u64 + 1) * AFU_BYTES).next_power_of_two())]
            }
            Discovery::Vsec => (0..self.ports.len()).map(|port| (port as u8 + 1, 2 * AFU_BYTES)).collect(),
        }
    }

    /// The BAR of the MSI-X table.
    pub(crate) fn msix_bar(&self) -> u8 {
        match self.discovery {
            Discovery::PortOffsets => 4,
            Discovery::Vsec => 5,
        }
    }

    /// What is at an offset of a BAR of ports.
    pub(crate) fn port_place(&self, bar: u8, offset: u64) -> Option<PortPlace> {
        let of = |offset: u64, step: u64| ((offset / step) as usize, offset % step);
        let place = match (self.discovery, offset.checked_sub(AFU_BYTES)) {
            (Discovery::PortOffsets, Some(afus)) => {
                let (port, at) = of(afus, AFU_BYTES);
                PortPlace::Accelerator(port, at)
            }
            (Discovery::PortOffsets, None) => {
                let (port, at) = of(offset, PORT_STEP);
                PortPlace::List(port, at)
            }
            (Discovery::Vsec, Some(at)) => PortPlace::Accelerator(usize::from(bar).checked_sub(1)?, at),
            (Discovery::Vsec, None) => PortPlace::List(usize::from(bar).checked_sub(1)?, offset),
        };
        let (PortPlace::List(port, _) | PortPlace::Accelerator(port, _)) = place;
        (port < self.ports.len()).then_some(place)
    }

    /// What is at an offset of BAR 0.
    pub(crate) fn fme(&self, offset: u64) -> Place {
        place(&self.fme, offset)
    }

    /// What is at an offset from the start of a port.
    pub(crate) fn port(&self, port: usize, offset: u64) -> Place {
        self.ports.get(port).map_or(Place::Nothing, |list| place(list, offset))
    }
}

fn place(list: &[Feature], offset: u64) -> Place {
    list.iter().rev().find(|feature| feature.at <= offset).map_or(Place::Nothing, |found| found.place(offset))
}

/// Builds a list: its FIU first, then private features.
fn list(headers: Headers, fiu: u16, units: &[(Unit, u16, u8, Vectors)]) -> Vec<Feature> {
    let last = units.len() - 1;
    let feature = |(number, &(unit, id, revision, vectors)): (usize, &(Unit, u16, u8, Vectors))| {
        let at = number as u64 * STEP;
        let is_fiu = number == 0;
        let header = DFH::default()
            .with_id(if is_fiu { fiu } else { id }.into())
            .with_revision(revision.into())
            // Of the last feature this is the size.
            .with_next(STEP)
            .with_eol(number == last)
            .with_version(u64::from(headers == Headers::V1 && !is_fiu))
            .with_kind(if is_fiu { ids::TYPE_FIU } else { ids::TYPE_PRIVATE }.into());
        Feature { unit, at, header, vectors }
    };
    units.iter().enumerate().map(feature).collect()
}
