//! Configuration space of an emulated PCI Express function.
//!
//! - [`Config`] is the bytes, 4,096 of PCI Express and 256 of conventional PCI, made from a [`Spec`]: header, BARs
//!   that can be sized, capabilities. It tells what the driver switched on: memory, bus mastering, interrupts, power.
//! - [`Part`] says who answers for a piece of it: this emulation, or the model.
//! - [`Changed`] is what a write had as consequences for the rest of the device.
//! - [`cap`] has the capabilities' numbers.
//!
//! [`Function`](crate::Function) joins it with the table that MSI-X has in a BAR. Nothing here calls anybody.

use crate::check::SpecError;
use crate::spec::{BarKind, Spec};

mod layout;
mod msi;
mod places;

use layout::{Layout, Owner};
pub(crate) use places::check as check_capabilities;

/// Capability numbers.
pub mod cap {
    /// Power management.
    pub const PM: u8 = 0x01;
    /// Message-signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// PCI Express.
    pub const PCIE: u8 = 0x10;
    /// Extended message-signalled interrupts.
    pub const MSIX: u8 = 0x11;
    /// Device serial number (extended).
    pub const SERIAL: u16 = 0x0003;
}

/// Bytes of configuration space, at most.
pub const CONFIG_BYTES: u16 = 4096;

const COMMAND: usize = 0x04;
const COMMAND_IO: u16 = 1 << 0;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;
const COMMAND_NO_INTX: u16 = 1 << 10;
const STATUS: usize = 0x06;
const STATUS_INTX: u16 = 1 << 3;
/// Offsets inside of capabilities.
const PM_CONTROL: usize = 4;
const PCIE_DEVICE_CONTROL: usize = 8;
const DEVICE_CONTROL_FLR: u16 = 1 << 15;
const MSIX_CONTROL: usize = 2;
const MSIX_MASKED: u16 = 1 << 14;
const MSIX_ENABLED: u16 = 1 << 15;

/// An access outside of configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration space has no {len} bytes at offset {offset:#x}")]
pub struct ConfigError {
    /// The first byte of the access.
    pub offset: u16,
    /// The bytes of the access.
    pub len: usize,
}

/// What a write to configuration space calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The driver asked for a function-level reset. It is up to the caller to reset the device and this.
    pub reset: bool,
    /// Memory, I/O or bus mastering was switched, or the power state.
    pub access: bool,
    /// The MSI-X enable or function mask bit changed.
    pub msix: bool,
    /// MSI was switched on or off.
    pub msi: bool,
    /// MSI vectors that pended and are free to go now, as bits.
    pub msi_due: u32,
    /// The level of the INTx pin may have changed.
    pub intx: bool,
}

/// A piece of an access, and who answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The bytes of the access, from its start.
    pub range: core::ops::Range<usize>,
    /// The model answers; otherwise this emulation does.
    pub model: bool,
}

/// Why a write to configuration space does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Outside of it.
    #[error("{0}")]
    Range(#[from] ConfigError),
    /// Neither header nor capability, and the model does not answer for it.
    #[error("nothing answers for offset {offset:#x} of configuration space")]
    Unclaimed {
        /// The first byte that nobody answers for.
        offset: u16,
    },
    /// In a capability that software only reads.
    #[error("the capability at offset {offset:#x} of configuration space is read-only")]
    ReadOnly {
        /// The first byte of it.
        offset: u16,
    },
    /// In what the function emulates, which a model cannot set past it.
    #[error("offset {offset:#x} of configuration space is emulated: write it as software does")]
    Emulated {
        /// The first byte of it.
        offset: u16,
    },
}

/// Configuration space.
#[derive(Clone)]
pub struct Config {
    bytes: Box<[u8]>,
    layout: Layout,
}

impl Config {
    /// Builds configuration space as it is after power-on.
    pub fn new(spec: &Spec) -> Result<Config, SpecError> {
        spec.check()?;
        let layout = Layout::new(spec)?;
        Ok(Config { bytes: layout.initial.clone(), layout })
    }

