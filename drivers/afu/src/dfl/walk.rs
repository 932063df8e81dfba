//! The walk along feature lists.
//!
//! A list goes forward only, in steps of at least 8 bytes, so it ends; what is read of a header is bounded too. Two ways
//! could still lead back: a port points to its accelerator and the management engine to its ports. Every header is
//! remembered, and coming to one again is an error. An accelerator whose port is in reset is noted without a look at it:
//! its GUID is not known then.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use vfio_hal::DeviceError;
use vfio_hal::regs::Register;

use super::{DflError, Feature, Features, Kind, Msix, Place, Words};
use crate::guid::{self, Uuid};
use crate::ids;
use crate::regs::dfh::{CSR_ADDR, CSR_SIZE_GROUP, DFH, NEXT_AFU, PARAM, PARAM_MSIX};
use crate::regs::{fme, port};

/// More features than any card has.
pub const MAX_FEATURES: usize = 256;
/// More parameters than any feature has.
pub const MAX_PARAMETERS: usize = 32;
/// Most child accelerators that one parameter may name.
const MAX_CHILDREN: u64 = 16;

/// Walks the lists that begin at `starts`, then those of ports that the management engine names, and returns all
/// features. `open` gives the contents of a BAR.
///
/// # Errors
/// The first thing that is wrong with a list. A card whose lists are damaged is not used.
pub fn walk<'a, W: Words + ?Sized>(
    starts: &[Place],
    open: &'a dyn Fn(u8) -> Option<&'a W>,
) -> Result<Features, DflError> {
    let mut walk = Walk { open, seen: BTreeSet::new(), features: Features::default() };
    for start in starts {
        walk.list(*start, None)?;
    }
    walk.named_ports()?;
    Ok(walk.features)
}

struct Walk<'a, W: ?Sized> {
    open: &'a dyn Fn(u8) -> Option<&'a W>,
    seen: BTreeSet<Place>,
    features: Features,
}

