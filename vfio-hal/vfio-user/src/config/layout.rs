//! Where everything is in configuration space, its value after power-on, and which bits can be written.

use super::{CONFIG_BYTES, cap};
use crate::spec::{BarKind, Spec};

const BYTES: usize = CONFIG_BYTES as usize;

/// The places are those of the 82599 (datasheet 9.3), which leaves room for every capability at full size.
const PM: usize = 0x40;
const MSI: usize = 0x50;
const MSIX: usize = 0x70;
const PCIE: usize = 0xa0;
/// Extended capabilities start here by definition.
const EXTENDED: usize = 0x100;

#[derive(Clone)]
pub(super) struct Layout {
    pub(super) initial: Box<[u8]>,
    /// Bits that take what is written.
    pub(super) writable: Box<[u8]>,
    /// Bits that a written 1 clears.
    pub(super) clear: Box<[u8]>,
    pub(super) bars: [Option<BarKind>; 6],
    pub(super) pm: Option<usize>,
    pub(super) msi: Option<usize>,
    pub(super) msix: Option<usize>,
    pub(super) pcie: usize,
    /// Where the last capability was put, to be linked to the next.
    last: usize,
}

impl Layout {
    /// Lays a checked spec out.
    pub(super) fn new(spec: &Spec) -> Layout {
        let zero = || vec![0; BYTES].into_boxed_slice();
        let mut layout = Layout {
            initial: zero(),
            writable: zero(),
            clear: zero(),
            bars: [None; 6],
            pm: None,
            msi: None,
            msix: None,
            pcie: PCIE,
            // The head of the list is a byte like every link.
            last: 0x33,
        };
        layout.header(spec);
        layout.bars(spec);
        layout.power_management();
        if spec.msi_vectors > 0 {
            layout.msi(spec.msi_vectors);
        }
        if spec.msix_vectors > 0 {
            layout.msix(spec);
        }
        layout.pcie();
        if let Some(serial) = spec.serial {
            layout.serial(serial);
        }
        layout
    }

    pub(super) fn place(&self, id: u8) -> Option<usize> {
        match id {
            cap::PM => self.pm,
            cap::MSI => self.msi,
            cap::MSIX => self.msix,
            cap::PCIE => Some(self.pcie),
            _ => None,
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
    }

    /// PCI PM 1.2, 3.2: version 3, D0 and D3hot, no wake-up.
    fn power_management(&mut self) {
        self.link(PM, cap::PM);
        self.pm = Some(PM);
        self.u16(PM + 2, 3);
        // The function keeps its state from D3hot to D0 (No_Soft_Reset).
        self.u16(PM + 4, 1 << 3);
        self.rw16(PM + 4, 0b11);
    }

    /// PCI 3.0, 6.8.1: 64-bit addresses, a mask for each vector.
    fn msi(&mut self, vectors: u8) {
        self.link(MSI, cap::MSI);
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
        self.link(MSIX, cap::MSIX);
        self.msix = Some(MSIX);
        self.u16(MSIX + 2, spec.msix_vectors - 1);
        self.rw16(MSIX + 2, 1 << 15 | 1 << 14);
        self.u32(MSIX + 4, spec.msix_bar.into());
        // The offset is a multiple of 8, and the three bits below it are the BAR's number.
        self.u32(MSIX + 8, spec.pending_offset() as u32 | u32::from(spec.msix_bar));
    }

    /// PCIe 3.0, 7.8: an endpoint that can be reset by function.
    fn pcie(&mut self) {
        self.link(PCIE, cap::PCIE);
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

    /// PCIe 3.0, 7.12.
    fn serial(&mut self, serial: u64) {
        self.u32(EXTENDED, 1 << 16 | u32::from(cap::SERIAL));
        self.u32(EXTENDED + 4, serial as u32);
        self.u32(EXTENDED + 8, (serial >> 32) as u32);
    }

    /// Appends a capability to the list.
    fn link(&mut self, at: usize, id: u8) {
        self.initial[self.last + 1] = at as u8;
        self.initial[at] = id;
        self.last = at;
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