    /// Puts everything back as after power-on.
    pub fn reset(&mut self) {
        self.bytes.copy_from_slice(&self.layout.initial);
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// Takes the bits over that software or the function can change.
    pub(crate) fn restore(&mut self, bytes: &[u8]) {
        for (at, &new) in bytes.iter().enumerate().take(self.bytes.len()) {
            let own = self.layout.owners[at] == Owner::Function;
            let changing = if own { self.layout.writable[at] | self.layout.clear[at] } else { 0xff };
            self.bytes[at] = (self.layout.initial[at] & !changing) | (new & changing);
        }
        self.restore_msi_pending(bytes);
        self.set_bits(
            STATUS,
            STATUS_INTX,
            bytes.get(STATUS).is_some_and(|status| status & STATUS_INTX as u8 != 0),
        );
    }

    /// Reads any number of bytes, at any alignment.
    pub fn read(&self, offset: u16, data: &mut [u8]) -> Result<(), ConfigError> {
        let bytes = self.bytes.get(self.range(offset, data.len())?).unwrap_or_default();
        data.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes any number of bytes, at any alignment. Read-only bits keep their value.
    pub fn write(&mut self, offset: u16, data: &[u8]) -> Result<Changed, ConfigError> {
        let range = self.range(offset, data.len())?;
        let before = Watch::of(self);
        let reset = self.asks_for_reset(range.start, data);
        for (at, &new) in range.clone().zip(data) {
            let (writable, clear) = (self.layout.writable[at], self.layout.clear[at]);
            let old = self.bytes[at];
            self.bytes[at] = ((old & !writable) | (new & writable)) & !(new & clear);
        }
        self.settle_power(before.power);
        let after = Watch::of(self);
        Ok(Changed {
            reset,
            access: (before.command ^ after.command) & (COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER) != 0
                || before.power != after.power,
            msix: before.msix != after.msix,
            msi: before.msi != after.msi,
            msi_due: self.take_due(),
            intx: before.intx != after.intx,
        })
    }

    /// Returns who answers for which pieces of an access, in order, if it can be done.
    ///
    /// # Errors
    /// When a write reaches what cannot be written.
    pub fn parts(&self, offset: u16, len: usize, write: bool) -> Result<Vec<Part>, WriteError> {
        let range = self.range(offset, len)?;
        let mut parts: Vec<Part> = Vec::new();
        for at in range.clone() {
            let model = match self.layout.owners[at] {
                _ if self.layout.always => true,
                Owner::Nobody if write => return Err(WriteError::Unclaimed { offset: at as u16 }),
                Owner::ReadOnly if write => return Err(WriteError::ReadOnly { offset: at as u16 }),
                owner => owner == Owner::Model,
            };
            let here = at - range.start;
            match parts.last_mut() {
                Some(part) if part.model == model => part.range.end = here + 1,
                _ => parts.push(Part { range: here..here + 1, model }),
            }
        }
        Ok(parts)
    }

    /// Sets bytes that the function does not emulate: those of the model's capabilities, and those that are neither header
    /// nor capability.
    ///
    /// # Errors
    /// When it reaches others. Nothing has changed then.
    pub fn set(&mut self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        let range = self.range(offset, data.len())?;
        let mut all = range.clone();
        if let Some(at) = all.find(|&at| self.layout.owners[at] == Owner::Function) {
            return Err(WriteError::Emulated { offset: at as u16 });
        }
        self.bytes[range].copy_from_slice(data);
        Ok(())
    }

    /// Returns the bytes of configuration space.
    pub fn bytes(&self) -> u16 {
        // No more than `CONFIG_BYTES`.
        self.bytes.len() as u16
    }

    /// Returns where the first capability with this number starts.
    pub fn capability(&self, id: u8) -> Option<u16> {
        self.layout.find(false, id.into(), None).map(|at| at as u16)
    }

    /// Returns where the next capability with this number starts, in the list's order, after the one at `after`.
    /// `None` also if no capability starts at `after`.
    pub fn capability_after(&self, id: u8, after: u16) -> Option<u16> {
        self.layout.find(false, id.into(), Some(after.into())).map(|at| at as u16)
    }

    /// Returns where the first extended capability with this number starts.
    pub fn extended_capability(&self, id: u16) -> Option<u16> {
        self.layout.find(true, id, None).map(|at| at as u16)
    }

    /// Returns where the next extended capability with this number starts, as
    /// [`capability_after`](Self::capability_after) does.
    pub fn extended_capability_after(&self, id: u16, after: u16) -> Option<u16> {
        self.layout.find(true, id, Some(after.into())).map(|at| at as u16)
    }

    /// Returns whether memory BARs answer: the memory enable bit is set and the function is powered.
    pub fn memory_enabled(&self) -> bool {
        self.u16(COMMAND) & COMMAND_MEMORY != 0 && self.power_state() == 0
    }

    /// Returns whether I/O BARs answer: the I/O enable bit is set and the function is powered.
    pub fn io_enabled(&self) -> bool {
        self.u16(COMMAND) & COMMAND_IO != 0 && self.power_state() == 0
    }

    /// Returns whether the expansion ROM is switched on. Clients of VFIO read it without that.
    pub fn rom_enabled(&self) -> bool {
        self.memory_enabled() && self.u16(0x30) & 1 != 0
    }

    /// Returns whether the function may start transactions: DMA, and interrupts by message.
    pub fn bus_master(&self) -> bool {
        self.u16(COMMAND) & COMMAND_MASTER != 0 && self.power_state() == 0
    }

    /// Switches bus mastering, as a write to the command register does.
    pub fn set_bus_master(&mut self, on: bool) {
        self.set_bits(COMMAND, COMMAND_MASTER, on);
    }

    /// Switches memory and I/O access, as far as there are such BARs, as a write to the command register does.
    pub fn set_access(&mut self, on: bool) {
        let there = u16::from_le_bytes([self.layout.writable[COMMAND], self.layout.writable[COMMAND + 1]]);
        self.set_bits(COMMAND, (COMMAND_MEMORY | COMMAND_IO) & there, on);
    }

    /// Returns the power state: 0 for D0, 3 for D3hot.
    pub fn power_state(&self) -> u8 {
        self.layout.pm.map_or(0, |at| self.bytes[at + PM_CONTROL] & 0b11)
    }

    /// Returns the address that BAR `index` was given, `None` where no BAR starts.
    pub fn bar_address(&self, index: u8) -> Option<u64> {
        let kind = *self.layout.bars.get(usize::from(index))?;
        let at = 0x10 + 4 * usize::from(index);
        let low = u64::from(self.u32(at));
        Some(match kind? {
            BarKind::Io => low & !0b11,
            BarKind::Memory32 => low & !0b1111,
            BarKind::Memory64 | BarKind::Memory64Prefetchable => {
                (low & !0b1111) | (u64::from(self.u32(at + 4)) << 32)
            }
        })
    }

    /// Returns whether MSI-X is switched on.
    pub fn msix_enabled(&self) -> bool {
        self.msix_control() & MSIX_ENABLED != 0
    }

    /// Returns whether all MSI-X vectors are masked at once.
    pub fn msix_masked(&self) -> bool {
        self.msix_control() & MSIX_MASKED != 0
    }

    /// Switches MSI-X, as a write to its control register does.
    pub fn set_msix_enabled(&mut self, on: bool) {
        if let Some(at) = self.layout.msix {
            self.set_bits(at + MSIX_CONTROL, MSIX_ENABLED, on);
        }
    }

    /// Sets the state of the INTx interrupt, which software reads in the status register.
    pub fn set_intx(&mut self, asserted: bool) {
        self.set_bits(STATUS, STATUS_INTX, asserted);
    }

    /// Returns the level of the INTx pin. A function that sends messages leaves its pin alone.
    pub fn intx(&self) -> bool {
        let messages = self.msi_enabled() || self.msix_enabled();
        self.u16(STATUS) & STATUS_INTX != 0 && self.u16(COMMAND) & COMMAND_NO_INTX == 0 && !messages
    }

    fn msix_control(&self) -> u16 {
        self.layout.msix.map_or(0, |at| self.u16(at + MSIX_CONTROL))
    }

    /// Returns whether a write sets the bit that starts a function-level reset. It always reads 0.
    fn asks_for_reset(&self, start: usize, data: &[u8]) -> bool {
        let [_, high] = DEVICE_CONTROL_FLR.to_le_bytes();
        let Some(pcie) = self.layout.pcie else { return false };
        let at = pcie + PCIE_DEVICE_CONTROL + 1;
        at.checked_sub(start).and_then(|at| data.get(at)).is_some_and(|byte| byte & high != 0)
    }

    /// D1 and D2 are not implemented: a write that asks for them leaves the state (PCI PM 1.2, 3.2.4).
    fn settle_power(&mut self, before: u8) {
        if let Some(at) = self.layout.pm
            && matches!(self.power_state(), 1 | 2)
        {
            self.bytes[at + PM_CONTROL] = (self.bytes[at + PM_CONTROL] & !0b11) | before;
        }
    }

    fn range(&self, offset: u16, len: usize) -> Result<core::ops::Range<usize>, ConfigError> {
        let start = usize::from(offset);
        match start.checked_add(len) {
            Some(end) if end <= self.bytes.len() => Ok(start..end),
            _ => Err(ConfigError { offset, len }),
        }
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | (u32::from(self.u16(at + 2)) << 16)
    }

    fn set_bits(&mut self, at: usize, bits: u16, on: bool) {
        let old = self.u16(at);
        let new = if on { old | bits } else { old & !bits };
        self.bytes[at..at + 2].copy_from_slice(&new.to_le_bytes());
    }
}

impl core::fmt::Debug for Config {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Config")
            .field("command", &self.u16(COMMAND))
            .field("power_state", &self.power_state())
            .finish_non_exhaustive()
    }
}

/// What a write is compared by.
struct Watch {
    command: u16,
    power: u8,
    msix: u16,
    msi: bool,
    intx: bool,
}

impl Watch {
    fn of(config: &Config) -> Watch {
        Watch {
            command: config.u16(COMMAND),
            power: config.power_state(),
            msix: config.msix_control() & (MSIX_ENABLED | MSIX_MASKED),
            msi: config.msi_enabled(),
            intx: config.intx(),
        }
    }
}
