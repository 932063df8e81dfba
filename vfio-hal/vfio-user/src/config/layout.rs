//! Where everything is in configuration space, its value after power-on, and which bits can be written.

use super::cap;
use super::places::{EXTENDED, HEADER, MSI, MSIX, PCIE, PM, Place, places};
use crate::capability::{CapabilityAccess, CapabilityId};
use crate::check::SpecError;
use crate::spec::{BarKind, ConfigCallback, Spec};

/// The head of the list is a byte like every link, which is the second of its capability.
const LIST: usize = 0x34;

/// Who answers for a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This emulation.
    Function,
    /// A capability of the model's that keeps what is written, like memory.
    Stored,
    /// Nobody: it reads as it is and cannot be written.
    Nobody,
    /// A capability that cannot be written.
    ReadOnly,
    /// The model.
    Model,
}

#[derive(Clone)]
pub(super) struct Layout {
    pub(super) initial: Box<[u8]>,
    /// Bits that take what is written.
    pub(super) writable: Box<[u8]>,
    /// Bits that a written 1 clears.
    pub(super) clear: Box<[u8]>,
    pub(super) owners: Box<[Owner]>,
    /// The model is asked for every byte, whoever owns it.
    pub(super) always: bool,
    pub(super) bars: [Option<BarKind>; 6],
    pub(super) pm: Option<usize>,
    pub(super) msi: Option<usize>,
    pub(super) msix: Option<usize>,
    pub(super) pcie: Option<usize>,
    /// In the order of the lists.
    places: Vec<Place>,
}

impl Layout {
    /// Lays a checked spec out.
    pub(super) fn new(spec: &Spec) -> Result<Layout, SpecError> {
        let bytes = usize::from(spec.pci_type.config_bytes());
        let zero = || vec![0; bytes].into_boxed_slice();
        let rest = match spec.config_callback {
            ConfigCallback::Never => Owner::Nobody,
            ConfigCallback::Unclaimed | ConfigCallback::Always => Owner::Model,
        };
        let mut layout = Layout {
            initial: zero(),
            writable: zero(),
            clear: zero(),
            owners: vec![rest; bytes].into_boxed_slice(),
            always: spec.config_callback == ConfigCallback::Always,
            bars: [None; 6],
            pm: None,
            msi: None,
            msix: None,
            pcie: None,
            places: places(spec)?,
        };
        layout.owners[..HEADER].fill(Owner::Function);
        layout.header(spec);
        layout.bars(spec);
        layout.link();
        for place in layout.places.clone() {
            match place.id {
                CapabilityId::Standard(cap::PM) => layout.power_management(),
                CapabilityId::Standard(cap::MSI) => layout.msi(spec.msi_vectors),
                CapabilityId::Standard(cap::MSIX) => layout.msix(spec),
                CapabilityId::Standard(cap::PCIE) => layout.pcie(),
                _ => layout.given(spec, &place),
            }
        }
        Ok(layout)
    }

    /// Returns where the first capability with this number is that comes after the one at `after`.
    pub(super) fn find(&self, extended: bool, id: u16, after: Option<usize>) -> Option<usize> {
        let list = || self.places.iter().filter(|place| place.id.is_extended() == extended);
        let skip = match after {
            None => 0,
            Some(at) => list().position(|place| place.at == at)? + 1,
        };
        list().skip(skip).find(|place| place.id.number() == id).map(|place| place.at)
    }

    /// Writes numbers and links.
    fn link(&mut self) {
        let mut link = LIST;
        for place in self.places.clone() {
            self.owners[place.at..place.at + place.len].fill(Owner::Function);
            if let CapabilityId::Standard(id) = place.id {
                self.initial[link] = place.at as u8;
                self.initial[place.at] = id;
                link = place.at + 1;
            }
        }
        let extended: Vec<Place> =
            self.places.iter().copied().filter(|place| place.id.is_extended()).collect();
        if extended.first().is_some_and(|first| first.at != EXTENDED) {
            // The list starts here, so without one there is a capability without a number.
            self.u32(EXTENDED, (extended[0].at as u32) << 20);
            self.owners[EXTENDED..EXTENDED + 4].fill(Owner::Function);
        }
        for (number, place) in extended.iter().enumerate() {
            if let CapabilityId::Extended { id, version } = place.id {
                let next = extended.get(number + 1).map_or(0, |next| next.at as u32);
                self.u32(place.at, next << 20 | u32::from(version) << 16 | u32::from(id));
            }
        }
    }

    /// A capability of the model's, or the serial number (PCIe 3.0, 7.12).
    fn given(&mut self, spec: &Spec, place: &Place) {
        let body = place.at + place.id.header();
        let serial = spec.serial.unwrap_or(0).to_le_bytes();
        let (data, access) = match place.given.and_then(|number| spec.capabilities.get(number)) {
            Some(given) => (&given.data[..], given.access),
            None => (&serial[..], CapabilityAccess::ReadOnly),
        };
        self.initial[body..body + data.len()].copy_from_slice(data);
        match access {
            CapabilityAccess::Writable => {
                self.writable[body..body + data.len()].fill(0xff);
                self.owners[body..body + data.len()].fill(Owner::Stored);
            }
            CapabilityAccess::ReadOnly => self.owners[body..place.at + place.len].fill(Owner::ReadOnly),
            CapabilityAccess::Model => self.owners[body..place.at + place.len].fill(Owner::Model),
        }
    }

