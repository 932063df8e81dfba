//! Links through an SFP+ cage (82599 datasheet 3.7.4.2, 4.6.4.3).
//!
//! The analog core is first told about the kind of module, with values that the board's maker put into the EEPROM.
//! 10 Gb/s over SFI is not negotiated; where a module can do 1 Gb/s as well, both speeds are tried.

use core::time::Duration;

use vfio_hal::pmd::PortError;

use super::autoc::{self, mode};
use super::{LinkConfig, Speeds, flush, laser, wait};
use crate::eeprom::{self, Nvm};
use crate::hw::Hw;
use crate::phy::{Module, ModuleKind};
use crate::regs::{AUTOC, AUTOC2, CORECTL, ESDP, STATUS};
use crate::semaphore::{Held, Resource};

/// How long a partner may take at 10 Gb/s (IEEE 802.3ap 73.10.2 for KR; DPDK uses it for SFI too).
const PARTNER_10G: Duration = Duration::from_millis(1_000);
/// At 1 Gb/s.
const PARTNER_1G: Duration = Duration::from_millis(100);

/// Sets the link up for the module in the cage and switches its laser on.
pub(super) fn setup(hw: &mut Hw, config: &LinkConfig, module: &Module) -> Result<(), PortError> {
    if module.kind() == ModuleKind::Absent {
        log::info!("{}: its SFP+ cage is empty", hw.device.name());
        return Ok(());
    }
    let speeds = config.choose(module.speeds())?;
    tell_analog_core(hw, module.kind())?;
    if module.speeds().count() > 1 {
        return try_both(hw, config, speeds);
    }
    laser::enable(hw)?;
    set_speed(hw, speeds, config.autoneg)
}

/// Tries the higher of two speeds, then the lower; without a partner it stays at the higher, ready for one.
fn try_both(hw: &mut Hw, config: &LinkConfig, speeds: Speeds) -> Result<(), PortError> {
    if speeds.count() == 1 {
        return attempt(hw, speeds, config.autoneg);
    }
    attempt(hw, Speeds::GB10, config.autoneg)?;
    if wait(hw, PARTNER_10G)?.up {
        return Ok(());
    }
    attempt(hw, Speeds::GB1, config.autoneg)?;
    if wait(hw, PARTNER_1G)?.up {
        return Ok(());
    }
    attempt(hw, Speeds::GB10, config.autoneg)
}

fn attempt(hw: &mut Hw, speed: Speeds, autoneg: bool) -> Result<(), PortError> {
    let fast = speed == Speeds::GB10;
    /// Bit 5 of the direction field: SDP5, the rate select, is an output.
    const SDP5: u32 = 1 << 5;
    hw.regs.modify(|esdp: ESDP| esdp.with_sdp5(fast).with_iodir(esdp.iodir() | SDP5));
    flush(hw);
    // The module's receiver changes its bandwidth.
    hw.wait_millis(40);
    set_speed(hw, speed, autoneg)?;
    laser::flap(hw)?;
    Ok(())
}

/// Chooses the speed of the SFI port and restarts the link.
fn set_speed(hw: &Hw, speed: Speeds, autoneg: bool) -> Result<(), PortError> {
    /// AUTOC2: 10 Gb/s serial is SFI.
    const SFI: u32 = 2;
    let autoc = hw.regs.read::<AUTOC>();
    let autoc2 = hw.regs.read::<AUTOC2>();
    hw.check()?;
    let lms = match (speed, autoneg) {
        (Speeds::GB10, _) => mode::SERIAL_10G,
        (_, true) => mode::NEGOTIATED_1G,
        (_, false) => mode::FORCED_1G,
    };
    if lms == mode::SERIAL_10G && autoc2.pma_pmd_10g_serial() != SFI {
        return Err(PortError::Unsupported {
            what: "10 Gb/s with this board: its EEPROM does not choose SFI (AUTOC2)",
        });
    }
    // 1 Gb/s over SFI; the other value is KX.
    autoc::write(hw, autoc.with_lms(lms).with_pma_pmd_1g(false))
}

/// Writes to the analog core what the EEPROM lists for this kind of module (6.3.11; Linux and DPDK: SFP init
/// sequence).
///
/// The list has pairs of a kind and a pointer, up to FFFFh. What is pointed to is a word that is skipped, then
/// values for CORECTL up to FFFFh.
fn tell_analog_core(hw: &Hw, kind: ModuleKind) -> Result<(), PortError> {
    const END: u16 = 0xffff;
    /// More kinds than there are numbers for in drivers.
    const MOST_KINDS: u32 = 64;
    const MOST_VALUES: u32 = 1024;
    let endless = PortError::Invalid {
        what: "the EEPROM's list of what modules need has no end: the device's NVM is damaged",
    };
    let port = u16::from(hw.regs.read::<STATUS>().lan_id() != 0);
    let number = port
        + match kind {
            ModuleKind::PassiveCable => 3,
            // Optics, and whatever has a limiting output like them.
            _ => 5,
        };
    let nvm = Nvm::open(hw)?;
    let Some(list) = nvm.pointer(eeprom::at::MODULE_SETUP)? else {
        log::debug!("{}: the EEPROM lists nothing that modules need", hw.device.name());
        return Ok(());
    };
    let last = nvm.len() - 1;
    let mut entries = (list + 1..last).step_by(2).take(MOST_KINDS as usize);
    let values = loop {
        let entry = entries.next().ok_or(endless)?;
        match nvm.word(entry)? {
            END => {
                return Err(PortError::Module {
                    reason: "the board's EEPROM has no set-up for this kind of module",
                });
            }
            kind if kind == number => break nvm.pointer(entry + 1)?,
            _ => {}
        }
    };
    let values =
        values.ok_or(PortError::Module { reason: "the board's EEPROM forbids this kind of module" })?;
    let held = Held::take(hw, Resource::MacCsr)?;
    for at in (values + 1..=last).take(MOST_VALUES as usize) {
        let value = nvm.word(at)?;
        if value == END {
            drop(held);
            // Firmware wants the semaphore too, and AUTOC is next (Linux, DPDK).
            hw.wait_millis(10);
            return Ok(());
        }
        hw.regs.write(CORECTL::new(value.into()));
        flush(hw);
        hw.wait_micros(10);
    }
    Err(endless)
}
