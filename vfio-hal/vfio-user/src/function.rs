//! An emulated PCI function: configuration space and MSI-X table as one.
//!
//! - [`Function`] joins [`Config`] and [`Msix`] and keeps them consistent: the control registers in one decide
//!   over the vectors in the other.
//! - [`Signal`] is an interrupt that goes out, for the caller to deliver. Nothing here calls anybody, so a
//!   caller may keep a `Function` under a lock and deliver after it let go.

use crate::check::SpecError;
use crate::config::{Changed, Config, ConfigError, WriteError};
use crate::model::AccessError;
use crate::msix::Msix;
use crate::spec::Spec;

/// An interrupt on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The message of an MSI vector.
    Msi(u32),
    /// The message of an MSI-X vector.
    MsiX(u32),
    /// The new level of the INTx pin.
    IntX(bool),
}

/// The ways to send an interrupt by message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// MSI.
    Msi,
    /// MSI-X.
    MsiX,
}

/// A saved state that is not of this function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state has {len} bytes, and this function's has {need}: it is of another device")]
pub struct RestoreError {
    /// Bytes that this function's state has.
    pub need: usize,
    /// Bytes that were given.
    pub len: usize,
}

/// Configuration space and MSI-X table of one function.
#[derive(Clone, Debug)]
pub struct Function {
    config: Config,
    msix: Option<Msix>,
    /// The level of the INTx pin that was last signalled.
    pin: bool,
}

impl Function {
    /// Returns the function as it is after power-on.
    pub fn new(spec: &Spec) -> Result<Function, SpecError> {
        Ok(Function { config: Config::new(spec)?, msix: Msix::new(spec), pin: false })
    }

    /// Puts everything back as after power-on. A pin that was asserted goes back without a signal.
    pub fn reset(&mut self) {
        self.config.reset();
        if let Some(msix) = &mut self.msix {
            msix.reset();
        }
        self.pin = false;
    }

    /// Returns everything that software can change, to be given to [`restore`](Self::restore) of an equal function.
    pub fn save(&self) -> Vec<u8> {
        let mut bytes = self.config.save();
        if let Some(msix) = &self.msix {
            msix.save(&mut bytes);
        }
        bytes
    }

    /// Takes over what [`save`](Self::save) gave. Nothing goes out because of it.
    ///
    /// # Errors
    /// When it is not of an equal function. Nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let need = self.save().len();
        if bytes.len() != need {
            return Err(RestoreError { need, len: bytes.len() });
        }
        let (config, table) = bytes.split_at(need.min(self.config.save().len()));
        self.config.restore(config);
        if let Some(msix) = &mut self.msix {
            msix.restore(table, self.config.msix_enabled(), self.config.msix_masked());
        }
        self.pin = self.config.intx();
        Ok(())
    }

    /// Returns configuration space, to look at.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the MSI-X vectors, to look at.
    pub fn msix(&self) -> Option<&Msix> {
        self.msix.as_ref()
    }

    /// Reads configuration space.
    pub fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), ConfigError> {
        self.config.read(offset, data)
    }

    /// Sets bytes of configuration space that are the model's, see [`Config::set`].
    pub fn config_set(&mut self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        self.config.set(offset, data)
    }

    /// Writes configuration space, and adds what goes out because of it to `signals`.
    pub fn config_write(
        &mut self,
        offset: u16,
        data: &[u8],
        signals: &mut Vec<Signal>,
    ) -> Result<Changed, ConfigError> {
        let changed = self.config.write(offset, data)?;
        let due = (0..32).filter(|vector| changed.msi_due & (1 << vector) != 0);
        signals.extend(due.map(Signal::Msi));
        if changed.msix {
            self.follow_msix(signals);
        }
        if changed.intx {
            signals.extend(self.settle_pin());
        }
        Ok(changed)
    }

    /// Returns whether an access to a BAR is one to the MSI-X table or its pending bits.
    pub fn msix_covers(&self, bar: u8, offset: u64) -> bool {
        self.msix.as_ref().is_some_and(|msix| msix.covers(bar, offset))
    }

    /// Reads from the MSI-X table or its pending bits.
    pub fn msix_read(&self, offset: u64, data: &mut [u8]) -> Result<(), AccessError> {
        match &self.msix {
            Some(msix) => msix.read(offset, data),
            None => Err(AccessError::Width { offset, width: data.len() }),
        }
    }

    /// Writes to the MSI-X table. Returns a vector that goes out because of it.
    pub fn msix_write(&mut self, offset: u64, data: &[u8]) -> Result<Option<Signal>, AccessError> {
        match &mut self.msix {
            Some(msix) => {
                let due = msix.write(offset, data)?;
                Ok(due.filter(|_| self.config.bus_master()).map(Signal::MsiX))
            }
            None => Err(AccessError::Width { offset, width: data.len() }),
        }
    }

    /// Raises a vector by MSI-X or MSI, whichever the driver switched on. Returns what goes out now; a masked
    /// vector pends, and without bus mastering no message leaves the function.
    pub fn raise(&mut self, vector: u32) -> Option<Signal> {
        if !self.config.bus_master() {
            return None;
        }
        if self.config.msix_enabled() {
            return self.msix.as_mut()?.raise(vector).then_some(Signal::MsiX(vector));
        }
        self.config.raise_msi(vector).then_some(Signal::Msi(vector))
    }

    /// Sets the state of the INTx interrupt. Returns the pin's level if it changed.
    pub fn set_intx(&mut self, asserted: bool) -> Option<Signal> {
        self.config.set_intx(asserted);
        self.settle_pin()
    }

    /// Returns whether any interrupt by message is switched on.
    pub fn messages_enabled(&self) -> bool {
        self.config.msix_enabled() || self.config.msi_enabled()
    }

    /// Switches MSI or MSI-X, as an operating system does that sets up interrupts for a driver.
    pub fn set_messages(&mut self, kind: Messages, on: bool, signals: &mut Vec<Signal>) {
        match kind {
            Messages::Msi => self.config.set_msi_enabled(on),
            Messages::MsiX => {
                self.config.set_msix_enabled(on);
                self.follow_msix(signals);
            }
        }
        signals.extend(self.settle_pin());
    }

    /// Masks or unmasks a vector, as an operating system does. Returns the vector if it pended and goes out.
    pub fn mask(&mut self, kind: Messages, vector: u32, masked: bool) -> Option<Signal> {
        let master = self.config.bus_master();
        match kind {
            Messages::Msi => self.config.mask_msi(vector, masked).then_some(Signal::Msi(vector)),
            Messages::MsiX => {
                let due = self.msix.as_mut()?.mask(vector, masked);
                (due && master).then_some(Signal::MsiX(vector))
            }
        }
    }

    /// Switches bus mastering, as a write to the command register does.
    pub fn set_bus_master(&mut self, on: bool) {
        self.config.set_bus_master(on);
    }

    /// Switches memory and I/O access, as a write to the command register does.
    pub fn set_access(&mut self, on: bool) {
        self.config.set_access(on);
    }

    fn follow_msix(&mut self, signals: &mut Vec<Signal>) {
        let (enabled, masked) = (self.config.msix_enabled(), self.config.msix_masked());
        let due = self.msix.as_mut().map(|msix| msix.set_control(enabled, masked)).unwrap_or_default();
        if self.config.bus_master() {
            signals.extend(due.into_iter().map(Signal::MsiX));
        }
    }

    fn settle_pin(&mut self) -> Option<Signal> {
        let level = self.config.intx();
        (core::mem::replace(&mut self.pin, level) != level).then_some(Signal::IntX(level))
    }
}
