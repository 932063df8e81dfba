//! The two lists of capabilities.

use super::config::Config;
use super::error::ConfigError;
use crate::device::DeviceError;

/// Capability ids (PCI 6.7, PCI Code and ID Assignment).
pub mod id {
    /// Power management.
    pub const POWER_MANAGEMENT: u8 = 0x01;
    /// Vital product data.
    pub const VPD: u8 = 0x03;
    /// Message-signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// Vendor-specific.
    pub const VENDOR: u8 = 0x09;
    /// PCI Express.
    pub const EXPRESS: u8 = 0x10;
    /// Extended message-signalled interrupts.
    pub const MSI_X: u8 = 0x11;
    /// Advanced features (FLR of conventional PCI).
    pub const ADVANCED_FEATURES: u8 = 0x13;
}

/// Extended capability ids (PCI Code and ID Assignment).
pub mod extended_id {
    /// Advanced error reporting.
    pub const AER: u16 = 0x0001;
    /// Device serial number.
    pub const SERIAL_NUMBER: u16 = 0x0003;
    /// Vendor-specific.
    pub const VENDOR: u16 = 0x000b;
    /// Access control services.
    pub const ACS: u16 = 0x000d;
    /// Alternative routing-id interpretation.
    pub const ARI: u16 = 0x000e;
    /// Address translation services.
    pub const ATS: u16 = 0x000f;
    /// Single-root I/O virtualization.
    pub const SR_IOV: u16 = 0x0010;
    /// Designated vendor-specific.
    pub const DVSEC: u16 = 0x0023;
}

/// Where capabilities may start: after the header, with room for an id and a pointer.
const FIRST: u16 = 0x40;
const LAST: u16 = 0xfc;
/// Where extended capabilities may start.
const EXTENDED_FIRST: u16 = 0x100;
const EXTENDED_LAST: u16 = 0xffc;

/// A capability that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is, see [`id`].
    pub id: u8,
    /// Where it starts, in bytes; a multiple of 4 from 40h to FCh.
    pub offset: u16,
}

/// An extended capability that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCapability {
    /// What it is, see [`extended_id`].
    pub id: u16,
    /// The version of its layout.
    pub version: u8,
    /// Where it starts, in bytes; a multiple of 4 from 100h to FFCh.
    pub offset: u16,
}

/// Walks the capabilities (PCI 6.7). After an error it ends.
#[derive(Debug)]
pub struct Capabilities<'a> {
    config: &'a Config,
    walk: Walk,
}

/// Walks the extended capabilities (PCIe 7.6). After an error it ends.
#[derive(Debug)]
pub struct ExtendedCapabilities<'a> {
    config: &'a Config,
    walk: Walk,
}

/// A bounded way through a linked list in configuration space.
#[derive(Debug)]
struct Walk {
    /// Where the next entry is; `None` at the end.
    next: Option<u16>,
    first: u16,
    last: u16,
    /// One bit for each 32-bit word that was an entry: the list is no longer than there are words.
    seen: [u64; 16],
}

impl Walk {
    fn new(next: Option<u16>, first: u16, last: u16) -> Walk {
        Walk { next, first, last, seen: [0; 16] }
    }

    /// Returns the next entry's place, checked.
    fn step(&mut self) -> Option<Result<u16, ConfigError>> {
        let offset = self.next.take()?;
        if offset % 4 != 0 {
            return Some(Err(ConfigError::Misaligned { offset }));
        }
        if !(self.first..=self.last).contains(&offset) {
            return Some(Err(ConfigError::Outside { offset, first: self.first, last: self.last }));
        }
        // 16 times 64 bits cover all 1,024 words below 1000h.
        let (word, bit) = (usize::from(offset / 4 / 64), 1 << (offset / 4 % 64));
        let seen = self.seen.get_mut(word).filter(|seen| **seen & bit == 0);
        Some(seen.map(|seen| *seen |= bit).map(|()| offset).ok_or(ConfigError::Loop { offset }))
    }
}

impl Iterator for Capabilities<'_> {
    type Item = Result<Capability, ConfigError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.walk.step()?.and_then(|offset| {
            let [id, next] = self.config.read(offset)?;
            self.walk.next = (next != 0).then_some(next.into());
            Ok(Capability { id, offset })
        });
        Some(entry)
    }
}

