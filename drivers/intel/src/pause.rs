//! Pause frames: what the two sides of a link offer each other, and agree on (IEEE 802.3 annex 28B).
//!
//! Each side offers two bits: it sends and obeys pause frames, or it can do so one way only. An [`Offer`] is those bits,
//! [`resolve`] what comes out of two.

use vfio_hal::pmd::FlowControl;

/// What one side offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Sends and obeys pause frames (PAUSE).
    pub symmetric: bool,
    /// Can do so one way only (ASM_DIR).
    pub asymmetric: bool,
}

impl Offer {
    /// Returns what is offered so that `wanted` can come out. Obeying alone cannot be offered: it offers both, and then
    /// does not send.
    pub const fn of(wanted: FlowControl) -> Offer {
        match wanted {
            FlowControl::Off => Offer { symmetric: false, asymmetric: false },
            FlowControl::Tx => Offer { symmetric: false, asymmetric: true },
            FlowControl::Rx | FlowControl::Full => Offer { symmetric: true, asymmetric: true },
        }
    }

    /// Returns the offer in a negotiation page: bits 10 and 11, in clause 28 as in clause 73.
    pub const fn of_page(page: u16) -> Offer {
        Offer { symmetric: page & 1 << 10 != 0, asymmetric: page & 1 << 11 != 0 }
    }

    /// Returns the bits of a negotiation page.
    pub const fn page(self) -> u16 {
        (self.symmetric as u16) << 10 | (self.asymmetric as u16) << 11
    }
}

/// Returns what comes out of two offers (table 28B-3), and never more than `wanted`: what the port offered may come from
/// its EEPROM.
pub fn resolve(wanted: FlowControl, own: Offer, partner: Offer) -> FlowControl {
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
