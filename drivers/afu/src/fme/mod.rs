//! The management engine: what the card is, how it is, and what is loaded into it.
//!
//! [`Fme`] is its handle. [Errors](Fme::errors), [temperature](Fme::thermal), [power](Fme::power), [performance
//! counters](Fme::perf) and [partial reconfiguration](Fme::reconfigure) are blocks of their own that a card may lack;
//! [`AfuError::Missing`] says so then. [`metrics`](Fme::metrics) is all that can be measured, by name.

mod errors;
mod metrics;
mod perf;
mod pr;
mod sensors;

use vfio_hal::Bar;
use vfio_hal::regs::Block;

use crate::AfuError;
use crate::card::{Card, block};
use crate::dfl::Features;
use crate::guid::{self, Uuid};
use crate::ids;
use crate::regs::fme::{error, header, perf as perf_regs, power, pr as pr_regs, thermal};

pub use errors::{FmeErrors, Injection};
pub use metrics::{Metric, Unit};
pub use perf::{CacheEvent, FabricEvent, PerfEvent, SipEvent, VtdEvent};
pub use pr::{PrError, PrErrors, Progress};
pub use sensors::{Power, Thermal, Thresholds};

/// The registers of the management engine.
pub(crate) struct Blocks {
    header: Block<header::FmeHeader>,
    errors: Option<(u8, Block<error::FmeErrorBlock>)>,
    thermal: Option<Block<thermal::Thermal>>,
    power: Option<Block<power::Power>>,
    /// With whether it is that of an integrated FPGA.
    perf: Option<(bool, Block<perf_regs::Perf>)>,
    pr: Option<Block<pr_regs::Pr>>,
}

impl Blocks {
    pub(crate) fn of(features: &Features, bars: &[Option<Bar>; 6]) -> Result<Option<Blocks>, AfuError> {
        let Some((index, feature)) = features.fme() else { return Ok(None) };
        let Some(header) = block(bars, feature)? else { return Ok(None) };
        fn private<M: vfio_hal::regs::RegisterMap>(
            features: &Features,
            bars: &[Option<Bar>; 6],
            parent: usize,
            id: u16,
        ) -> Result<Option<(u8, Block<M>)>, AfuError> {
            match features.private(parent, id) {
                Some(feature) => Ok(block(bars, feature)?.map(|block| (feature.revision, block))),
                None => Ok(None),
            }
        }
        let integrated =
            private(features, bars, index, ids::FME_PERF_INTEGRATED)?.map(|(_, block)| (true, block));
        let discrete =
            private(features, bars, index, ids::FME_PERF_DISCRETE)?.map(|(_, block)| (false, block));
        Ok(Some(Blocks {
            header,
            errors: private(features, bars, index, ids::FME_ERROR)?,
            thermal: private(features, bars, index, ids::FME_THERMAL)?.map(|(_, block)| block),
            power: private(features, bars, index, ids::FME_POWER)?.map(|(_, block)| block),
            perf: integrated.or(discrete),
            pr: private(features, bars, index, ids::FME_PR)?.map(|(_, block)| block),
        }))
    }
}

/// The management engine of a card.
#[derive(Clone, Debug)]
pub struct Fme {
    pub(crate) card: Card,
}

/// What the management engine says of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FmeInfo {
    /// Version of the fabric.
    pub fabric_version: u8,
    /// The processor socket of an integrated FPGA.
    pub socket: u8,
    /// How many ports there are.
    pub ports: u8,
    /// Bits of an address.
    pub address_width: u8,
    /// Bytes of the cache.
    pub cache_size: u64,
    /// Bitstream of the static region.
    pub bitstream_id: u64,
    /// Version of the static region: major, minor, patch.
    pub bitstream_version: (u8, u8, u8),
    /// When it was built, and from which seed, as the register has it.
    pub bitstream_metadata: u64,
    /// Interface id of the static region: what a partial bitstream must be made for.
    pub interface_id: Option<Uuid>,
}

impl Fme {
    /// Does something with the registers.
    fn with<T>(&self, f: impl FnOnce(&mut Blocks) -> Result<T, AfuError>) -> Result<T, AfuError> {
        let blocks = self.card.0.fme.as_ref().ok_or(AfuError::Missing { what: "management engine (FME)" })?;
        let result = f(&mut blocks.lock());
        // What was read of a device that is gone is all ones.
        self.card.lost().check()?;
        result
    }

    /// Returns the card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Returns what it says of the card.
    pub fn info(&self) -> Result<FmeInfo, AfuError> {
        let interface_id = self.interface_id().ok();
        self.with(|fme| {
            let cap = fme.header.read::<header::CAP>();
            let id = fme.header.read::<header::BITSTREAM_ID>();
            Ok(FmeInfo {
                fabric_version: cap.fabric_version() as u8,
                socket: cap.socket().into(),
                ports: cap.ports() as u8,
                address_width: cap.address_width() as u8,
                cache_size: cap.cache_size() << 10,
                bitstream_id: id.bits(),
                bitstream_version: (id.major() as u8, id.minor() as u8, id.patch() as u8),
                bitstream_metadata: fme.header.read::<header::BITSTREAM_MD>().bits(),
                interface_id,
            })
        })
    }

    /// Returns the interface id of the static region.
    pub fn interface_id(&self) -> Result<Uuid, AfuError> {
        self.with(|fme| {
            let pr = fme.pr.as_ref().ok_or(AfuError::Missing { what: "partial reconfiguration" })?;
            let (low, high) = (pr.read::<pr_regs::PR_INTFC_ID_L>(), pr.read::<pr_regs::PR_INTFC_ID_H>());
            Ok(guid::of_words(low.bits(), high.bits()))
        })
    }
}
