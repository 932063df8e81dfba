//! The receive side of the MAC: lengths, control frames, address filters, and the counters that go with them
//! (datasheet 7.1.1, 8.2.3.23).
//!
//! Key types: [`Mac`], [`Incoming`]. Neighbours: takes frames off the wire, gives those that are for this port to
//! [`steer`](super::steer).

use pmd_ixgbe::regs::{
    BPRC, CTRL_EXT, EXVET, FCTRL, GORC, GPRC, HLREG0, MAXFRS, MFLCN, MPRC, PRC64, ROC, RUC, RXCTRL, RXNFGBC,
    RXNFGPC, SECRXCTRL, TOR, TPR, VLNCTRL,
};

use super::filter::{L2Filter, Verdict};
use crate::flow_control::{FlowControl, Frame};
use crate::packet::Parsed;
use crate::shared::Core;

const MAC_CONTROL: u16 = 0x8808;
/// The broadcast address, as [`mac_bits`].
pub(crate) const BROADCAST: u64 = 0xFFFF_FFFF_FFFF;
/// Bytes of frame check sequence; frames on a link come without.
pub(crate) const FCS: usize = 4;
/// The shortest frame, FCS included.
const SHORTEST: usize = 64;
/// The longest frame without JUMBOEN, FCS included; a tagged one may be 4 longer.
const LONGEST: usize = 1518;

/// The first six bytes as RAL and RAH hold them. The frame has at least 14 bytes.
#[inline]
pub(crate) fn mac_bits(frame: &[u8]) -> u64 {
    let mut bytes = [0u8; 8];
    bytes[..6].copy_from_slice(&frame[..6]);
    u64::from_le_bytes(bytes)
}

/// Which of the size counters (64, 65–127, … 1024 and up) a frame of `len` bytes, FCS included, belongs to.
#[inline]
pub(crate) fn size_bin(len: usize) -> usize {
    match len {
        ..=64 => 0,
        65..=127 => 1,
        128..=255 => 2,
        256..=511 => 3,
        512..=1023 => 4,
        _ => 5,
    }
}

/// A frame for this port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    pub(crate) parsed: Parsed,
    /// The receive address that matched.
    pub(crate) entry: Option<usize>,
    /// Only a hash table wanted it (PIF).
    pub(crate) inexact: bool,
    /// It has a MAC error and is stored because of FCTRL.SBP (RXE).
    pub(crate) bad: bool,
}

/// The receive MAC.
#[derive(Default)]
pub(crate) struct Mac {
    pub(crate) filter: L2Filter,
}

impl Mac {
    /// Takes one frame, which is in `frame` without FCS. Returns it if it goes on to a queue.
    pub(crate) fn receive(
        &self,
        core: &mut Core,
        flow: &mut FlowControl,
        frame: &mut Vec<u8>,
    ) -> Option<Incoming> {
        core.events.counters.rx_frames += 1;
        if frame.len() < SHORTEST - FCS && core.config.short_frames == crate::ShortFrames::Pad {
            frame.resize(SHORTEST - FCS, 0);
        }
        let outer =
            core.regs.get::<CTRL_EXT>().extended_vlan().then(|| core.regs.get::<EXVET>().vet_ext() as u16);
        let parsed = Parsed::new(frame, core.regs.get::<VLNCTRL>().vet() as u16, outer);
        let mut control_frame = false;
        if parsed.ethertype == MAC_CONTROL && parsed.vlan.is_none() {
            control_frame = true;
            if self.control(core, flow, frame) {
                core.events.counters.rx_mac_control += 1;
                return None;
            }
        }
        if !core.regs.get::<RXCTRL>().rxen() || core.regs.get::<SECRXCTRL>().rx_dis() {
            core.events.counters.rx_disabled += 1;
            return None;
        }
        let len = frame.len() + FCS;
        core.regs.count::<TPR>();
        core.regs.count_bytes::<TOR>(0, len);
        let tags = usize::from(parsed.vlan.is_some()) + usize::from(parsed.outer);
        let bad = !self.length(core, len, tags);
        if bad && (frame.len() < 14 || !core.regs.get::<FCTRL>().sbp()) {
            core.events.counters.rx_bad_length += 1;
            return None;
        }
        if !bad {
            core.regs.count::<RXNFGPC>();
            core.regs.count_bytes::<RXNFGBC>(0, len);
        }
        let Verdict::Pass { inexact, entry } = self.filter.check(&core.regs, frame, &parsed) else {
            core.events.counters.rx_filtered += 1;
            return None;
        };
        if !bad && !control_frame {
            self.count_good(core, frame, len);
        }
        Some(Incoming { parsed, entry, inexact, bad })
    }

    /// Whether the length is legal; counts it if not.
    fn length(&self, core: &mut Core, len: usize, tags: usize) -> bool {
        let longest = if core.regs.get::<HLREG0>().jumboen() {
            core.regs.get::<MAXFRS>().mfs() as usize
        } else {
            LONGEST
        };
        if len < SHORTEST {
            core.regs.count::<RUC>();
            false
        } else if len > longest + 4 * tags {
            core.regs.count::<ROC>();
            false
        } else {
            true
        }
    }

    /// Good packets, also those that the packet buffer will miss (specification update: GPRC counts them too). GORC
    /// has the FCS only where it is not stripped.
    fn count_good(&self, core: &mut Core, frame: &[u8], len: usize) {
        let regs = &mut core.regs;
        regs.count::<GPRC>();
        let stored = if regs.get::<HLREG0>().rxcrcstrp() { frame.len() } else { len };
        regs.count_bytes::<GORC>(0, stored);
        regs.count_at::<PRC64>(size_bin(len), 1);
        if frame[0] & 1 == 1 {
            if mac_bits(frame) == BROADCAST { regs.count::<BPRC>() } else { regs.count::<MPRC>() }
        }
    }

    /// A MAC control frame. Returns whether it ends here.
    fn control(&self, core: &mut Core, flow: &mut FlowControl, frame: &[u8]) -> bool {
        let mflcn = core.regs.get::<MFLCN>();
        match Frame::parse(&core.regs, frame, |address| self.filter.is_own(address)) {
            Some(told) => {
                flow.received(core, told);
                mflcn.dpf()
            }
            None => !mflcn.pmcf(),
        }
    }
}
