//! Pause frames, sent and obeyed (IEEE 802.3 annex 31B; 82599 datasheet 3.7.7, 8.2.3.3).
//!
//! The device tells its link partner to pause when its packet buffer is fuller than a high level, tells it again while
//! that lasts, and to go on once it is below a low level.
//!
//! Key parts: [`apply`] sets all of it up. `levels` knows what the levels must be for an MTU. `negotiate` knows what the
//! two sides of a link agreed on: [`advertise`] offers what was asked for, and what comes out may be less. Where nothing
//! is negotiated (10 Gb/s over SFP+) it is what was asked for.
//!
//! Neighbours: [`port`](crate::port) advertises before the link is set up, and applies once packet buffers are sized,
//! and again when the MTU, the mode or the link changes.

mod levels;
mod negotiate;
#[cfg(test)]
mod tests;

use vfio_hal::pmd::{FlowControl, PortError};

use crate::hw::Hw;
use crate::regs::{FCCFG, FCRTH, FCRTL, FCRTV, FCTTV, MFLCN, RXPBSIZE};
use levels::Levels;
pub(crate) use negotiate::advertise;
use negotiate::negotiated;
use pmd_intel::pause::resolve;

/// How long the partner is told to pause, in units of 512 bit times: 85 µs at 10 Gb/s (DPDK's default).
const PAUSE_TIME: u16 = 0x680;

/// FCCFG.TFCE: pause frames for the link as a whole.
const LINK: u32 = 1;

/// Kept free of a packet buffer when no pause frames are sent, in bytes: the switch between virtual machines needs it
/// (Linux and DPDK).
const SWITCH_ROOM: u32 = 24 * 1024;

/// Sets flow control up for a port with this MTU: `wanted`, or what was negotiated if it was. Returns which.
///
/// # Errors
/// If the packet buffer has no room for what arrives after the partner was told to pause; then nothing has changed.
pub(crate) fn apply(hw: &mut Hw, wanted: FlowControl, mtu: u16) -> Result<FlowControl, PortError> {
    let mode = match negotiated(hw)? {
        Some((own, partner)) => resolve(wanted, own, partner),
        None => wanted,
    };
    let send = matches!(mode, FlowControl::Tx | FlowControl::Full);
    let obey = matches!(mode, FlowControl::Rx | FlowControl::Full);
    let mut classes = [(FCRTL::default(), FCRTH::default()); 8];
    for (class, thresholds) in classes.iter_mut().enumerate() {
        // In KiB; 0 for a class that is not used.
        let size = hw.regs.at::<RXPBSIZE>(class)?.read().size();
        hw.check()?;
        *thresholds = if send && size != 0 {
            let Levels { high, low } = Levels::new(hw.model.chip, size, mtu)?;
            (FCRTL::new(low * 1024).with_xone(true), FCRTH::new(high * 1024).with_fcen(true))
        } else {
            (FCRTL::default(), FCRTH::new((size * 1024).saturating_sub(SWITCH_ROOM)))
        };
    }

    // Nothing is sent by levels that are half written.
    hw.regs.modify(|fccfg: FCCFG| fccfg.with_tfce(0));
    for (class, (low, high)) in classes.into_iter().enumerate() {
        hw.regs.at::<FCRTL>(class)?.write(low);
        hw.regs.at::<FCRTH>(class)?.write(high);
    }
    for pair in 0..4 {
        let time = PAUSE_TIME.into();
        hw.regs.at::<FCTTV>(pair)?.write(FCTTV::default().with_ttv0(time).with_ttv1(time));
    }
    hw.regs.write(FCRTV::default().with_refresh((PAUSE_TIME / 2).into()));
    // A pause frame's work is done once the MAC has seen it: the host does not get it (DPF).
    hw.regs.modify(|mflcn: MFLCN| {
        mflcn.with_rpfce(false).with_rpfce_tc(0).with_rfce(obey).with_dpf(true).with_pmcf(false)
    });
    hw.regs.modify(|fccfg: FCCFG| fccfg.with_tfce(if send { LINK } else { 0 }));
    hw.check()?;
    Ok(mode)
}