    /// PCI 3.0, 6.1 and 6.2.
    fn header(&mut self, spec: &Spec) {
        let ids = spec.ids;
        self.u16(0x00, ids.vendor);
        self.u16(0x02, ids.device);
        // Parity and SERR reporting, INTx disable; the access bits come with their BARs.
        self.rw16(0x04, 1 << 2 | 1 << 6 | 1 << 8 | 1 << 10);
        // There is a capability list; the error bits are cleared by writing 1.
        self.u16(0x06, 1 << 4);
        self.clear[0x07] = 0b1111_1001;
        self.u32(0x08, ids.class << 8 | u32::from(ids.revision));
        // The cache line size is kept for software and has no effect (PCIe 3.0, 7.5.1.3).
        self.writable[0x0c] = 0xff;
        self.u16(0x2c, ids.subsystem_vendor);
        self.u16(0x2e, ids.subsystem);
        self.writable[0x3c] = 0xff;
        self.initial[0x0e] = spec.header_type;
        self.initial[0x3d] = spec.intx.into();
    }

    /// PCI 3.0, 6.2.5: address bits below the size read 0 whatever is written, and that is how it is sized.
    fn bars(&mut self, spec: &Spec) {
        for bar in &spec.bars {
            let at = 0x10 + 4 * usize::from(bar.index);
            let mask = !(bar.size - 1);
            let (flags, enable) = match bar.kind {
                BarKind::Memory32 => (0b0000, 1 << 1),
                BarKind::Memory64 => (0b0100, 1 << 1),
                BarKind::Memory64Prefetchable => (0b1100, 1 << 1),
                BarKind::Io => (0b01, 1 << 0),
            };
            self.u32(at, flags);
            self.rw32(at, mask as u32);
            if bar.kind.is_64_bit() {
                self.rw32(at + 4, (mask >> 32) as u32);
            }
            self.writable[0x04] |= enable;
            self.bars[usize::from(bar.index)] = Some(bar.kind);
        }
        if spec.rom > 0 {
            // PCI 3.0, 6.2.5.2: bit 0 switches the decoder on.
            self.rw32(0x30, !(spec.rom - 1) as u32 | 1);
            self.writable[0x04] |= 1 << 1;
        }
        if spec.vga {
            self.writable[0x04] |= 1 << 1 | 1 << 0;
        }
    }

    /// PCI PM 1.2, 3.2: version 3, D0 and D3hot, no wake-up.
    fn power_management(&mut self) {
        self.pm = Some(PM);
        self.u16(PM + 2, 3);
        // The function keeps its state from D3hot to D0 (No_Soft_Reset).
        self.u16(PM + 4, 1 << 3);
        self.rw16(PM + 4, 0b11);
    }

    /// PCI 3.0, 6.8.1: 64-bit addresses, a mask for each vector.
    fn msi(&mut self, vectors: u8) {
        self.msi = Some(MSI);
        let capable = vectors.trailing_zeros() as u16;
        self.u16(MSI + 2, 1 << 8 | 1 << 7 | capable << 1);
        self.rw16(MSI + 2, 0b111 << 4 | 1);
        self.rw32(MSI + 4, !0b11);
        self.rw32(MSI + 8, u32::MAX);
        self.rw16(MSI + 0xc, u16::MAX);
        self.rw32(MSI + 0x10, u32::MAX >> (32 - u32::from(vectors)));
    }

    /// PCI 3.0, 6.8.2.
    fn msix(&mut self, spec: &Spec) {
        self.msix = Some(MSIX);
        self.u16(MSIX + 2, spec.msix_vectors - 1);
        self.rw16(MSIX + 2, 1 << 15 | 1 << 14);
        self.u32(MSIX + 4, spec.msix_bar.into());
        // The offset is a multiple of 8, and the three bits below it are the BAR's number.
        self.u32(MSIX + 8, spec.pending_offset() as u32 | u32::from(spec.msix_bar));
    }

    /// PCIe 3.0, 7.8: an endpoint that can be reset by function.
    fn pcie(&mut self) {
        self.pcie = Some(PCIE);
        self.u16(PCIE + 2, 2);
        // FLR; role-based error reporting; payloads up to 512 bytes.
        self.u32(PCIE + 4, 1 << 28 | 1 << 15 | 0b010);
        // Requests up to 512 bytes, no-snoop and relaxed ordering allowed.
        self.u16(PCIE + 8, 0b010 << 12 | 1 << 11 | 1 << 4);
        self.rw16(PCIE + 8, 0b0111_1001_1111_1111);
        self.clear[PCIE + 0xa] = 0b1111;
        // A link of 8 lanes at 5 GT/s, trained.
        self.u32(PCIE + 0xc, 8 << 4 | 2);
        self.rw16(PCIE + 0x10, 0b1100_1011);
        self.u16(PCIE + 0x12, 1 << 12 | 8 << 4 | 2);
        // Completion timeouts: ranges A to D, can be disabled.
        self.u32(PCIE + 0x24, 1 << 4 | 0b1111);
        self.rw16(PCIE + 0x28, 0b1_1111);
        self.u32(PCIE + 0x2c, 0b011 << 1);
        self.u16(PCIE + 0x30, 2);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.initial[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.initial[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn rw16(&mut self, at: usize, bits: u16) {
        self.writable[at] |= bits.to_le_bytes()[0];
        self.writable[at + 1] |= bits.to_le_bytes()[1];
    }

    fn rw32(&mut self, at: usize, bits: u32) {
        self.rw16(at, bits as u16);
        self.rw16(at + 2, (bits >> 16) as u16);
    }
}
