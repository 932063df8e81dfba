//! What is behind the MAC: an SFP+ module or a copper PHY.
//!
//! - [`identify`] says which [`Module`] is in the cage and whether the port can use it.
//! - [`module_eeprom`] reads all of the module's memory, as `ethtool -m` does.
//! - [`mdio`] speaks with the copper PHY of an X540 or X550.
//!
//! Modules are read over [`i2c`], and [`sfp`] knows what their bytes mean. Presence is decided by whether a module
//! answers: the pin that also tells (SDP2) is inverted on some boards. `link` is the user.

mod i2c;
pub(crate) mod mdio;
#[cfg(test)]
pub(crate) mod peer;
mod sfp;

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use vfio_hal::clock::Deadline;
use vfio_hal::pmd::PortError;

use crate::hw::{Hw, Media};
use crate::link::Speeds;
use i2c::{Bus, BusError};

pub use sfp::{Identification, ModuleKind, Text};

/// What is in the port's cage, and usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    identification: Option<Identification>,
    kind: ModuleKind,
}

impl Module {
    const ABSENT: Module = Module { identification: None, kind: ModuleKind::Absent };
    const FIXED: Module = Module { identification: None, kind: ModuleKind::Fixed };

    /// Returns what kind it is.
    pub fn kind(&self) -> ModuleKind {
        self.kind
    }

    /// Returns what it says about itself; `None` for an empty cage, or where there is no cage.
    pub fn identification(&self) -> Option<&Identification> {
        self.identification.as_ref()
    }

    /// Returns the speeds it can do; none where there is no module.
    pub fn speeds(&self) -> Speeds {
        self.identification.map_or(Speeds::NONE, |it| it.speeds())
    }
}

/// Intel's organisation id.
const OUI_INTEL: [u8; 3] = [0x00, 0x1b, 0x21];

/// A module may take 300 ms from its insertion until it answers (SFF-8472, t_serial); the rest is margin.
const PATIENCE: Duration = Duration::from_millis(400);

/// Bytes read in one transfer.
const CHUNK: usize = 16;

/// Finds out what is in the cage.
///
/// A [`Module`](PortError::Module) error if it cannot be used: its bus is stuck, its memory is damaged, or it is
/// something that this device does not drive. Modules of other vendors than Intel are used and logged, as DPDK does.
pub(crate) fn identify(hw: &mut Hw) -> Result<Module, PortError> {
    if hw.model.media != Media::SfpPlus {
        return Ok(Module::FIXED);
    }
    let Some(identification) = read_identification(hw)? else { return Ok(Module::ABSENT) };
    let kind = identification.kind();
    if kind == ModuleKind::Unknown {
        return Err(PortError::Module {
            reason: "it is none of 10GBASE-SR and -LR, 1000BASE-SX, -LX and -T, or a passive or active limiting cable",
        });
    }
    if identification.oui() != OUI_INTEL {
        log::info!(
            "{}: module {} {}, not tested by Intel",
            hw.device.name(),
            identification.vendor(),
            identification.part()
        );
    }
    Ok(Module { identification: Some(identification), kind })
}

/// Reads the module's memory: its page A0h, 256 bytes, and if it has diagnostics A2h, 256 more.
pub(crate) fn module_eeprom(hw: &mut Hw) -> Result<Vec<u8>, PortError> {
    if hw.model.media != Media::SfpPlus {
        return Err(PortError::Unsupported { what: "reading a module: the port has no SFP+ cage" });
    }
    let Some(identification) = read_identification(hw)? else {
        return Err(PortError::Module { reason: "the cage is empty" });
    };
    let pages: &[u8] = if identification.has_diagnostics() {
        &[i2c::IDENTIFICATION, i2c::DIAGNOSTICS]
    } else {
        &[i2c::IDENTIFICATION]
    };
    let mut memory = vec![0; 256 * pages.len()];
    for (page, bytes) in pages.iter().zip(memory.chunks_exact_mut(256)) {
        read(hw, *page, bytes, CHUNK)?;
    }
    Ok(memory)
}

/// Reads and checks the identification; `None` if the cage is empty.
fn read_identification(hw: &Hw) -> Result<Option<Identification>, PortError> {
    match wait_for_answer(hw)? {
        None => return Ok(None),
        Some(true) => {}
        Some(false) => {
            return Err(PortError::Module { reason: "it is no SFP or SFP+ module (by its identifier)" });
        }
    }
    // Some modules answer only the first byte of a transfer right: what fails its check code is read byte by byte.
    for chunk in [CHUNK, 1] {
        let mut bytes = [0; sfp::BYTES];
        read(hw, i2c::IDENTIFICATION, &mut bytes, chunk)?;
        let identification = Identification::new(bytes);
        if identification.base_valid() {
            if !identification.extended_valid() {
                log::warn!(
                    "{}: the module's serial number and diagnostics fail their check code (CC_EXT)",
                    hw.device.name()
                );
            }
            return Ok(Some(identification));
        }
    }
    Err(PortError::Module {
        reason: "its identification fails its check code (CC_BASE): reseat it, then replace it",
    })
}

/// Asks for the identifier until a module says that it is an SFP+. `None` if nothing ever answered, `false` if
/// something else did: a module whose processor still boots answers with anything.
fn wait_for_answer(hw: &Hw) -> Result<Option<bool>, PortError> {
    let deadline = Deadline::after(&*hw.clock, PATIENCE);
    loop {
        let last = deadline.passed(&*hw.clock);
        let mut identifier = [0; sfp::BYTES];
        let answer = Bus::take(hw)?.read(i2c::IDENTIFICATION, 0, &mut identifier[..1]);
        match answer {
            Ok(()) if Identification::new(identifier).is_sfp() => return Ok(Some(true)),
            Ok(()) if last => return Ok(Some(false)),
            Err(BusError::NoAnswer) if last => return Ok(None),
            Err(error @ BusError::Device(_)) => return Err(error.into()),
            Err(error) if last => return Err(error.into()),
            Ok(()) | Err(_) => hw.wait_millis(50),
        }
    }
}

/// Fills `out` from the start of a page, `chunk` bytes a transfer, each tried three times. The bus is given back
/// in between, for firmware.
fn read(hw: &Hw, page: u8, out: &mut [u8], chunk: usize) -> Result<(), PortError> {
    for (bytes, offset) in out.chunks_mut(chunk).zip((0..=u8::MAX).step_by(chunk)) {
        let mut tries = 0;
        loop {
            let done = Bus::take(hw)?.read(page, offset, bytes);
            tries += 1;
            match done {
                Ok(()) => break,
                Err(error @ BusError::Device(_)) => return Err(error.into()),
                Err(error) if tries == 3 => return Err(error.into()),
                Err(_) => hw.wait_millis(10),
            }
        }
    }
    Ok(())
}

impl From<BusError> for PortError {
    fn from(error: BusError) -> PortError {
        let reason = match error {
            BusError::Device(error) => return PortError::Device(error),
            BusError::NoAnswer => "it stopped answering while it was read: reseat it",
            BusError::ClockStuck => "the clock line of its I2C bus is held down: reseat it",
            BusError::DataStuck => "the data line of its I2C bus is held down: reseat it",
        };
        PortError::Module { reason }
    }
}

#[cfg(test)]
mod tests;
