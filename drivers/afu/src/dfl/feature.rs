//! What a walk finds.

use alloc::vec::Vec;
use core::fmt;

use crate::guid::{self, Uuid};
use crate::ids;

/// What a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The management engine.
    Fme,
    /// A port.
    Port,
    /// Another interface unit, by its id.
    Fiu(u16),
    /// An accelerator.
    Afu,
    /// A feature of the unit or accelerator before it, by its id.
    Private(u16),
    /// An interface (OFS), by its id.
    Interface(u16),
    /// A type that is not known, and the id.
    Other(u8, u16),
}

impl Kind {
    /// Returns the kind that a header's type and id make.
    pub(crate) fn of(kind: u8, id: u16) -> Kind {
        match (kind, id) {
            (ids::TYPE_FIU, ids::FIU_FME) => Kind::Fme,
            (ids::TYPE_FIU, ids::FIU_PORT) => Kind::Port,
            (ids::TYPE_FIU, id) => Kind::Fiu(id),
            (ids::TYPE_AFU, _) => Kind::Afu,
            (ids::TYPE_PRIVATE, id) => Kind::Private(id),
            (ids::TYPE_INTERFACE, id) => Kind::Interface(id),
            (kind, id) => Kind::Other(kind, id),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Kind::Fme => f.write_str("FME"),
            Kind::Port => f.write_str("port"),
            Kind::Fiu(id) => write!(f, "FIU {id:#x}"),
            Kind::Afu => f.write_str("AFU"),
            Kind::Private(id) => match ids::feature_name(id) {
                Some(name) => f.write_str(name),
                None => write!(f, "feature {id:#x}"),
            },
            Kind::Interface(id) => write!(f, "interface {id:#x}"),
            Kind::Other(kind, id) => write!(f, "type {kind}, id {id:#x}"),
        }
    }
}

/// Where something is: bytes from the start of a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which BAR.
    pub bar: u8,
    /// Bytes from its start.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BAR {} {:#x}", self.bar, self.offset)
    }
}

/// Interrupt vectors that a version 1 header gives a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Msix {
    /// The first vector.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What it is.
    pub kind: Kind,
    /// The id of its header.
    pub id: u16,
    /// Its revision.
    pub revision: u8,
    /// Version of its header, 0 or 1.
    pub version: u8,
    /// Where its header is.
    pub header: Place,
    /// Bytes from the header to the next one; of the last feature what the header says, which may be 0.
    pub next: u32,
    /// The list ends with it.
    pub last: bool,
    /// Where its registers are; `None` where a version 1 header names an address that is in no BAR.
    pub registers: Option<Place>,
    /// How many bytes of registers a version 1 header says there are.
    pub size: Option<u32>,
    /// Its GUID, where its header has one; `None` too for an accelerator whose port was in reset.
    pub guid: Option<Uuid>,
    /// The interface unit that it belongs to, as an index of [`Features::all`].
    pub parent: Option<usize>,
    /// Interrupt vectors, of a version 1 header.
    pub msix: Option<Msix>,
    /// GUIDs of child accelerators, of a version 1 header.
    pub children: Vec<Uuid>,
    /// Instance and group, of a version 1 header.
    pub instance: Option<(u16, u16)>,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, id {:#x}, revision {}", self.header, self.kind, self.id, self.revision)?;
        if self.version != 0 {
            write!(f, ", header version {}", self.version)?;
        }
        match self.guid {
            Some(guid) => match guid::name(guid) {
                Some(name) => write!(f, ", {guid} ({name})"),
                None => write!(f, ", {guid}"),
            },
            None => Ok(()),
        }
    }
}

/// Every feature of a card, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub(crate) all: Vec<Feature>,
}

impl Features {
    /// Returns all of them.
    pub fn all(&self) -> &[Feature] {
        &self.all
    }

    /// Returns the management engine's header.
    pub fn fme(&self) -> Option<(usize, &Feature)> {
        self.of_kind(Kind::Fme).next()
    }

    /// Returns the ports' headers.
    pub fn ports(&self) -> impl Iterator<Item = (usize, &Feature)> {
        self.of_kind(Kind::Port)
    }

    /// Returns the accelerators' headers.
    pub fn afus(&self) -> impl Iterator<Item = (usize, &Feature)> {
        self.of_kind(Kind::Afu)
    }

    /// Returns the private feature `id` of the unit at index `parent`.
    pub fn private(&self, parent: usize, id: u16) -> Option<&Feature> {
        self.all.iter().find(|feature| feature.parent == Some(parent) && feature.kind == Kind::Private(id))
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (usize, &Feature)> {
        self.all.iter().enumerate().filter(move |(_, feature)| feature.kind == kind)
    }
}
