//! PCI Express: what the device is, its link, function-level reset (PCIe 7.5.3).

use core::time::Duration;

use super::capability::id;
use super::config::Config;
use super::error::ConfigError;
use crate::clock::{Clock, Deadline};
use crate::device::DeviceError;
use crate::dma::Quiesced;

/// What the PCI Express capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Express {
    /// Where the capability is, in bytes.
    pub offset: u16,
    /// The version of its layout, 2 in current devices.
    pub version: u8,
    /// What the device is.
    pub port_type: PortType,
    /// The largest payload it can take, in bytes.
    pub max_payload: u16,
    /// It supports function-level reset.
    pub flr: bool,
    /// Its link as it is now; all 0 for a device within the root complex, which has none.
    pub link: Link,
}

/// What a PCI Express function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortType {
    /// An endpoint.
    Endpoint,
    /// An endpoint of the legacy kind.
    LegacyEndpoint,
    /// An endpoint within the root complex.
    RootComplexEndpoint,
    /// A port, bridge or event collector: not a device to drive, by its number in the capability.
    Other(u8),
}

/// The state of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The generation: 1 2.5 GT/s, 2 5 GT/s, 3 8 GT/s, 4 16 GT/s, 5 32 GT/s.
    pub speed: u8,
    /// How many lanes.
    pub width: u8,
}

/// PCIe 6.6.2: a function is ready 100 ms after its reset was set off.
const FLR_TIME: Duration = Duration::from_millis(100);
/// PCIe 2.3.1 and 6.6.2: for up to 1 s after that a function may answer configuration requests with "retry".
const RETRY_LIMIT: Duration = Duration::from_secs(1);
/// What a root complex returns as the vendor id of such a function (PCIe 2.3.2).
const RETRY: u16 = 0x0001;

/// A header's registers that a reset clears and software had set: BARs, ROM, cache line and interrupt line.
const HEADER: [u16; 9] = [0x0c, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, 0x3c];

impl Config {
    /// Returns what the PCI Express capability says.
    pub fn express(&self) -> Result<Express, ConfigError> {
        let offset = self.require(id::EXPRESS, "PCI Express", 20)?;
        let (flags, capabilities) = (self.read_u16(offset + 2)?, self.read_u32(offset + 4)?);
        let port_type = match (flags >> 4 & 0xf) as u8 {
            0 => PortType::Endpoint,
            1 => PortType::LegacyEndpoint,
            9 => PortType::RootComplexEndpoint,
            other => PortType::Other(other),
        };
        let payload = capabilities & 7;
        if payload > 5 {
            return Err(ConfigError::Reserved { what: "the largest payload", value: payload });
        }
        let link = match port_type {
            PortType::RootComplexEndpoint => 0,
            _ => self.read_u16(offset + 18)?,
        };
        Ok(Express {
            offset,
            version: (flags & 0xf) as u8,
            port_type,
            max_payload: 128 << payload,
            flr: capabilities & 1 << 28 != 0,
            link: Link { speed: (link & 0xf) as u8, width: (link >> 4 & 0x3f) as u8 },
        })
    }

    /// Returns whether a request that the device started has not been answered yet.
    pub fn transactions_pending(&self) -> Result<bool, ConfigError> {
        let Express { offset, .. } = self.express()?;
        Ok(self.read_u16(offset + 10)? & 1 << 5 != 0)
    }

    /// Resets the function (FLR, PCIe 6.6.2) and restores the BARs, the command register and the device control
    /// registers. The device makes no access to memory afterwards, until it is programmed anew.
    ///
    /// Not for devices that an operating system's backend opened: there [`Device::reset`](crate::Device::reset)
    /// does this and more.
    pub fn function_reset(&mut self, clock: &dyn Clock) -> Result<Quiesced, ConfigError> {
        let Express { offset, version, flr, .. } = self.express()?;
        if !flr {
            return Err(DeviceError::Unsupported { what: "function-level reset" }.into());
        }
        if version >= 2 {
            self.require(id::EXPRESS, "PCI Express", 60)?;
        }
        let mut header = [0; HEADER.len()];
        for (value, at) in header.iter_mut().zip(HEADER) {
            *value = self.read_u32(at)?;
        }
        let (command, control) = (self.command()?, self.read_u16(offset + 8)?);
        // Device control 2 is part of the capability from version 2 on.
        let control2 = if version >= 2 { Some(self.read_u16(offset + 40)?) } else { None };

        // Bus mastering off first, so that what is pending can drain.
        self.write_u16(0x04, 1 << 10)?;
        let drained = Deadline::after(clock, FLR_TIME);
        while self.transactions_pending()? && !drained.passed(clock) {
            clock.wait(Duration::from_millis(1));
        }
        self.write_u16(offset + 8, control | 1 << 15)?;
        clock.wait(FLR_TIME);
        let ready = Deadline::after(clock, RETRY_LIMIT);
        while matches!(self.read_u16(0x00)?, RETRY | 0xffff) {
            if ready.passed(clock) {
                let millis = (FLR_TIME + RETRY_LIMIT).as_millis() as u32;
                return Err(DeviceError::Timeout { what: "function-level reset", millis }.into());
            }
            clock.wait(Duration::from_millis(10));
        }

        self.write_u16(offset + 8, control & !(1 << 15))?;
        if let Some(control2) = control2 {
            self.write_u16(offset + 40, control2)?;
        }
        for (value, at) in header.into_iter().zip(HEADER) {
            self.write_u32(at, value)?;
        }
        // Memory decoding back on, bus mastering not: that is the driver's next step.
        self.write_u16(0x04, command.with_bus_master(false).bits())?;
        Ok(Quiesced(self.lost().clone()))
    }
}
