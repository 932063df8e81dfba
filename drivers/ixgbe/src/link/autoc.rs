//! Writing AUTOC, and restarting everything behind it (82599 datasheet 4.6.4.2, 8.2.3.22.19).
//!
//! A change of AUTOC takes effect only with a reset of the whole pipeline, and that needs a restart of negotiation
//! together with a changed link mode: the mode is written with one bit flipped, then as it shall be. Where firmware
//! has its own state machine for the link (LESM), it is kept out meanwhile.

use core::time::Duration;

use vfio_hal::pmd::PortError;

use super::{flush, is_vetoed};
use crate::eeprom::{self, Nvm};
use crate::hw::Hw;
use crate::regs::{ANLP1, AUTOC, AUTOC2};
use crate::semaphore::{Held, Resource};

/// Link modes (AUTOC.LMS).
pub(super) mod mode {
    pub(crate) const FORCED_1G: u32 = 0;
    pub(crate) const FORCED_10G_PARALLEL: u32 = 1;
    pub(crate) const NEGOTIATED_1G: u32 = 2;
    pub(crate) const SERIAL_10G: u32 = 3;
    pub(crate) const BACKPLANE: u32 = 4;
    pub(crate) const SGMII: u32 = 5;
    pub(crate) const BACKPLANE_1G_AN: u32 = 6;
    pub(crate) const BACKPLANE_SGMII: u32 = 7;
}

/// Returns whether the speed is agreed on with the link partner.
pub(super) fn negotiates(autoc: AUTOC) -> bool {
    use mode::*;
    matches!(autoc.lms(), NEGOTIATED_1G | BACKPLANE | BACKPLANE_1G_AN | BACKPLANE_SGMII)
}

/// Writes AUTOC and restarts the link with it.
pub(super) fn write(hw: &Hw, autoc: AUTOC) -> Result<(), PortError> {
    if is_vetoed(hw)? {
        return Err(PortError::Unsupported {
            what: "a change of the link while management firmware forbids it",
        });
    }
    let _held = if firmware_runs_link(hw)? { Some(Held::take(hw, Resource::MacCsr)?) } else { None };
    reset_pipeline(hw, autoc)?;
    // Until it has settled, LINKS reports links that are not (Linux, DPDK).
    hw.wait_millis(50);
    Ok(())
}

fn reset_pipeline(hw: &Hw, autoc: AUTOC) -> Result<(), PortError> {
    /// The bit of the mode to flip.
    const FLIP: u32 = 4;
    let autoc2 = hw.regs.read::<AUTOC2>();
    hw.check()?;
    if autoc2.link_disable() != 0 {
        // The EEPROM may start with the link off.
        hw.regs.write(autoc2.with_link_disable(0));
        flush(hw);
    }
    let restart = autoc.with_restart_an(true);
    hw.regs.write(restart.with_lms(restart.lms() ^ FLIP));
    // ANLP1 may be of the time before for a moment.
    hw.wait_millis(4);
    let left = hw
        .poll("negotiation to leave state 0 after a pipeline reset (ANLP1)", 40)
        .every(Duration::from_millis(1))
        .register(hw.regs.single(), |anlp1: ANLP1| anlp1.an_state() != 0);
    // Also when it has not worked: the flipped mode must not stay.
    hw.regs.write(restart);
    flush(hw);
    left?;
    Ok(())
}

/// Returns whether firmware establishes links by itself (LESM), by the EEPROM (DPDK: LESM state word).
fn firmware_runs_link(hw: &Hw) -> Result<bool, PortError> {
    /// In the firmware module, the pointer to the parameters.
    const PARAMETERS: u32 = 2;
    const STATE: u32 = 1;
    const ENABLED: u16 = 1 << 15;
    let nvm = Nvm::open(hw)?;
    let inside = |at: &u32| *at < nvm.len();
    let Some(pointer) = nvm.pointer(eeprom::at::FIRMWARE)?.map(|module| module + PARAMETERS).filter(inside)
    else {
        return Ok(false);
    };
    let Some(state) = nvm.pointer(pointer)?.map(|parameters| parameters + STATE).filter(inside) else {
        return Ok(false);
    };
    // All ones is what an EEPROM reads where nothing was written.
    Ok(matches!(nvm.word(state)?, state if state != 0xffff && state & ENABLED != 0))
}
