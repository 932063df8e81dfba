//! The receive side of the MAC: lengths, control frames, address filters, and the counters that go with them
//! (datasheet 7.1.1, 8.2.3.23).
//!
//! Key types: [`Mac`], [`Incoming`]. Neighbours: takes frames off the wire, gives those that are for this port to
//! [`steer`](super::steer).

use super::filter::{L2Filter, Verdict, fctrl};
use crate::flow_control::{FlowControl, Pause};
use crate::packet::Parsed;
use crate::regs::Reg;
use crate::shared::Core;

/// HLREG0 bits (8.2.3.22.8).
const JUMBOEN: u32 = 1 << 2;
/// MFLCN bits (8.2.3.22.16).
mod mflcn {
    pub(super) const PMCF: u32 = 1 << 0;
    pub(super) const DPF: u32 = 1 << 1;
}
/// SECRXCTRL.RX_DIS.
const SECRX_RX_DIS: u32 = 1 << 1;
const MAC_CONTROL: u16 = 0x8808;
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
        let parsed = Parsed::new(frame, core.regs.get(Reg::Vlnctrl) as u16);
        let mut control_frame = false;
        if parsed.ethertype == MAC_CONTROL && parsed.vlan.is_none() {
            control_frame = true;
            if self.control(core, flow, frame) {
                core.events.counters.rx_mac_control += 1;
                return None;
            }
        }
        if core.regs.get(Reg::Rxctrl) & 1 == 0 || core.regs.has(Reg::Secrxctrl, SECRX_RX_DIS) {
            core.events.counters.rx_disabled += 1;
            return None;
        }
        let len = frame.len() + FCS;
        core.regs.count(Reg::Tpr, 0, 1);
        core.regs.count_bytes(Reg::Torl, Reg::Torh, 0, len as u64);
        let bad = !self.length(core, len, parsed.vlan.is_some());
        if bad && (frame.len() < 14 || core.regs.get(Reg::Fctrl) & fctrl::SBP == 0) {
            core.events.counters.rx_bad_length += 1;
            return None;
        }
        if !bad {
            core.regs.count(Reg::Rxnfgpc, 0, 1);
            core.regs.count_bytes(Reg::Rxnfgbcl, Reg::Rxnfgbch, 0, len as u64);
        }
        let Verdict::Pass { inexact } = self.filter.check(&core.regs, frame, &parsed) else {
            core.events.counters.rx_filtered += 1;
            return None;
        };
        if !bad && !control_frame {
            self.count_good(core, frame, len);
        }
        Some(Incoming { parsed, inexact, bad })
    }

    /// Whether the length is legal; counts it if not.
    fn length(&self, core: &mut Core, len: usize, tagged: bool) -> bool {
        let longest = if core.regs.has(Reg::Hlreg0, JUMBOEN) {
            (core.regs.get(Reg::Maxfrs) >> 16) as usize
        } else {
            LONGEST
        };
        if len < SHORTEST {
            core.regs.count(Reg::Ruc, 0, 1);
            false
        } else if len > longest + if tagged { 4 } else { 0 } {
            core.regs.count(Reg::Roc, 0, 1);
            false
        } else {
            true
        }
    }

    /// Good packets, also those that the packet buffer will miss (specification update: GPRC counts them too). GORC
    /// has the FCS only where it is not stripped.
    fn count_good(&self, core: &mut Core, frame: &[u8], len: usize) {
        let regs = &mut core.regs;
        regs.count(Reg::Gprc, 0, 1);
        let stored = if regs.get(Reg::Hlreg0) & super::RXCRCSTRP != 0 { frame.len() } else { len };
        regs.count_bytes(Reg::Gorcl, Reg::Gorch, 0, stored as u64);
        regs.count(Reg::Prc, size_bin(len), 1);
        if frame[0] & 1 == 1 {
            let kind = if mac_bits(frame) == 0xFFFF_FFFF_FFFF { Reg::Bprc } else { Reg::Mprc };
            regs.count(kind, 0, 1);
        }
    }

    /// A MAC control frame. Returns whether it ends here.
    fn control(&self, core: &mut Core, flow: &mut FlowControl, frame: &[u8]) -> bool {
        let mflcn = core.regs.get(Reg::Mflcn);
        match Pause::parse(frame, |address| self.filter.is_own(address)) {
            Some(pause) => {
                flow.received(core, pause);
                mflcn & mflcn::DPF != 0
            }
            None => mflcn & mflcn::PMCF == 0,
        }
    }
}
