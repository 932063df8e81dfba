//! Links over a backplane: KX4, KR and KX (82599 datasheet 3.7.4.1, 3.7.5; IEEE 802.3ap).
//!
//! What the board is wired for stands in the EEPROM, which a reset loads into AUTOC; this module only leaves out
//! what the user does not want.

use vfio_hal::pmd::PortError;

use super::autoc::{self, mode};
use super::{LinkConfig, Speeds};
use crate::hw::Hw;
use crate::regs::{AUTOC, AUTOC2};

/// Sets the link up as the board can.
pub(super) fn setup(hw: &mut Hw, config: &LinkConfig) -> Result<(), PortError> {
    let autoc = hw.regs.read::<AUTOC>();
    let autoc2 = hw.regs.read::<AUTOC2>();
    hw.check()?;
    let speeds = config.choose(possible(autoc))?;
    let autoc = if config.autoneg { advertise(autoc, speeds) } else { force(autoc, autoc2, speeds)? };
    autoc::write(hw, autoc)
}

fn possible(autoc: AUTOC) -> Speeds {
    use mode::*;
    let negotiated = || {
        let ten = if autoc.kr_support() || autoc.kx4_support() { Speeds::GB10 } else { Speeds::NONE };
        ten | if autoc.kx_support() { Speeds::GB1 } else { Speeds::NONE }
    };
    match autoc.lms() {
        FORCED_1G | NEGOTIATED_1G => Speeds::GB1,
        FORCED_10G_PARALLEL | SERIAL_10G => Speeds::GB10,
        SGMII => Speeds::GB1 | Speeds::MB100,
        BACKPLANE_SGMII => negotiated() | Speeds::MB100,
        _ => negotiated(),
    }
}

/// Leaves out of what is negotiated what is not wanted. A mode without negotiation stays what it is.
fn advertise(autoc: AUTOC, speeds: Speeds) -> AUTOC {
    use mode::*;
    match autoc.lms() {
        BACKPLANE | BACKPLANE_1G_AN | BACKPLANE_SGMII => {
            let (ten, one) = (speeds.contains(Speeds::GB10), speeds.contains(Speeds::GB1));
            autoc
                .with_kx4_support(autoc.kx4_support() && ten)
                .with_kr_support(autoc.kr_support() && ten)
                .with_kx_support(autoc.kx_support() && one)
        }
        _ => autoc,
    }
}

/// Chooses the mode of one speed without negotiation.
fn force(autoc: AUTOC, autoc2: AUTOC2, speed: Speeds) -> Result<AUTOC, PortError> {
    /// AUTOC: 10 Gb/s parallel is KX4.
    const KX4: u32 = 1;
    /// AUTOC2: 10 Gb/s serial is KR.
    const KR: u32 = 0;
    match speed {
        Speeds::GB1 if autoc.lms() == mode::FORCED_1G => Ok(autoc),
        Speeds::GB1 => Ok(autoc.with_lms(mode::FORCED_1G).with_pma_pmd_1g(true)),
        Speeds::GB10 if matches!(autoc.lms(), mode::FORCED_10G_PARALLEL | mode::SERIAL_10G) => Ok(autoc),
        Speeds::GB10 if autoc.kx4_support() => {
            Ok(autoc.with_lms(mode::FORCED_10G_PARALLEL).with_pma_pmd_10g_parallel(KX4))
        }
        Speeds::GB10 if autoc2.pma_pmd_10g_serial() == KR => Ok(autoc.with_lms(mode::SERIAL_10G)),
        _ => Err(PortError::Unsupported { what: "forcing that speed on this backplane: negotiate it" }),
    }
}
