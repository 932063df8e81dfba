//! The link: what it is told, how it comes up, what state it is in (82599 datasheet 3.7, 4.6.4, 8.2.3.22).
//!
//! [`LinkConfig`] is what a user may ask. [`setup`] brings it to the hardware, by way of [`fibre`] for an SFP+ cage,
//! [`backplane`] or [`copper`]; it starts the link and, with one exception, does not wait for it. [`status`] and
//! [`wait`] read what became of it. [`Events`] says which interrupts speak of it, [`service`] does what they ask.
//!
//! The link may be none of ours: where management firmware vetoes changes (MMNGC), [`setup`] leaves it as it is.
//! Below are `phy` for modules and `eeprom` for what they need written; above is the port.

mod autoc;
mod backplane;
mod copper;
mod event;
mod fibre;
mod laser;

use core::time::Duration;

use vfio_hal::DeviceError;
use vfio_hal::pmd::{LinkStatus, PortError};

use crate::hw::{Chip, Hw, Media};
use crate::regs::{AUTOC, EICR, ESDP, LINKS, MMNGC};
use crate::{eeprom, phy};

pub(crate) use event::Events;
pub(crate) use laser::{disable as disable_laser, enable as enable_laser, flap as flap_laser};
pub use pmd_intel::{LinkConfig, Speeds};

/// Sets the link up and starts it. The device must have been reset since it was last set up, or a backplane knows no
/// more than what it last advertised.
///
/// An empty cage is no error: the link is down, and [`Events::module`] tells when to call this again. A module of
/// two speeds needs somebody who tries both, so with one and no partner this takes up to two seconds.
pub(crate) fn setup(hw: &mut Hw, config: &LinkConfig) -> Result<(), PortError> {
    if is_vetoed(hw)? {
        log::warn!(
            "{}: management firmware forbids changes of the link (MMNGC); it stays as it is",
            hw.device.name()
        );
        return Ok(());
    }
    match hw.model.media {
        Media::SfpPlus => {
            let module = phy::identify(hw)?;
            fibre::setup(hw, config, &module)
        }
        Media::Backplane => backplane::setup(hw, config),
        Media::Copper => copper::setup(hw, config),
    }
}

/// Reacts to the interrupt that speaks of the link, and returns the link's state then. A module that was changed, or
/// a module of two speeds without a signal, is [set up](setup) again, with the time that this takes.
///
/// The causes are taken by this; those of queues stay if GPIE.ocd is set.
pub(crate) fn service(hw: &mut Hw, config: &LinkConfig) -> Result<LinkStatus, PortError> {
    let events = Events::of(hw.model, hw.regs.take::<EICR>());
    let state = status(hw)?;
    if events.module || events.signal && !state.up {
        setup(hw, config)?;
        return status(hw);
    }
    Ok(state)
}

/// Returns the state of the link.
pub(crate) fn status(hw: &Hw) -> Result<LinkStatus, PortError> {
    // It latches a loss until it is read: the first read is of the past.
    let _ = hw.regs.read::<LINKS>();
    let mut links = hw.regs.read::<LINKS>();
    hw.check()?;
    if links.link_up() && hw.model.media == Media::SfpPlus && eeprom::suffers_crosstalk(hw)? {
        // The receiver may hear the transmitter across an empty cage. On boards where that happens SDP2 is 1 for a
        // full cage (specification update, software clarification 6; Linux, DPDK).
        if !hw.regs.read::<ESDP>().sdp2() {
            hw.check()?;
            return Ok(LinkStatus::default());
        }
        hw.wait_millis(5);
        links = hw.regs.read::<LINKS>();
    }
    let autoc = hw.regs.read::<AUTOC>();
    hw.check()?;
    Ok(decode(hw, links, autoc))
}

fn decode(hw: &Hw, links: LINKS, autoc: AUTOC) -> LinkStatus {
    /// X550: the speed is the other one of its pair.
    const NON_STANDARD: u32 = 1 << 27;
    let other = hw.model.chip == Chip::X550 && links.bits() & NON_STANDARD != 0;
    let speed_mbps = match (links.link_speed(), other) {
        (3, false) => 10_000,
        (3, true) => 2_500,
        (2, _) => 1_000,
        (1, false) => 100,
        (1, true) => 5_000,
        // Reserved: a link without a speed is none yet.
        _ => 0,
    };
    if !links.link_up() || speed_mbps == 0 {
        return LinkStatus::default();
    }
    let autoneg = hw.model.media == Media::Copper || autoc::negotiates(autoc);
    LinkStatus { up: true, speed_mbps, full_duplex: true, autoneg }
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

/// Returns whether management firmware forbids changes of the link.
fn is_vetoed(hw: &Hw) -> Result<bool, DeviceError> {
    let veto = hw.regs.read::<MMNGC>().mng_veto();
    hw.check()?;
    Ok(veto)
}

/// Makes sure that the device has seen what was written before: a read is answered behind it.
fn flush(hw: &Hw) {
    let _ = hw.regs.read::<crate::regs::STATUS>();
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
