//! What the two sides of a link agree on (IEEE 802.3 annex 28B).
//!
//! Each side offers two bits: it sends and obeys pause frames, or it can do so one way only. SFP+ negotiates at 1 Gb/s
//! only (clause 37), a backplane at all speeds (clause 73), twisted pair too, by its PHY.

use pmd_intel::pause::Offer;
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
