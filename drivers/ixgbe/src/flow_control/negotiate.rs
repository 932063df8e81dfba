//! What the two sides of a link agree on (IEEE 802.3 annex 28B).
//!
//! Each side offers two bits: it sends and obeys pause frames, or it can do so one way only. SFP+ negotiates at 1 Gb/s
//! only (clause 37), a backplane at all speeds (clause 73), twisted pair too, by its PHY.

use vfio_hal::pmd::{FlowControl, PortError};

use crate::hw::{Hw, Media};
use crate::phy::mdio::Phy;
use crate::regs::{ANLP1, AUTOC, LINKS, LINKS2, PCS1GANA, PCS1GANLP, PCS1GLSTA};
use crate::semaphore::{Held, Resource};

/// LINKS.LINK_SPEED: 1 Gb/s.
const SPEED_1G: u32 = 2;

/// The copper PHY's negotiation status (7.1) with its bit "complete", its own page and the partner's (7.16, 7.19).
const AN_STATUS: (u32, u32) = (7, 1);
const AN_COMPLETE: u16 = 1 << 5;
const AN_OWN: (u32, u32) = (7, 0x10);
const AN_PARTNER: (u32, u32) = (7, 0x13);

/// What one side offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Sends and obeys pause frames (PAUSE).
    pub(super) symmetric: bool,
    /// Can do so one way only (ASM_DIR).
    pub(super) asymmetric: bool,
}

impl Offer {
    /// Returns what is offered so that `wanted` can come out. Obeying alone cannot be offered: it offers both, and then
    /// does not send.
    const fn of(wanted: FlowControl) -> Offer {
        match wanted {
            FlowControl::Off => Offer { symmetric: false, asymmetric: false },
            FlowControl::Tx => Offer { symmetric: false, asymmetric: true },
            FlowControl::Rx | FlowControl::Full => Offer { symmetric: true, asymmetric: true },
        }
    }

    /// Returns the offer in a negotiation page: bits 10 and 11, in clause 28 as in clause 73.
    const fn of_page(page: u16) -> Offer {
        Offer { symmetric: page & 1 << 10 != 0, asymmetric: page & 1 << 11 != 0 }
    }

    const fn page(self) -> u16 {
        (self.symmetric as u16) << 10 | (self.asymmetric as u16) << 11
    }
}

/// Offers `wanted` to link partners from the next negotiation on, which setting the link up starts.
pub(crate) fn advertise(hw: &mut Hw, wanted: FlowControl) -> Result<(), PortError> {
    let offer = Offer::of(wanted);
    let Offer { symmetric, asymmetric } = offer;
    match hw.model.media {
        Media::SfpPlus | Media::Backplane => {
            // For 1 Gb/s. At 10 Gb/s it does nothing.
            hw.regs.modify(|page: PCS1GANA| page.with_sym_pause(symmetric).with_asm_pause(asymmetric));
            if hw.model.media == Media::Backplane {
                // Firmware may work on AUTOC too. The link takes it over when it is set up, with a restart.
                let _held = Held::take(hw, Resource::MacCsr)?;
                let autoc = hw.regs.read::<AUTOC>();
                hw.regs.write(autoc.with_sym_pause(symmetric).with_asm_pause(asymmetric));
            }
        }
        Media::Copper => {
            let phy = Phy::find(hw)?;
            let page = phy.read(AN_OWN)? & !Offer { symmetric: true, asymmetric: true }.page();
            phy.write(AN_OWN, page | offer.page())?;
        }
    }
    Ok(hw.check()?)
}

/// Returns what both sides offered; `None` where they did not negotiate, or have not yet.
pub(super) fn negotiated(hw: &Hw) -> Result<Option<(Offer, Offer)>, PortError> {
    let links = hw.regs.read::<LINKS>();
    let offers = match hw.model.media {
        _ if !links.link_up() => None,
        Media::SfpPlus => {
            let status = hw.regs.read::<PCS1GLSTA>();
            let done = links.link_speed() == SPEED_1G && status.an_complete() && !status.an_timed_out();
            done.then(|| {
                let (own, partner) = (hw.regs.read::<PCS1GANA>(), hw.regs.read::<PCS1GANLP>());
                let own = Offer { symmetric: own.sym_pause(), asymmetric: own.asm_pause() };
                (own, Offer { symmetric: partner.lp_sym_pause(), asymmetric: partner.lp_asm_pause() })
            })
        }
        Media::Backplane => {
            let done = links.kx_an_completed() && hw.regs.read::<LINKS2>().lp_an_able();
            done.then(|| {
                let (own, partner) = (hw.regs.read::<AUTOC>(), hw.regs.read::<ANLP1>());
                let own = Offer { symmetric: own.sym_pause(), asymmetric: own.asm_pause() };
                (own, Offer::of_page(partner.anlp1d() as u16))
            })
        }
        Media::Copper => {
            let phy = Phy::find(hw)?;
            if phy.read(AN_STATUS)? & AN_COMPLETE != 0 {
                Some((Offer::of_page(phy.read(AN_OWN)?), Offer::of_page(phy.read(AN_PARTNER)?)))
            } else {
                None
            }
        }
    };
    hw.check()?;
    Ok(offers)
}

/// Returns what comes out of two offers (table 28B-3), and never more than `wanted`: what the port offered may come from
/// its EEPROM.
pub(super) fn resolve(wanted: FlowControl, own: Offer, partner: Offer) -> FlowControl {
    let (send, obey) = match (own, partner) {
        (Offer { symmetric: true, .. }, Offer { symmetric: true, .. }) => (true, true),
        (Offer { symmetric: false, asymmetric: true }, Offer { symmetric: true, asymmetric: true }) => {
            (true, false)
        }
        (Offer { symmetric: true, asymmetric: true }, Offer { symmetric: false, asymmetric: true }) => {
            (false, true)
        }
        _ => (false, false),
    };
    let send = send && matches!(wanted, FlowControl::Tx | FlowControl::Full);
    let obey = obey && matches!(wanted, FlowControl::Rx | FlowControl::Full);
    match (send, obey) {
        (false, false) => FlowControl::Off,
        (false, true) => FlowControl::Rx,
        (true, false) => FlowControl::Tx,
        (true, true) => FlowControl::Full,
    }
}
