//! Power management (PCI Bus Power Management 1.2, PCIe 7.5.2).

use core::time::Duration;

use super::capability::id;
use super::config::Config;
use super::error::ConfigError;
use crate::clock::Clock;

/// How much of a device is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PowerState {
    /// On.
    D0,
    /// Light sleep, if supported.
    D1,
    /// Deeper sleep, if supported.
    D2,
    /// Off but for configuration space.
    D3Hot,
}

/// What a device's power management can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerManagement {
    /// Where the capability is, in bytes.
    pub offset: u16,
    /// The version of the specification: 3 for 1.2.
    pub version: u8,
    /// D1 is supported.
    pub d1: bool,
    /// D2 is supported.
    pub d2: bool,
    /// Going from D3hot to D0 keeps the device's state.
    pub no_soft_reset: bool,
    /// The state it is in.
    pub state: PowerState,
}

impl Config {
    /// Returns what the device's power management can do and the state it is in.
    pub fn power_management(&self) -> Result<PowerManagement, ConfigError> {
        let offset = self.require(id::POWER_MANAGEMENT, "power management", 8)?;
        let (capabilities, control) = (self.read_u16(offset + 2)?, self.read_u16(offset + 4)?);
        let state = match control & 3 {
            0 => PowerState::D0,
            1 => PowerState::D1,
            2 => PowerState::D2,
            _ => PowerState::D3Hot,
        };
        Ok(PowerManagement {
            offset,
            version: (capabilities & 7) as u8,
            d1: capabilities & 1 << 9 != 0,
            d2: capabilities & 1 << 10 != 0,
            no_soft_reset: control & 1 << 3 != 0,
            state,
        })
    }

    /// Brings the device into a power state and waits as long as it needs for that.
    pub fn set_power_state(&mut self, state: PowerState, clock: &dyn Clock) -> Result<(), ConfigError> {
        let power = self.power_management()?;
        let supported = match state {
            PowerState::D0 | PowerState::D3Hot => true,
            PowerState::D1 => power.d1,
            PowerState::D2 => power.d2,
        };
        if !supported {
            return Err(ConfigError::Missing { what: "D1 or D2 power state" });
        }
        // Bit 15 clears by a written 1: leave the wake-up event alone.
        let control = self.read_u16(power.offset + 4)? & !(1 << 15 | 3) | state as u16;
        self.write_u16(power.offset + 4, control)?;
        // PCI PM 5.6.1: 10 ms to or from D3hot, 200 µs to or from D2.
        let states = [power.state, state];
        if states.contains(&PowerState::D3Hot) {
            clock.wait(Duration::from_millis(10));
        } else if states.contains(&PowerState::D2) {
            clock.wait(Duration::from_micros(200));
        }
        Ok(())
    }
}
