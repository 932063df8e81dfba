//! Drivers of accelerators.
//!
//! - [`Accelerator`] is what they have in common: opened by GUID, used, and given back.
//! - [`nlb0`] is Intel's native loopback, [`he`] the host exercisers HE-LBK and HE-MEM. Both move cache lines between a source
//!   and a destination buffer and count clocks; what they share is in [`loopback`].
//! - [`stream`] is the kit's own accelerator, which takes work from descriptor rings.
//!
//! Buffers are [`Region`]s of an [`IovaSpace`] that the card is attached to; several accelerators, also
//! of different cards, may share one.

pub mod he;
pub mod loopback;
pub mod nlb0;
pub mod stream;

use vfio_hal::dma::memory::MemorySource;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region, RegionOptions};

use crate::guid::Uuid;
use crate::{Afu, AfuError, Card, Filter, Sharing};

/// Where a driver's own memory comes from, and in which space it is mapped.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The space that buffers are in.
    pub space: IovaSpace,
    /// Where memory for status blocks and rings comes from.
    pub source: MemorySource,
}

impl Memory {
    /// Takes memory from the heap, as suits devices in this process and behind an IOMMU.
    pub fn new(space: &IovaSpace) -> Memory {
        Memory { space: space.clone(), source: MemorySource::default() }
    }

    /// Allocates and maps a buffer of at least `len` bytes that the device may use as `access` says.
    pub fn buffer(&self, len: usize, access: DmaAccess, name: &'static str) -> Result<Region, AfuError> {
        let memory = self.source.memory(len)?;
        Ok(RegionOptions::new(access).name(name).alloc(&self.space, memory)?)
    }
}

/// A driver of an accelerator.
pub trait Accelerator: Sized {
    /// The accelerators that it drives.
    const GUIDS: &'static [Uuid];

    /// Takes over an accelerator that is open. The card must be attached to the memory's space.
    fn attach(afu: Afu, memory: &Memory) -> Result<Self, AfuError>;

    /// Returns the accelerator.
    fn afu(&self) -> &Afu;

    /// Gives the accelerator back.
    fn detach(self) -> Afu;

    /// Opens the first accelerator of a card that it drives, in `memory`'s space, which the card joins.
    fn open(card: &Card, sharing: Sharing, memory: &Memory) -> Result<Self, AfuError> {
        Self::open_matching(card, &Filter::new(), sharing, memory)
    }

    /// Opens the first accelerator that it drives and that has these properties.
    fn open_matching(
        card: &Card,
        filter: &Filter,
        sharing: Sharing,
        memory: &Memory,
    ) -> Result<Self, AfuError> {
        card.attach(&memory.space)?;
        let mut refused = None;
        for guid in Self::GUIDS {
            match card.open_matching(&filter.guid(*guid), sharing) {
                Ok(afu) => return Self::attach(afu, memory),
                Err(error @ AfuError::InUse { .. }) => refused = Some(error),
                Err(AfuError::NoMatch) => {}
                Err(error) => return Err(error),
            }
        }
        let none = Self::GUIDS.first().map_or(AfuError::NoMatch, |&guid| AfuError::NoAccelerator { guid });
        Err(refused.unwrap_or(none))
    }
}

/// Checks that an accelerator is one of those that a driver is for.
fn check(afu: &Afu, guids: &[Uuid]) -> Result<(), AfuError> {
    let wanted = guids.first().copied().unwrap_or(Uuid::nil());
    if guids.contains(&afu.guid()) {
        return Ok(());
    }
    Err(AfuError::WrongAccelerator { found: afu.guid(), wanted })
}