impl<'a, W: Words + ?Sized> Walk<'a, W> {
    fn bar(&self, index: u8) -> Result<&'a W, DflError> {
        (self.open)(index).ok_or(DflError::Device(DeviceError::NoBar { index }))
    }

    /// Walks one list. Private features belong to the unit before them, to begin with to `parent`.
    fn list(&mut self, start: Place, parent: Option<usize>) -> Result<(), DflError> {
        let words = self.bar(start.bar)?;
        let (bar, mut at, mut parent) = (start.bar, start.offset, parent);
        loop {
            let word = words.get("a header", at)?;
            // A BAR that is not decoded reads all ones, and a hole in front of a list all zeros.
            if word == u64::MAX || (word == 0 && at == start.offset) {
                return Err(DflError::Absent { bar, at, word });
            }
            if !self.seen.insert(Place { bar, offset: at }) {
                return Err(DflError::Loop { bar, at });
            }
            if self.features.all.len() == MAX_FEATURES {
                return Err(DflError::TooMany { limit: MAX_FEATURES });
            }
            let dfh = DFH::from_raw(word);
            let feature = self.feature(words, at, dfh, parent)?;
            let index = self.features.all.len();
            let kind = feature.kind;
            self.features.all.push(feature);
            if matches!(kind, Kind::Fme | Kind::Port | Kind::Fiu(_)) {
                parent = Some(index);
            }
            if kind == Kind::Port && dfh.version() == 0 {
                let next =
                    NEXT_AFU::from_raw(words.get("a port's link to its accelerator", after(at, 0x18))?)
                        .offset();
                let control = words.get("a port's control", after(at, port::header::CTRL::OFFSET))?;
                let control = port::header::CTRL::from_raw(control);
                let afu = Place { bar, offset: after(at, next) };
                if next != 0 && (control.sftrst() || control.sftrst_ack()) {
                    self.afu_in_reset(afu, index)?;
                } else if next != 0 {
                    self.list(afu, Some(index))?;
                }
            }
            if dfh.eol() {
                return Ok(());
            }
            if dfh.next() == 0 {
                return Err(DflError::NoNext { bar, at });
            }
            at = after(at, dfh.next());
        }
    }

    /// Notes an accelerator whose port is in reset, without touching it: an access would raise a port error.
    fn afu_in_reset(&mut self, header: Place, port: usize) -> Result<(), DflError> {
        let words = self.bar(header.bar)?;
        if header.offset.checked_add(8).is_none_or(|end| end > words.len())
            || !header.offset.is_multiple_of(8)
        {
            let (bar, at, len) = (header.bar, header.offset, words.len());
            return Err(DflError::Overrun { bar, what: "an accelerator", at, len });
        }
        if !self.seen.insert(header) {
            return Err(DflError::Loop { bar: header.bar, at: header.offset });
        }
        if self.features.all.len() == MAX_FEATURES {
            return Err(DflError::TooMany { limit: MAX_FEATURES });
        }
        self.features.all.push(Feature {
            kind: Kind::Afu,
            id: 0,
            revision: 0,
            version: 0,
            header,
            next: 0,
            last: true,
            registers: Some(header),
            size: None,
            guid: None,
            parent: Some(port),
            msix: None,
            children: Vec::new(),
            instance: None,
        });
        Ok(())
    }

    fn feature(&self, words: &W, at: u64, dfh: DFH, parent: Option<usize>) -> Result<Feature, DflError> {
        let (bar, header) = (words.bar(), Place { bar: words.bar(), offset: at });
        // The fields are as wide as the types.
        let kind = Kind::of(dfh.kind() as u8, dfh.id() as u16);
        let mut feature = Feature {
            kind,
            id: dfh.id() as u16,
            revision: dfh.revision() as u8,
            version: dfh.version() as u8,
            header,
            next: dfh.next() as u32,
            last: dfh.eol(),
            registers: Some(header),
            size: None,
            guid: None,
            parent: if matches!(kind, Kind::Fme | Kind::Port | Kind::Fiu(_)) { None } else { parent },
            msix: None,
            children: Vec::new(),
            instance: None,
        };
        let has_guid = match dfh.version() {
            0 => !matches!(kind, Kind::Private(_) | Kind::Other(..)),
            1 => true,
            version => return Err(DflError::Version { bar, at, version: version as u8 }),
        };
        if has_guid {
            let low = words.get("a GUID", after(at, 0x8))?;
            let high = words.get("a GUID", after(at, 0x10))?;
            feature.guid = Some(guid::of_words(low, high));
        }
        if dfh.version() == 1 {
            self.version1(words, at, &mut feature)?;
        }
        Ok(feature)
    }

    /// Reads what only a header of version 1 has.
    fn version1(&self, words: &W, at: u64, feature: &mut Feature) -> Result<(), DflError> {
        let bar = words.bar();
        let address = CSR_ADDR::from_raw(words.get("a feature's address", after(at, 0x18))?);
        let size = CSR_SIZE_GROUP::from_raw(words.get("a feature's size", after(at, 0x20))?);
        feature.instance = Some((size.instance() as u16, size.group() as u16));
        feature.size = Some(size.size() as u32);
        let inside = |offset: u64| {
            let end = offset.checked_add(size.size().max(8));
            offset.is_multiple_of(8) && end.is_some_and(|end| end <= words.len())
        };
        feature.registers = if address.absolute() {
            let absolute = address.bits() & !1;
            // Without an address of the BAR the feature is known and cannot be used.
            words.address().and_then(|base| absolute.checked_sub(base)).filter(|&offset| inside(offset))
        } else {
            let offset = at.checked_add(address.half_address()).filter(|&offset| inside(offset));
            let outside = DflError::Registers { bar, at, registers: after(at, address.half_address()) };
            Some(offset.ok_or(outside)?)
        }
        .map(|offset| Place { bar, offset });
        if size.has_params() {
            self.parameters(words, at, feature)?;
        }
        Ok(())
    }

    fn parameters(&self, words: &W, at: u64, feature: &mut Feature) -> Result<(), DflError> {
        let damaged = DflError::Parameters { bar: words.bar(), at };
        let mut place = after(at, 0x28);
        for _ in 0..MAX_PARAMETERS {
            let param = PARAM::from_raw(words.get("a parameter", place)?);
            let data = after(place, 8);
            match param.id() as u16 {
                ids::PARAM_MSIX => {
                    let msix = PARAM_MSIX::from_raw(words.get("a parameter", data)?);
                    feature.msix = Some(Msix { start: msix.start() as u32, count: msix.count() as u32 });
                }
                ids::PARAM_CHILD_AFUS => {
                    // `next_words` counts the header too.
                    let count = param.next_words().saturating_sub(1) / 2;
                    if count > MAX_CHILDREN {
                        return Err(damaged);
                    }
                    for child in 0..count {
                        feature.children.push(self.child(words, after(data, 16 * child))?);
                    }
                }
                _ => {}
            }
            if param.last() {
                return Ok(());
            }
            if param.next_words() == 0 {
                return Err(damaged);
            }
            place = after(place, param.next_words().saturating_mul(8));
        }
        Err(damaged)
    }

    fn child(&self, words: &W, at: u64) -> Result<Uuid, DflError> {
        let low = words.get("a child's GUID", at)?;
        Ok(guid::of_words(low, words.get("a child's GUID", after(at, 8))?))
    }

    /// Walks the lists of ports that the management engine names and that were not found yet.
    fn named_ports(&mut self) -> Result<(), DflError> {
        let Some((_, fme)) = self.features.fme() else { return Ok(()) };
        let Some(registers) = fme.registers else { return Ok(()) };
        let words = self.bar(registers.bar)?;
        for port in 0..fme::header::PORT_OFST::COUNT {
            let at = after(registers.offset, fme::header::PORT_OFST::OFFSET + 8 * port as u64);
            let place = fme::header::PORT_OFST::from_raw(words.get("a port's offset", at)?);
            // 7 says that the port is in one of the lists already (Linux, `find_dfls_by_default`).
            if !place.implemented() || place.bar() == 7 {
                continue;
            }
            let bar = place.bar() as u8;
            if bar > 5 || (self.open)(bar).is_none() {
                return Err(DflError::PortBar { port: port as u8, bar });
            }
            let start = Place { bar, offset: place.offset() };
            if !self.seen.contains(&start) {
                self.list(start, None)?;
            }
        }
        Ok(())
    }
}

/// Returns an offset further on; one that cannot be, where the sum does not exist: the check of it fails.
fn after(at: u64, bytes: u64) -> u64 {
    at.checked_add(bytes).unwrap_or(u64::MAX - 7)
}
