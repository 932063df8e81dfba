//! What an SFP+ module says it is (SFF-8472; codes of SFF-8024).
//!
//! [`Identification`] is the first 96 bytes of its page A0h, decoded; [`ModuleKind`] is what that makes it for this
//! device. Plain data, nothing here touches the device; [`phy`](super) reads it.

use core::fmt;

use crate::link::Speeds;

/// The bytes of an identification.
pub(super) const BYTES: usize = 96;

/// What is in the port's cage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// The port has no cage: its medium is soldered to the board.
    Fixed,
    /// Nothing.
    Absent,
    /// 10GBASE-SR, multi-mode fibre.
    Sr,
    /// 10GBASE-LR, single-mode fibre.
    Lr,
    /// A passive direct-attach copper cable.
    PassiveCable,
    /// An active direct-attach cable with limiting output.
    ActiveCable,
    /// 1000BASE-SX.
    Sx,
    /// 1000BASE-LX.
    Lx,
    /// 1000BASE-T.
    T,
    /// Something that the device cannot use.
    Unknown,
}

/// Who made a module and what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identification {
    bytes: [u8; BYTES],
}

/// What a field of an identification is, at its offset.
mod at {
    pub(super) const IDENTIFIER: usize = 0;
    pub(super) const CONNECTOR: usize = 2;
    pub(super) const COMPLIANCE_10G: usize = 3;
    pub(super) const COMPLIANCE_1G: usize = 6;
    pub(super) const CABLE: usize = 8;
    pub(super) const BASE_CHECK: usize = 63;
    pub(super) const CABLE_COMPLIANCE: usize = 60;
    pub(super) const MONITORING: usize = 92;
    pub(super) const SFF_8472: usize = 94;
    pub(super) const EXTENDED_CHECK: usize = 95;
}

/// The identifier of SFP and SFP+.
const SFP: u8 = 0x03;

impl Identification {
    pub(super) fn new(bytes: [u8; BYTES]) -> Identification {
        Identification { bytes }
    }

    /// Returns the bytes 0 to 95 of page A0h.
    pub fn bytes(&self) -> &[u8; 96] {
        &self.bytes
    }

    /// Returns whether it is an SFP or SFP+ at all.
    pub(super) fn is_sfp(&self) -> bool {
        self.bytes[at::IDENTIFIER] == SFP
    }

    /// Returns whether the check code over bytes 0 to 62 (CC_BASE) holds.
    pub fn base_valid(&self) -> bool {
        self.checked(0, at::BASE_CHECK)
    }

    /// Returns whether the check code over bytes 64 to 94 (CC_EXT: serial number, date, what it monitors) holds.
    pub fn extended_valid(&self) -> bool {
        self.checked(64, at::EXTENDED_CHECK)
    }

    fn checked(&self, first: usize, code: usize) -> bool {
        self.bytes[first..code].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == self.bytes[code]
    }

    /// Returns the connector's code (SFF-8024 table 4-3): 07h LC, 21h copper pigtail, 22h RJ45.
    pub fn connector(&self) -> u8 {
        self.bytes[at::CONNECTOR]
    }

    /// Returns the vendor's organisation id.
    pub fn oui(&self) -> [u8; 3] {
        [self.bytes[37], self.bytes[38], self.bytes[39]]
    }

    /// Returns the vendor's name.
    pub fn vendor(&self) -> Text<'_> {
        Text(&self.bytes[20..36])
    }

    /// Returns the vendor's part number.
    pub fn part(&self) -> Text<'_> {
        Text(&self.bytes[40..56])
    }

    /// Returns the part's revision.
    pub fn revision(&self) -> Text<'_> {
        Text(&self.bytes[56..60])
    }

    /// Returns the serial number. Believe it only if [`extended_valid`](Self::extended_valid).
    pub fn serial(&self) -> Text<'_> {
        Text(&self.bytes[68..84])
    }

    /// Returns the date of manufacture, `yymmdd` and the lot. Believe it only if
    /// [`extended_valid`](Self::extended_valid).
    pub fn date(&self) -> Text<'_> {
        Text(&self.bytes[84..92])
    }

    /// Returns whether it has a page of diagnostics at A2h that can be read without switching addresses.
    pub fn has_diagnostics(&self) -> bool {
        const ADDRESS_CHANGE: u8 = 1 << 2;
        self.extended_valid()
            && self.bytes[at::SFF_8472] != 0
            && self.bytes[at::MONITORING] & ADDRESS_CHANGE == 0
    }

    /// Returns what this device takes it for. Cables come first: some carry optical codes too, and those are wrong.
    pub fn kind(&self) -> ModuleKind {
        const LIMITING: u8 = 1 << 2;
        let bit = |at: usize, bit: u8| self.bytes[at] >> bit & 1 == 1;
        if !self.is_sfp() {
            ModuleKind::Unknown
        } else if bit(at::CABLE, 2) {
            ModuleKind::PassiveCable
        } else if bit(at::CABLE, 3) {
            // A linear one would need equalisation that this device does not have.
            match self.bytes[at::CABLE_COMPLIANCE] & LIMITING {
                0 => ModuleKind::Unknown,
                _ => ModuleKind::ActiveCable,
            }
        } else if bit(at::COMPLIANCE_10G, 4) {
            ModuleKind::Sr
        } else if bit(at::COMPLIANCE_10G, 5) {
            ModuleKind::Lr
        } else if bit(at::COMPLIANCE_1G, 3) {
            ModuleKind::T
        } else if bit(at::COMPLIANCE_1G, 0) {
            ModuleKind::Sx
        } else if bit(at::COMPLIANCE_1G, 1) {
            ModuleKind::Lx
        } else {
            ModuleKind::Unknown
        }
    }

    /// Returns the speeds it can do. One that can do two is told which by its rate select pin.
    pub fn speeds(&self) -> Speeds {
        let also_1g =
            |bit: u8| if self.bytes[at::COMPLIANCE_1G] >> bit & 1 == 1 { Speeds::GB1 } else { Speeds::NONE };
        match self.kind() {
            ModuleKind::Sr => Speeds::GB10 | also_1g(0),
            ModuleKind::Lr => Speeds::GB10 | also_1g(1),
            ModuleKind::PassiveCable | ModuleKind::ActiveCable => Speeds::GB10,
            ModuleKind::Sx | ModuleKind::Lx | ModuleKind::T => Speeds::GB1,
            ModuleKind::Fixed | ModuleKind::Absent | ModuleKind::Unknown => Speeds::NONE,
        }
    }
}

impl fmt::Debug for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identification")
            .field("kind", &self.kind())
            .field("vendor", &self.vendor())
            .field("part", &self.part())
            .field("serial", &self.serial())
            .finish_non_exhaustive()
    }
}

/// A text that a module says. `Display` shows it without its padding, and with `?` for what is not
/// printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        // Some pad with zeros instead.
        let mut text = self.0;
        while let [rest @ .., 0 | b' '] = text {
            text = rest;
        }
        for &byte in text {
            f.write_char(if byte.is_ascii_graphic() || byte == b' ' { byte.into() } else { '?' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
