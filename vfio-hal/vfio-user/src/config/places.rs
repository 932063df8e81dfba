//! Where each capability goes.
//!
//! Key type: [`Place`]. The emulated capabilities have fixed places; those of the model go where it says, or where there
//! is room. The layout and the check of a [`Spec`] both ask here.

use super::cap;
use crate::capability::{CapabilityAccess, CapabilityId, CapabilitySpec};
use crate::check::SpecError;
use crate::spec::{PciType, Spec};

/// The places are those of the 82599 (datasheet 9.3), which leaves room for every capability at full size.
pub(super) const PM: usize = 0x40;
pub(super) const MSI: usize = 0x50;
pub(super) const MSIX: usize = 0x70;
pub(super) const PCIE: usize = 0xa0;
/// Extended capabilities start here by definition.
pub(super) const EXTENDED: usize = 0x100;
/// Bytes of the standard header.
pub(super) const HEADER: usize = 0x40;

/// A capability in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: CapabilityId,
    pub(super) at: usize,
    /// Bytes, number and link included.
    pub(super) len: usize,
    /// Its number among the spec's own, `None` for one that is emulated.
    pub(super) given: Option<usize>,
    pub(super) access: CapabilityAccess,
}

impl Place {
    fn emulated(id: u8, at: usize, len: usize) -> Place {
        let access = CapabilityAccess::Writable;
        Place { id: CapabilityId::Standard(id), at, len, given: None, access }
    }

    fn end(&self) -> usize {
        self.at + self.len
    }
}

/// Returns the capabilities of a function in the order of their two lists.
pub(crate) fn check(spec: &Spec) -> Result<(), SpecError> {
    places(spec).map(drop)
}

/// Returns the capabilities of a function, each list in its order.
pub(super) fn places(spec: &Spec) -> Result<Vec<Place>, SpecError> {
    let mut all = vec![Place::emulated(cap::PM, PM, 8)];
    if spec.msi_vectors > 0 {
        all.push(Place::emulated(cap::MSI, MSI, 0x18));
    }
    if spec.msix_vectors > 0 {
        all.push(Place::emulated(cap::MSIX, MSIX, 12));
    }
    if spec.pci_type == PciType::Express {
        all.push(Place::emulated(cap::PCIE, PCIE, 0x3c));
    }
    let serial = CapabilitySpec::extended(cap::SERIAL, 1, &[0; 8]);
    let serial = spec.serial.map(|_| (None, &serial));
    let given = spec.capabilities.iter().enumerate().map(|(number, given)| (Some(number), given));
    let wanted: Vec<(Option<usize>, &CapabilitySpec)> = serial.into_iter().chain(given).collect();
    let first_given = all.len();
    // Those that name their place come first, so that the others go around them.
    for fixed in [true, false] {
        for &(number, given) in wanted.iter().filter(|(_, given)| given.at.is_some() == fixed) {
            if number.is_some() {
                check_id(spec, given.id)?;
            }
            let at = find(spec, given, &all)?;
            let (id, len, access) = (given.id, given.len(), given.access);
            all.push(Place { id, at, len, given: number, access });
        }
    }
    // The lists have the spec's order, but the first extended capability is where that list starts.
    all[first_given..].sort_by_key(|place| (place.id.is_extended() && place.at != EXTENDED, place.given));
    Ok(all)
}

fn check_id(spec: &Spec, id: CapabilityId) -> Result<(), SpecError> {
    let emulated = match id {
        CapabilityId::Standard(id) => {
            matches!(id, 0 | cap::PM | cap::MSI | cap::MSIX | cap::PCIE)
        }
        CapabilityId::Extended { id, version } => {
            // All ones is what a bus without a device answers.
            matches!(id, 0 | u16::MAX) || version > 15 || (id == cap::SERIAL && spec.serial.is_some())
        }
    };
    if emulated { Err(SpecError::CapabilityId { id: id.number() }) } else { Ok(()) }
}

fn find(spec: &Spec, wanted: &CapabilitySpec, taken: &[Place]) -> Result<usize, SpecError> {
    let (id, len) = (wanted.id.number(), wanted.len());
    let (low, high) = match wanted.id {
        CapabilityId::Standard(_) => (HEADER, EXTENDED),
        CapabilityId::Extended { .. } => (EXTENDED, usize::from(spec.pci_type.config_bytes())),
    };
    let free = |at: usize| {
        let end = at.saturating_add(len);
        let apart = |place: &Place| end <= place.at || at >= place.end();
        at >= low && end <= high && at.is_multiple_of(4) && taken.iter().all(apart)
    };
    match wanted.at {
        Some(at) if free(at.into()) => Ok(at.into()),
        Some(at) => Err(SpecError::CapabilityPlace { id, at }),
        None => (low..high).step_by(4).find(|&at| free(at)).ok_or(SpecError::CapabilityRoom { id, len }),
    }
}
