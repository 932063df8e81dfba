//! The transmit side of the MAC: padding, and the counters (datasheet 7.2.1, 8.2.3.23).
//!
//! Neighbours: [`Tx`](super::Tx) calls it around the link.

use pmd_ixgbe::regs::{BPTC, GOTC, GPTC, HLREG0, MPTC, PTC64, TPT};

use crate::rx::mac::{BROADCAST, FCS, mac_bits, size_bin};
use crate::shared::Core;

/// Pads to the shortest legal frame.
pub(crate) fn pad(core: &Core, frame: &mut Vec<u8>) {
    if frame.len() < 60 && core.regs.get::<HLREG0>().txpaden() {
        frame.resize(60, 0);
    }
}

/// Counts a frame that the wire took. PAUSE frames count here too (specification update).
pub(crate) fn count(core: &mut Core, frame: &[u8]) {
    let regs = &mut core.regs;
    let len = frame.len() + FCS;
    regs.count::<TPT>();
    regs.count::<GPTC>();
    regs.count_bytes::<GOTC>(0, len);
    regs.count_at::<PTC64>(size_bin(len), 1);
    if frame[0] & 1 == 1 {
        if mac_bits(frame) == BROADCAST { regs.count::<BPTC>() } else { regs.count::<MPTC>() }
    }
    core.events.counters.tx_frames += 1;
}
