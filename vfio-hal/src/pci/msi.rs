//! Message-signalled interrupts (PCI 6.8, PCIe 7.7).
//!
//! Under an operating system's backend the kernel owns these and [`Irqs`](crate::irq::Irqs) is the way to them;
//! a bare-metal platform programs them itself.

use super::capability::id;
use super::config::Config;
use super::error::ConfigError;

/// What a device's MSI can do and whether it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msi {
    /// Where the capability is, in bytes.
    pub offset: u16,
    /// How many vectors the device can use: 1, 2, 4, 8, 16 or 32.
    pub vectors: u8,
    /// It takes 64-bit message addresses.
    pub wide: bool,
    /// Vectors can be masked one by one.
    pub maskable: bool,
    /// It is on.
    pub enabled: bool,
}

/// What a device's MSI-X can do and whether it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiX {
    /// Where the capability is, in bytes.
    pub offset: u16,
    /// How many vectors there are, 1 to 2,048.
    pub vectors: u16,
    /// Where the table is, 16 bytes a vector.
    pub table: MsiXWindow,
    /// Where the pending bits are, 8 bytes for 64 vectors.
    pub pending: MsiXWindow,
    /// It is on.
    pub enabled: bool,
    /// All vectors are masked.
    pub masked: bool,
}

/// A place in a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiXWindow {
    /// The BAR's number, 0 to 5.
    pub bar: u8,
    /// Bytes from its start, a multiple of 8.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
}

impl Config {
    /// Returns what the device's MSI can do.
    pub fn msi(&self) -> Result<Msi, ConfigError> {
        let mut offset = self.require(id::MSI, "MSI", 10)?;
        let control = self.read_u16(offset + 2)?;
        let (wide, maskable) = (control & 1 << 7 != 0, control & 1 << 8 != 0);
        let len = 10 + if wide { 4 } else { 0 } + if maskable { 10 } else { 0 };
        offset = self.require(id::MSI, "MSI", len)?;
        let order = control >> 1 & 7;
        if order > 5 {
            return Err(ConfigError::Reserved { what: "the number of MSI vectors", value: order.into() });
        }
        Ok(Msi { offset, vectors: 1 << order, wide, maskable, enabled: control & 1 != 0 })
    }

    /// Returns what the device's MSI-X can do.
    pub fn msi_x(&self) -> Result<MsiX, ConfigError> {
        let offset = self.require(id::MSI_X, "MSI-X", 12)?;
        let control = self.read_u16(offset + 2)?;
        let vectors = (control & 0x7ff) + 1;
        let window = |at: u16, len: u32| -> Result<MsiXWindow, ConfigError> {
            let word = self.read_u32(at)?;
            match word & 7 {
                bar @ 0..=5 => Ok(MsiXWindow { bar: bar as u8, offset: word & !7, len }),
                bar => Err(ConfigError::Reserved { what: "the BAR of the MSI-X table", value: bar }),
            }
        };
        Ok(MsiX {
            offset,
            vectors,
            table: window(offset + 4, 16 * u32::from(vectors))?,
            pending: window(offset + 8, 8 * u32::from(vectors).div_ceil(64))?,
            enabled: control & 1 << 15 != 0,
            masked: control & 1 << 14 != 0,
        })
    }

    /// Switches MSI-X on or off, and all its vectors' mask.
    pub fn set_msi_x(&mut self, enabled: bool, masked: bool) -> Result<(), ConfigError> {
        let MsiX { offset, .. } = self.msi_x()?;
        let control = self.read_u16(offset + 2)? & !(1 << 15 | 1 << 14);
        Ok(self.write_u16(offset + 2, control | u16::from(enabled) << 15 | u16::from(masked) << 14)?)
    }
}
