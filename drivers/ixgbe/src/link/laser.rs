//! The module's transmitter, by its TX_DISABLE pin at SDP3 (82599 datasheet 8.2.3.1.4).

use vfio_hal::DeviceError;

use super::{flush, is_vetoed};
use crate::hw::{Hw, Media};
use crate::regs::{ESDP, FACTPS, FWSM, MANC};

/// Switches the laser off, so that the partner sees the link go. Does nothing for other media, or where management
/// firmware needs the link.
pub(crate) fn disable(hw: &mut Hw) -> Result<(), DeviceError> {
    if is_ours(hw)? && !is_vetoed(hw)? {
        hw.regs.modify(|esdp: ESDP| esdp.with_sdp3(true));
        flush(hw);
        // SFF-8431, t_off: 100 µs until it is dark.
        hw.wait_micros(100);
    }
    hw.check()
}

/// Switches the laser on.
pub(crate) fn enable(hw: &mut Hw) -> Result<(), DeviceError> {
    if is_ours(hw)? && hw.regs.read::<ESDP>().sdp3() {
        hw.regs.modify(|esdp: ESDP| esdp.with_sdp3(false));
        flush(hw);
        // SFF-8431, t_on is 2 ms; drivers give modules 100 ms to light up.
        hw.wait_millis(100);
    }
    hw.check()
}

/// Switches the laser off and on: the partner loses its link and starts over too.
pub(crate) fn flap(hw: &mut Hw) -> Result<(), DeviceError> {
    disable(hw)?;
    enable(hw)
}

/// Returns whether the driver decides about the laser: it is management firmware that does while it passes packets.
fn is_ours(hw: &Hw) -> Result<bool, DeviceError> {
    /// FWSM.FW_Mode: pass-through.
    const PASS_THROUGH: u32 = 2;
    let managed = hw.regs.read::<FWSM>().fw_mode() == PASS_THROUGH
        && hw.regs.read::<MANC>().rcv_tco_en()
        && !hw.regs.read::<FACTPS>().mngcg();
    hw.check()?;
    Ok(hw.model.media == Media::SfpPlus && !managed)
}
