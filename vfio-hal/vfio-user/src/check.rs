//! Whether a [`Spec`] describes a PCI function that can exist.

use crate::spec::{BarKind, BarSpec, OneWay, Spec};

/// What is wrong with a [`Spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A BAR number above 5, or a 64-bit BAR that starts at 5.
    #[error(
        "there is no room for BAR {index}: a function has BARs 0 to 5, and a 64-bit one takes two places"
    )]
    BarIndex {
        /// The BAR.
        index: u8,
    },
    /// Two BARs in one place.
    #[error("BAR {index} is there twice, or in the upper half of a 64-bit BAR")]
    BarOverlap {
        /// The BAR.
        index: u8,
    },
    /// A BAR size that no register can express.
    #[error("BAR {index} cannot have {size:#x} bytes: it must be a power of two within its kind's limits")]
    BarSize {
        /// The BAR.
        index: u8,
        /// The size in bytes.
        size: u64,
    },
    /// More vectors than PCI knows, or for MSI not a power of two.
    #[error("{vectors} {kind} vectors are not possible: up to 2,048 for MSI-X; 1, 2, 4, 8, 16 or 32 for MSI")]
    Vectors {
        /// `MSI` or `MSI-X`.
        kind: &'static str,
        /// How many were asked for.
        vectors: u16,
    },
    /// The MSI-X table and its pending bits do not fit.
    #[error("BAR {index} cannot hold the MSI-X table: it must be memory, with {need:#x} bytes")]
    MsixBar {
        /// The BAR.
        index: u8,
        /// The bytes needed.
        need: u64,
    },
    /// A doorbell that is no 32-bit register of a BAR, or that the MSI-X table covers.
    #[error(
        "no doorbell can be at offset {offset:#x} of BAR {bar}: it must be a free, aligned 32-bit register"
    )]
    Doorbell {
        /// The BAR.
        bar: u8,
        /// The offset in bytes.
        offset: u64,
    },
    /// A header that is not an endpoint's.
    #[error("a header of type {header_type} is not emulated: only 0, an endpoint's, is")]
    HeaderType {
        /// The type.
        header_type: u8,
    },
    /// A ROM size that no register can express.
    #[error("an expansion ROM cannot have {size:#x} bytes: it must be a power of two from 2 KiB to 16 MiB")]
    RomSize {
        /// The size in bytes.
        size: u64,
    },
    /// A one-way region that is not there, or is there twice.
    #[error("region {index} cannot be one-way: it is no BAR of the function, or named twice")]
    OneWay {
        /// The BAR.
        index: u8,
    },
    /// A capability's number that is reserved or that the spec's own fields make.
    #[error(
        "capability {id:#x} cannot be added: the number is reserved, or the spec's fields for vectors, type and serial make it"
    )]
    CapabilityId {
        /// The number.
        id: u16,
    },
    /// A capability that is not in its list's space, or overlaps another.
    #[error(
        "capability {id:#x} cannot be at {at:#x}: it must be a multiple of 4, end within its list's space, and be clear of the header and of other capabilities"
    )]
    CapabilityPlace {
        /// The number.
        id: u16,
        /// Where it was to be.
        at: u16,
    },
    /// No room for a capability.
    #[error("there is no room for capability {id:#x} with {len} bytes")]
    CapabilityRoom {
        /// The number.
        id: u16,
        /// Bytes, number and link included.
        len: usize,
    },
    /// The list of doorbells is not in order.
    #[error(
        "the doorbells must be sorted by BAR and offset, each once; offset {offset:#x} of BAR {bar} is not"
    )]
    DoorbellOrder {
        /// The BAR.
        bar: u8,
        /// The offset in bytes.
        offset: u64,
    },
}

impl BarKind {
    /// Returns whether the BAR is memory, not I/O ports.
    pub fn is_memory(self) -> bool {
        self != BarKind::Io
    }

    /// Returns whether the BAR takes the next one's place too.
    pub fn is_64_bit(self) -> bool {
        matches!(self, BarKind::Memory64 | BarKind::Memory64Prefetchable)
    }
}

impl Spec {
    /// Returns BAR `index`, if the function has it.
    pub fn bar(&self, index: u8) -> Option<&BarSpec> {
        self.bars.iter().find(|bar| bar.index == index)
    }

