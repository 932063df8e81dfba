//! Capabilities that a model adds to its configuration space.
//!
//! Key type: [`CapabilitySpec`]: what it holds, where it is, and who answers for it ([`CapabilityAccess`]). Power
//! management, MSI, MSI-X, PCI Express and the serial number are made from the fields of [`Spec`](crate::Spec)
//! instead, because they are emulated. [`Config`](crate::Config) lays all of them out.

/// Vendor-specific capability (PCI 3.0, appendix H).
const VENDOR: u8 = 0x09;
/// Vendor-specific extended capability (PCIe 5.0, 7.9.5).
const VSEC: u16 = 0x000b;

/// Which of the two lists a capability is in, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityId {
    /// In the first 256 bytes.
    Standard(u8),
    /// From offset 100h on, which PCI Express and PCI-X mode 2 have.
    Extended {
        /// The number, 1 to FFFFh.
        id: u16,
        /// The capability's version, 0 to 15.
        version: u8,
    },
}

impl CapabilityId {
    /// Returns the bytes in front of the capability's own: number and link.
    pub(crate) fn header(self) -> usize {
        match self {
            CapabilityId::Standard(_) => 2,
            CapabilityId::Extended { .. } => 4,
        }
    }

    pub(crate) fn is_extended(self) -> bool {
        matches!(self, CapabilityId::Extended { .. })
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            CapabilityId::Standard(id) => id.into(),
            CapabilityId::Extended { id, .. } => id,
        }
    }
}

/// Who answers for a capability. Its number and link never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapabilityAccess {
    /// Software reads and writes it like memory.
    #[default]
    Writable,
    /// Software only reads it; a write is refused.
    ReadOnly,
    /// The model, by [`DeviceModel::config_read`](crate::DeviceModel::config_read) and
    /// [`config_write`](crate::DeviceModel::config_write).
    Model,
}

/// A capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilitySpec {
    /// Its list and number.
    pub id: CapabilityId,
    /// What follows number and link (2 bytes, extended 4).
    pub data: Vec<u8>,
    /// Where it starts, a multiple of 4; `None` for the first place that is free. The list has the order of the
    /// spec, whatever the places.
    pub at: Option<u16>,
    /// Who answers for it.
    pub access: CapabilityAccess,
}

impl CapabilitySpec {
    /// Returns a capability of the first 256 bytes; `data` follows its number and link.
    pub fn standard(id: u8, data: &[u8]) -> CapabilitySpec {
        CapabilitySpec::new(CapabilityId::Standard(id), data.to_vec())
    }

    /// Returns an extended capability; `data` follows its four bytes of header.
    pub fn extended(id: u16, version: u8, data: &[u8]) -> CapabilitySpec {
        CapabilitySpec::new(CapabilityId::Extended { id, version }, data.to_vec())
    }

    /// Returns a vendor-specific capability (09h); its length goes in front of `data`.
    pub fn vendor(data: &[u8]) -> CapabilitySpec {
        // One that is too long for its field is too long for its list, which `Spec::check` finds.
        let len = u8::try_from(data.len().saturating_add(3)).unwrap_or(u8::MAX);
        CapabilitySpec::standard(VENDOR, &[&[len], data].concat())
    }

    /// Returns a vendor-specific extended capability (VSEC) with the vendor's `id` and `revision` (0 to 15); its
    /// own header goes in front of `data`.
    pub fn vsec(id: u16, revision: u8, data: &[u8]) -> CapabilitySpec {
        // Id 15:0, revision 19:16, length 31:20 with both headers.
        let len = data.len().saturating_add(8).min(0xfff) as u32;
        let head = u32::from(id) | u32::from(revision & 0xf) << 16 | len << 20;
        CapabilitySpec::extended(VSEC, 1, &[&head.to_le_bytes(), data].concat())
    }

    /// Puts it at `offset`.
    #[must_use]
    pub fn at(mut self, offset: u16) -> CapabilitySpec {
        self.at = Some(offset);
        self
    }

    /// Software cannot write it.
    #[must_use]
    pub fn read_only(mut self) -> CapabilitySpec {
        self.access = CapabilityAccess::ReadOnly;
        self
    }

    /// The model answers for it.
    #[must_use]
    pub fn by_model(mut self) -> CapabilitySpec {
        self.access = CapabilityAccess::Model;
        self
    }

    fn new(id: CapabilityId, data: Vec<u8>) -> CapabilitySpec {
        CapabilitySpec { id, data, at: None, access: CapabilityAccess::default() }
    }

    /// Returns its bytes with number and link, rounded up to where the next one may start.
    pub(crate) fn len(&self) -> usize {
        self.id.header().saturating_add(self.data.len()).next_multiple_of(4)
    }
}