impl Iterator for ExtendedCapabilities<'_> {
    type Item = Result<ExtendedCapability, ConfigError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.walk.step()?.and_then(|offset| {
            let header = self.config.read_u32(offset)?;
            let next = (header >> 20) as u16;
            self.walk.next = (next != 0).then_some(next);
            Ok(ExtendedCapability { id: header as u16, version: (header >> 16 & 0xf) as u8, offset })
        });
        Some(entry)
    }
}

impl Config {
    /// Walks the capabilities; none if the status register says that there is no list.
    pub fn capabilities(&self) -> Result<Capabilities<'_>, ConfigError> {
        let listed = self.status()?.capabilities() && self.header_type()? <= 1;
        let first = if listed { Some(self.read_u8(0x34)?).filter(|&first| first != 0) } else { None };
        Ok(Capabilities { config: self, walk: Walk::new(first.map(u16::from), FIRST, LAST) })
    }

    /// Walks the extended capabilities; none if the device has only 256 bytes of configuration space, or an
    /// empty list.
    pub fn extended_capabilities(&self) -> Result<ExtendedCapabilities<'_>, ConfigError> {
        let first = match self.read_u32(EXTENDED_FIRST) {
            // PCIe 7.6.2: an empty list is all 0, or where nothing answers, all ones.
            Ok(0 | u32::MAX) | Err(DeviceError::ConfigRange { .. }) => None,
            Ok(_) => Some(EXTENDED_FIRST),
            Err(error) => return Err(error.into()),
        };
        Ok(ExtendedCapabilities { config: self, walk: Walk::new(first, EXTENDED_FIRST, EXTENDED_LAST) })
    }

    /// Returns the first capability with this id.
    pub fn find(&self, id: u8) -> Result<Option<Capability>, ConfigError> {
        self.capabilities()?.find(|entry| !matches!(entry, Ok(entry) if entry.id != id)).transpose()
    }

    /// Returns the first extended capability with this id.
    pub fn find_extended(&self, id: u16) -> Result<Option<ExtendedCapability>, ConfigError> {
        self.extended_capabilities()?.find(|entry| !matches!(entry, Ok(entry) if entry.id != id)).transpose()
    }

    /// Returns where a capability's content starts, checked that `len` bytes of it, header included, lie within
    /// its space.
    pub(super) fn require(&self, id: u8, what: &'static str, len: u16) -> Result<u16, ConfigError> {
        let Capability { offset, .. } = self.find(id)?.ok_or(ConfigError::Missing { what })?;
        if offset + len > 0x100 {
            Err(ConfigError::Overrun { id: id.into(), offset, len })
        } else {
            Ok(offset)
        }
    }

    /// Reads a vendor-specific capability's content, without the id, pointer and length (PCI 6.7, appendix H).
    /// Returns how much of `data` it filled: all of it, or the whole content if that is shorter.
    pub fn read_vendor(&self, entry: Capability, data: &mut [u8]) -> Result<usize, ConfigError> {
        let Capability { id, offset } = entry;
        let len = u16::from(self.read_u8(offset.saturating_add(2))?);
        if len < 3 || offset.saturating_add(len) > 0x100 {
            return Err(ConfigError::Overrun { id: id.into(), offset, len });
        }
        let fill = data.len().min(usize::from(len - 3));
        let (fill_part, _) = data.split_at_mut(fill);
        self.read_bytes(offset + 3, fill_part)?;
        Ok(fill)
    }

    /// Returns the device's serial number (PCIe 7.9.3), `None` if it has none.
    pub fn serial_number(&self) -> Result<Option<u64>, ConfigError> {
        let Some(ExtendedCapability { id, offset, .. }) = self.find_extended(extended_id::SERIAL_NUMBER)?
        else {
            return Ok(None);
        };
        if offset > 0x1000 - 12 {
            return Err(ConfigError::Overrun { id, offset, len: 12 });
        }
        let (low, high) = (self.read_u32(offset + 4)?, self.read_u32(offset + 8)?);
        Ok(Some(u64::from(high) << 32 | u64::from(low)))
    }
}
