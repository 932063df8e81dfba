//! The link: what it is told, how it comes up, what state it is in (82576 datasheet 4.5.7, 8.2).
//!
//! [`LinkConfig`] is what a user may ask. [`setup`] brings it to MAC and PHY; it starts the link and does not wait for it.
//! [`status`] and [`wait`] read what became of it; [`service`] does what the link interrupt asks for. Below is `phy`; above
//! is the port.

use core::time::Duration;

use pmd_intel::pause::Offer;
use pmd_intel::{LinkConfig, Speeds};
use vfio_hal::pmd::{FlowControl, LinkStatus, PortError};

use crate::hw::Hw;
use crate::phy::Phy;
use crate::regs::{CTRL, ICR, STATUS};

/// CTRL.SPEED.
const FORCE_10: u32 = 0;
const FORCE_100: u32 = 1;

/// Sets the link up and starts it.
pub(crate) fn setup(hw: &mut Hw, config: &LinkConfig, pause: FlowControl) -> Result<(), PortError> {
    let speeds = config.choose(Speeds::MB10 | Speeds::MB100 | Speeds::GB1)?;
    if config.autoneg {
        // The MAC follows what the PHY negotiates.
        hw.regs.modify(|ctrl: CTRL| ctrl.with_slu(true).with_frcspd(false).with_frcdplx(false));
        return Phy::new(hw).negotiate(speeds, Offer::of(pause));
    }
    if speeds.contains(Speeds::GB1) {
        return Err(PortError::Unsupported {
            what: "forced 1 Gb/s: 1000BASE-T always negotiates; advertise one speed",
        });
    }
    let speed = if speeds.contains(Speeds::MB100) { FORCE_100 } else { FORCE_10 };
    hw.regs.modify(|ctrl: CTRL| {
        let ctrl = ctrl.with_slu(true).with_frcspd(true).with_frcdplx(true);
        ctrl.with_speed(speed).with_fd(true)
    });
    Phy::new(hw).force(speeds)
}

/// Reacts to the interrupt that speaks of the link, and returns the link's state then. The events are taken by this.
pub(crate) fn service(hw: &mut Hw) -> Result<LinkStatus, PortError> {
    let _ = hw.regs.take::<ICR>();
    status(hw)
}

/// Returns the state of the link.
pub(crate) fn status(hw: &Hw) -> Result<LinkStatus, PortError> {
    let (status, ctrl) = (hw.regs.read::<STATUS>(), hw.regs.read::<CTRL>());
    hw.check()?;
    if !status.lu() {
        return Ok(LinkStatus::default());
    }
    let speed_mbps = match status.speed() {
        0 => 10,
        1 => 100,
        _ => 1_000,
    };
    Ok(LinkStatus { up: true, speed_mbps, full_duplex: status.fd(), autoneg: !ctrl.frcspd() })
}

/// Waits until the link is up, at most `limit`; returns its state then.
pub(crate) fn wait(hw: &Hw, limit: Duration) -> Result<LinkStatus, PortError> {
    let step = Duration::from_millis(10).min(limit);
    let mut state = status(hw)?;
    let end = hw.clock.now().saturating_add(limit);
    while !state.up && hw.clock.now() < end {
        hw.clock.wait(step);
        state = status(hw)?;
    }
    Ok(state)
}
