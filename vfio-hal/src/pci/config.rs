//! The owner of a device's configuration space.

use alloc::sync::Arc;
use core::fmt;

use super::error::ConfigError;
use super::header::{BarInfo, BarKind, Class, Command, Ids, Status};
use crate::device::{Device, DeviceError, Lost};

/// The configuration space of one device.
///
/// Make one per device: a second one could change a register between the read and the write of the first.
pub struct Config {
    device: Arc<dyn Device>,
}

/// How many BARs an ordinary device's header has.
const BARS: usize = 6;

impl Config {
    /// Returns the configuration space of `device`.
    pub fn new(device: Arc<dyn Device>) -> Config {
        Config { device }
    }

    /// Returns the device's latch.
    pub(super) fn lost(&self) -> &Lost {
        self.device.lost()
    }

    /// Reads a byte.
    pub fn read_u8(&self, offset: u16) -> Result<u8, DeviceError> {
        self.read(offset).map(u8::from_le_bytes)
    }

    /// Reads a word of 16 bits.
    pub fn read_u16(&self, offset: u16) -> Result<u16, DeviceError> {
        self.read(offset).map(u16::from_le_bytes)
    }

    /// Reads a word of 32 bits.
    pub fn read_u32(&self, offset: u16) -> Result<u32, DeviceError> {
        self.read(offset).map(u32::from_le_bytes)
    }

    /// Reads `data.len()` bytes.
    pub fn read_bytes(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.device.config_read(offset, data)
    }

    /// Writes a byte.
    pub fn write_u8(&mut self, offset: u16, value: u8) -> Result<(), DeviceError> {
        self.device.config_write(offset, &value.to_le_bytes())
    }

    /// Writes a word of 16 bits.
    pub fn write_u16(&mut self, offset: u16, value: u16) -> Result<(), DeviceError> {
        self.device.config_write(offset, &value.to_le_bytes())
    }

    /// Writes a word of 32 bits.
    pub fn write_u32(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.device.config_write(offset, &value.to_le_bytes())
    }

    /// Returns vendor, device, subsystem and revision; [`Lost`](DeviceError::Lost) if nobody answers.
    pub fn ids(&self) -> Result<Ids, ConfigError> {
        let (vendor, device) = (self.read_u16(0x00)?, self.read_u16(0x02)?);
        // No vendor has FFFFh: it is what a read of an empty place gives (PCI 6.1).
        if vendor == 0xffff {
            return Err(DeviceError::Lost.into());
        }
        // Only ordinary devices have a subsystem in the header (PCI 6.1).
        let subsystem = match self.header_type()? {
            0 => Some((self.read_u16(0x2c)?, self.read_u16(0x2e)?)),
            _ => None,
        };
        Ok(Ids { vendor, device, subsystem, revision: self.read_u8(0x08)? })
    }

    /// Returns the class code.
    pub fn class(&self) -> Result<Class, ConfigError> {
        let [interface, sub, base] = self.read(0x09)?;
        Ok(Class { base, sub, interface })
    }

    /// Returns the header type, 0 for ordinary devices and 1 for bridges, without the multi-function bit.
    pub fn header_type(&self) -> Result<u8, ConfigError> {
        Ok(self.read_u8(0x0e)? & 0x7f)
    }

    /// Returns whether the device has several functions.
    pub fn multi_function(&self) -> Result<bool, ConfigError> {
        Ok(self.read_u8(0x0e)? & 0x80 != 0)
    }

    /// Returns the command register.
    pub fn command(&self) -> Result<Command, ConfigError> {
        Ok(Command::new(self.read_u16(0x04)?))
    }

    /// Reads the command register, changes the value and writes it back.
    pub fn modify_command(&mut self, change: impl FnOnce(Command) -> Command) -> Result<(), ConfigError> {
        let command = change(self.command()?);
        Ok(self.write_u16(0x04, command.bits())?)
    }

    /// Returns the status register.
    pub fn status(&self) -> Result<Status, ConfigError> {
        Ok(Status::new(self.read_u16(0x06)?))
    }

