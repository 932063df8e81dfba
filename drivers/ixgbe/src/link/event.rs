//! Which interrupts speak of the link (82599 datasheet 8.2.3.5.1, 8.2.3.1.4).

use crate::hw::{Media, Model};
use crate::regs::{EICR, EIMS, GPIE};

/// What an interrupt says about the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// The link went up or down: read its [status](super::status).
    pub(crate) link: bool,
    /// A module was put in or taken out: [set the link up](super::setup) again.
    pub(crate) module: bool,
    /// The module lost its signal: one of two speeds has to be [set up](super::setup) again.
    pub(crate) signal: bool,
}

impl Events {
    /// Returns what the causes say. The pins mean something on a port with a cage only.
    pub(crate) fn of(model: &Model, causes: EICR) -> Events {
        let cage = model.media == Media::SfpPlus;
        Events { link: causes.lsc(), module: cage && causes.gpi_sdp2(), signal: cage && causes.gpi_sdp1() }
    }

    /// Returns the causes to unmask.
    pub(crate) fn causes(model: &Model) -> EIMS {
        let cage = model.media == Media::SfpPlus;
        EIMS::default().with_lsc(true).with_gpi_sdp1(cage).with_gpi_sdp2(cage)
    }

    /// Returns GPIE with the pins as interrupts.
    pub(crate) fn pins(model: &Model, gpie: GPIE) -> GPIE {
        let cage = model.media == Media::SfpPlus;
        gpie.with_sdp1_gpien(cage).with_sdp2_gpien(cage)
    }
}