    /// Returns in which way region `index` goes, if it is only one.
    pub fn one_way(&self, index: u8) -> Option<OneWay> {
        match index {
            Spec::ROM => Some(OneWay::ReadOnly),
            _ => self.one_way.iter().find(|(bar, _)| *bar == index).map(|(_, way)| *way),
        }
    }

    /// Returns the bytes of region `index`: of a BAR, of the ROM or of the VGA addresses; 0 if it is not there.
    pub fn region_bytes(&self, index: u8) -> u64 {
        match index {
            Spec::ROM => self.rom,
            // VFIO's region ends where the VGA memory does.
            Spec::VGA => u64::from(self.vga) * 0xc_0000,
            _ => self.bar(index).map_or(0, |bar| bar.size),
        }
    }

    /// Returns where in its BAR the MSI-X pending bits start, in bytes: in the middle, as many functions have
    /// them, or right behind a table that is larger.
    pub fn pending_offset(&self) -> u64 {
        // The capability has room for 32 bits.
        let half = self.bar(self.msix_bar).map_or(0, |bar| bar.size / 2).min(1 << 31);
        half.max(u64::from(self.msix_vectors) * 16)
    }

    /// Checks that the function can exist.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.header_type != 0 {
            return Err(SpecError::HeaderType { header_type: self.header_type });
        }
        self.check_bars()?;
        self.check_one_way()?;
        // PCI 3.0, 6.2.5.2: the address has bits 31:11.
        if self.rom > 0 && !(self.rom.is_power_of_two() && (2 << 10..=16 << 20).contains(&self.rom)) {
            return Err(SpecError::RomSize { size: self.rom });
        }
        if self.msix_vectors > 2048 {
            return Err(SpecError::Vectors { kind: "MSI-X", vectors: self.msix_vectors });
        }
        if self.msi_vectors > 32 || (self.msi_vectors > 0 && !self.msi_vectors.is_power_of_two()) {
            return Err(SpecError::Vectors { kind: "MSI", vectors: self.msi_vectors.into() });
        }
        let need = self.pending_offset() + u64::from(self.msix_vectors).div_ceil(64) * 8;
        let holds = |bar: &BarSpec| bar.kind.is_memory() && need <= bar.size;
        if self.msix_vectors > 0 && !self.bar(self.msix_bar).is_some_and(holds) {
            return Err(SpecError::MsixBar { index: self.msix_bar, need });
        }
        self.check_doorbells()?;
        crate::config::check_capabilities(self)
    }

    fn check_one_way(&self) -> Result<(), SpecError> {
        for (number, &(index, _)) in self.one_way.iter().enumerate() {
            let again = self.one_way[..number].iter().any(|&(other, _)| other == index);
            if again || self.bar(index).is_none() {
                return Err(SpecError::OneWay { index });
            }
        }
        Ok(())
    }

    fn check_bars(&self) -> Result<(), SpecError> {
        let mut taken = 0u8;
        for &BarSpec { index, size, kind } in &self.bars {
            let places = if kind.is_64_bit() { 0b11 } else { 0b1 };
            if index > 5 || (kind.is_64_bit() && index > 4) {
                return Err(SpecError::BarIndex { index });
            }
            if taken & (places << index) != 0 {
                return Err(SpecError::BarOverlap { index });
            }
            taken |= places << index;
            // PCI 3.0, 6.2.5.1: memory takes 16 bytes at least, I/O 4 to 256.
            let sizes = match kind {
                BarKind::Memory32 => 16..=1 << 31,
                BarKind::Memory64 | BarKind::Memory64Prefetchable => 16..=1 << 63,
                BarKind::Io => 4..=256,
            };
            if !size.is_power_of_two() || !sizes.contains(&size) {
                return Err(SpecError::BarSize { index, size });
            }
        }
        Ok(())
    }

    fn check_doorbells(&self) -> Result<(), SpecError> {
        for &(bar, offset) in &self.doorbells {
            let inside = self.bar(bar).is_some_and(|bar| offset < bar.size);
            let pending = self.pending_offset();
            let table = bar == self.msix_bar && self.msix_vectors > 0;
            let covered = offset < u64::from(self.msix_vectors) * 16
                || (pending..pending + u64::from(self.msix_vectors).div_ceil(64) * 8).contains(&offset);
            if !inside || !offset.is_multiple_of(4) || (table && covered) {
                return Err(SpecError::Doorbell { bar, offset });
            }
        }
        match self.doorbells.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(SpecError::DoorbellOrder { bar: pair[1].0, offset: pair[1].1 }),
            None => Ok(()),
        }
    }
}