    /// Clears the error bits of the status register that are set in `errors`.
    pub fn clear_status(&mut self, errors: Status) -> Result<(), ConfigError> {
        Ok(self.write_u16(0x06, errors.bits())?)
    }

    /// Returns the legacy interrupt pin: 0 none, 1 to 4 for A to D.
    pub fn interrupt_pin(&self) -> Result<u8, ConfigError> {
        match self.read_u8(0x3d)? {
            pin @ 0..=4 => Ok(pin),
            pin => Err(ConfigError::Reserved { what: "the interrupt pin", value: pin.into() }),
        }
    }

    /// Returns the BARs by their number; `None` where there is none, or in the upper half of a 64-bit one. A BAR
    /// that nobody has given an address is `None` too: it cannot be told from none.
    pub fn bars(&self) -> Result<[Option<BarInfo>; 6], ConfigError> {
        let count = match self.header_type()? {
            0 => BARS,
            1 => 2,
            _ => 0,
        };
        let mut bars = [None; BARS];
        let mut index = 0;
        while index < count {
            let low = self.read_u32(bar_offset(index))?;
            let kind = BarKind::of(index as u8, low)?;
            let high = match kind {
                BarKind::Memory64 if index + 1 == count => {
                    return Err(ConfigError::Reserved { what: "the last BAR's type", value: low });
                }
                BarKind::Memory64 => self.read_u32(bar_offset(index + 1))?,
                BarKind::Memory32 | BarKind::Io => 0,
            };
            let address = u64::from(high) << 32 | u64::from(low & kind.address_mask());
            if low != 0 || high != 0 {
                let prefetchable = kind != BarKind::Io && low & 8 != 0;
                bars[index] = Some(BarInfo { index: index as u8, kind, prefetchable, address });
            }
            index += if kind == BarKind::Memory64 { 2 } else { 1 };
        }
        Ok(bars)
    }

    /// Returns the size of a BAR in bytes, 0 if there is none. It is found by writing to the BAR (PCI 6.2.5.1), so
    /// nobody may use the device meanwhile; the BAR and the command register are as before afterwards.
    pub fn bar_size(&mut self, index: u8) -> Result<u64, ConfigError> {
        let slot = usize::from(index);
        let count = if self.header_type()? == 1 { 2 } else { BARS };
        if slot >= count {
            return Err(DeviceError::NoBar { index }.into());
        }
        let (command, low) = (self.command()?, self.read_u32(bar_offset(slot))?);
        let kind = BarKind::of(index, low)?;
        if kind == BarKind::Memory64 && slot + 1 == count {
            return Err(ConfigError::Reserved { what: "the last BAR's type", value: low });
        }
        // With decoding off, the address that the probe makes up is nobody's.
        self.write_u16(0x04, command.with_memory(false).with_io(false).bits())?;
        let probe = self.probe(slot, kind);
        self.write_u16(0x04, command.bits())?;
        let mask = probe?;
        Ok(mask & mask.wrapping_neg())
    }

    /// Returns which address bits of a BAR can be set.
    fn probe(&mut self, slot: usize, kind: BarKind) -> Result<u64, ConfigError> {
        let mut half = |slot: usize| -> Result<u32, ConfigError> {
            let before = self.read_u32(bar_offset(slot))?;
            self.write_u32(bar_offset(slot), u32::MAX)?;
            let mask = self.read_u32(bar_offset(slot));
            self.write_u32(bar_offset(slot), before)?;
            Ok(mask?)
        };
        let low = half(slot)? & kind.address_mask();
        let high = match kind {
            BarKind::Memory64 => half(slot + 1)?,
            // 16-bit I/O decoders read 0 above (PCI 6.2.5.1); a size has one bit anyway.
            BarKind::Memory32 | BarKind::Io => 0,
        };
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    pub(super) fn read<const N: usize>(&self, offset: u16) -> Result<[u8; N], DeviceError> {
        let mut bytes = [0; N];
        self.device.config_read(offset, &mut bytes)?;
        Ok(bytes)
    }
}

fn bar_offset(index: usize) -> u16 {
    // At most 6 of them.
    0x10 + 4 * index as u16
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("device", &self.device.name()).finish()
    }
}
