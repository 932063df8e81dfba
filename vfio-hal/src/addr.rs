//! Address kinds, one newtype each, so that they never mix.
//!
//! - [`Iova`]: what a device puts on its bus to reach memory. Behind an IOMMU it has nothing to do with a
//!   pointer or a physical address.
//! - [`BusAddr`]: an [`Iova`] together with the proof that the kit owns and has mapped the memory behind it.
//!   Registers and descriptor words that hold a bus address accept only this, and only a `Region`, a ring or
//!   a `Buf` gives it out, so a driver without `unsafe` cannot aim a device at other memory.
//! - [`Bdf`]: where a PCI function sits.
//!
//! Everything above this module speaks in these types.

use core::fmt;
use core::str::FromStr;

/// An address as a device sees it (I/O virtual address), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Iova(pub u64);

impl Iova {
    /// Returns this address moved up by `bytes`, or `None` where the 64-bit space ends.
    pub const fn checked_add(self, bytes: u64) -> Option<Iova> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Iova(sum)),
            None => None,
        }
    }

    /// Returns the last address of `len` bytes that start here, or `None` where they do not fit or are none.
    pub const fn last(self, len: u64) -> Option<Iova> {
        match len.checked_sub(1) {
            Some(last) => self.checked_add(last),
            None => None,
        }
    }
}

impl fmt::Display for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// An inclusive range of IOVAs. Inclusive, so that it can end at the top of the 64-bit space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IovaRange {
    /// The first address.
    pub first: Iova,
    /// The last address, part of the range; never below `first`.
    pub last: Iova,
}

impl IovaRange {
    /// Every 64-bit address.
    pub const ALL: IovaRange = IovaRange { first: Iova(0), last: Iova(u64::MAX) };

    /// Returns the range of `len` bytes that starts at `first`; `None` for no bytes or past the 64-bit end.
    pub const fn new(first: Iova, len: u64) -> Option<IovaRange> {
        match first.last(len) {
            Some(last) => Some(IovaRange { first, last }),
            None => None,
        }
    }

    /// Returns whether `other` lies inside this range.
    pub const fn contains(&self, other: IovaRange) -> bool {
        self.first.0 <= other.first.0 && other.last.0 <= self.last.0
    }

    /// Returns whether the two ranges share an address.
    pub const fn overlaps(&self, other: IovaRange) -> bool {
        self.first.0 <= other.last.0 && other.first.0 <= self.last.0
    }

    /// Returns what both ranges share.
    pub fn intersection(&self, other: IovaRange) -> Option<IovaRange> {
        self.overlaps(other)
            .then(|| IovaRange { first: self.first.max(other.first), last: self.last.min(other.last) })
    }
}

impl fmt::Display for IovaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}

/// A bus address that the kit vouches for: mapped memory of one `IovaSpace`, kept alive by its owner.
///
/// There is no public constructor from a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusAddr {
    iova: Iova,
    space: SpaceId,
}

impl BusAddr {
    pub(crate) const fn new(iova: Iova, space: SpaceId) -> BusAddr {
        BusAddr { iova, space }
    }

    /// Returns the number that goes onto the bus, for display and for arithmetic that leaves the kit.
    pub const fn iova(self) -> Iova {
        self.iova
    }

    /// Returns the address space that the address means something in.
    pub const fn space(self) -> SpaceId {
        self.space
    }
}

/// The identity of one `IovaSpace` in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceId(pub(crate) u32);

/// The place of a PCI function: domain, bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bdf {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl Bdf {
    /// Returns the place, or `None` if the device is above 31 or the function above 7.
    pub const fn new(domain: u32, bus: u8, device: u8, function: u8) -> Option<Bdf> {
        if device > 31 || function > 7 { None } else { Some(Bdf { domain, bus, device, function }) }
    }

    /// Returns the PCI domain (segment).
    pub const fn domain(self) -> u32 {
        self.domain
    }

    /// Returns the bus number.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// Returns the device number, 0 to 31.
    pub const fn device(self) -> u8 {
        self.device
    }

    /// Returns the function number, 0 to 7.
    pub const fn function(self) -> u8 {
        self.function
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus, self.device, self.function)
    }
}

/// A text that names no PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a PCI address: write domain:bus:device.function in hex, like 0000:01:00.0; the domain may be left out"
)]
pub struct BdfError;

impl FromStr for Bdf {
    type Err = BdfError;

    /// Reads `[domain:]bus:device.function`, as `lspci` writes it.
    fn from_str(text: &str) -> Result<Bdf, BdfError> {
        let hex = |part: &str, max: u32| -> Result<u32, BdfError> {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let value = if digits { u32::from_str_radix(part, 16).ok() } else { None };
            value.filter(|&value| value <= max).ok_or(BdfError)
        };
        let (place, function) = text.rsplit_once('.').ok_or(BdfError)?;
        let (place, device) = place.rsplit_once(':').ok_or(BdfError)?;
        let (domain, bus) = place.rsplit_once(':').unwrap_or(("0", place));
        let [domain, bus] = [hex(domain, u32::MAX)?, hex(bus, 0xff)?];
        let [device, function] = [hex(device, 31)?, hex(function, 7)?];
        // The bounds above are the types' own.
        Bdf::new(domain, bus as u8, device as u8, function as u8).ok_or(BdfError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bdf_reads_what_lspci_writes() {
        let bdf: Bdf = "0000:81:1f.7".parse().unwrap();
        assert_eq!((bdf.domain(), bdf.bus(), bdf.device(), bdf.function()), (0, 0x81, 0x1f, 7));
        assert_eq!("03:00.1".parse::<Bdf>().unwrap().to_string(), "0000:03:00.1");
        assert_eq!("10000:e1:00.0".parse::<Bdf>().unwrap().domain(), 0x10000);
    }

    #[test]
    fn bdf_refuses_everything_else() {
        for text in [
            "",
            ":",
            ".",
            "1",
            "00:00",
            "00:20.0",
            "00:00.8",
            "100:00.0",
            "+1:00.0",
            "00:00.0 ",
            "0:0:0:0.0",
            "00:é.0",
        ] {
            assert_eq!(text.parse::<Bdf>(), Err(BdfError), "{text:?}");
        }
    }

    #[test]
    fn ranges_reach_the_top_without_overflow() {
        let top = IovaRange::new(Iova(u64::MAX), 1).unwrap();
        assert!(IovaRange::ALL.contains(top) && top.overlaps(IovaRange::ALL));
        assert_eq!(IovaRange::new(Iova(u64::MAX), 2), None);
        assert_eq!(IovaRange::new(Iova(0), 0), None);
        let low = IovaRange::new(Iova(0), 0x1000).unwrap();
        assert_eq!(low.intersection(top), None);
        assert_eq!(IovaRange::ALL.intersection(low), Some(low));
    }
}
