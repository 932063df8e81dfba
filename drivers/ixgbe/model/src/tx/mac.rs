//! The transmit side of the MAC: padding, and the counters (datasheet 7.2.1, 8.2.3.23).
//!
//! Neighbours: [`Tx`](super::Tx) calls it around the link.

use crate::regs::Reg;
use crate::rx::mac::{FCS, mac_bits, size_bin};
use crate::shared::Core;

/// HLREG0.TXPADEN.
const TXPADEN: u32 = 1 << 10;

/// Pads to the shortest legal frame.
pub(crate) fn pad(core: &Core, frame: &mut Vec<u8>) {
    if frame.len() < 60 && core.regs.get(Reg::Hlreg0) & TXPADEN != 0 {
        frame.resize(60, 0);
    }
}

/// Counts a frame that the wire took. PAUSE frames count here too (specification update).
pub(crate) fn count(core: &mut Core, frame: &[u8]) {
    let regs = &mut core.regs;
    let len = frame.len() + FCS;
    regs.count(Reg::Tpt, 0, 1);
    regs.count(Reg::Gptc, 0, 1);
    regs.count_bytes(Reg::Gotcl, Reg::Gotch, 0, len as u64);
    regs.count(Reg::Ptc, size_bin(len), 1);
    if frame[0] & 1 == 1 {
        regs.count(if mac_bits(frame) == 0xFFFF_FFFF_FFFF { Reg::Bptc } else { Reg::Mptc }, 0, 1);
    }
    core.events.counters.tx_frames += 1;
}
