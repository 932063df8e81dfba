//! Whether a [`Spec`] describes a PCI function that can exist.

use crate::spec::{BarKind, BarSpec, Spec};

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

    /// Returns where in its BAR the MSI-X pending bits start, in bytes: in the middle, as many functions have
    /// them, or right behind a table that is larger.
    pub fn pending_offset(&self) -> u64 {
        // The capability has room for 32 bits.
        let half = self.bar(self.msix_bar).map_or(0, |bar| bar.size / 2).min(1 << 31);
        half.max(u64::from(self.msix_vectors) * 16)
    }

    /// Checks that the function can exist.
    pub fn check(&self) -> Result<(), SpecError> {
        self.check_bars()?;
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
        self.check_doorbells()
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
