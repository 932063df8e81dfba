//! MSI: 64-bit addresses and per-vector masks (PCI 3.0, 6.8.1).

use super::Config;

const CONTROL: usize = 2;
const ENABLED: u16 = 1 << 0;
const MASK: usize = 0x10;
const PENDING: usize = 0x14;

impl Config {
    /// Returns whether MSI is switched on.
    pub fn msi_enabled(&self) -> bool {
        self.layout.msi.is_some_and(|at| self.u16(at + CONTROL) & ENABLED != 0)
    }

    /// Switches MSI on with as many vectors as the function has, or off, as a write to its control register
    /// does.
    pub fn set_msi_enabled(&mut self, on: bool) {
        let Some(at) = self.layout.msi else { return };
        // What the function can (bits 3:1) becomes what the driver allows (bits 6:4).
        let capable = (self.u16(at + CONTROL) >> 1) & 0b111;
        self.set_bits(at + CONTROL, 0b111 << 4, false);
        self.set_bits(at + CONTROL, (capable << 4) | ENABLED, on);
    }

    /// Raises a vector. Returns whether its message goes out now; a masked vector pends until it is unmasked.
    /// Without bus mastering no message leaves the function.
    pub fn raise_msi(&mut self, vector: u32) -> bool {
        let Some(at) = self.layout.msi else { return false };
        let allowed = 1 << ((self.u16(at + CONTROL) >> 4) & 0b111).min(5);
        if !self.msi_enabled() || !self.bus_master() || vector >= allowed {
            return false;
        }
        if self.u32(at + MASK) & (1 << vector) != 0 {
            self.set_u32(at + PENDING, self.u32(at + PENDING) | (1 << vector));
            return false;
        }
        true
    }

    /// Masks or unmasks a vector, as a write to the mask register does. Returns whether a pending one goes out.
    pub fn mask_msi(&mut self, vector: u32, masked: bool) -> bool {
        let Some(at) = self.layout.msi.filter(|_| vector < 32) else { return false };
        let mask = self.u32(at + MASK);
        let bit = 1 << vector;
        self.set_u32(at + MASK, if masked { mask | bit } else { mask & !bit });
        self.take_due() & bit != 0
    }

    /// Returns the message of a vector: address and data.
    pub fn msi_message(&self, vector: u32) -> Option<(u64, u32)> {
        let at = self.layout.msi.filter(|_| vector < 32)?;
        let address = u64::from(self.u32(at + 4)) | (u64::from(self.u32(at + 8)) << 32);
        let allowed = 1 << ((self.u16(at + CONTROL) >> 4) & 0b111).min(5);
        // The function puts the vector into the low bits that the driver allowed it.
        let data = u32::from(self.u16(at + 0xc));
        Some((address, (data & !(allowed - 1)) | (vector & (allowed - 1))))
    }

    /// Takes the vectors that pend and are not masked any more.
    pub(super) fn take_due(&mut self) -> u32 {
        let Some(at) = self.layout.msi else { return 0 };
        let due = self.u32(at + PENDING) & !self.u32(at + MASK);
        self.set_u32(at + PENDING, self.u32(at + PENDING) & !due);
        if self.msi_enabled() && self.bus_master() { due } else { 0 }
    }

    /// Takes the pending bits over, which software cannot write.
    pub(super) fn restore_msi_pending(&mut self, bytes: &[u8]) {
        if let Some(at) = self.layout.msi
            && let Some(pending) = bytes.get(at + PENDING..at + PENDING + 4)
        {
            self.bytes[at + PENDING..at + PENDING + 4].copy_from_slice(pending);
        }
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}
