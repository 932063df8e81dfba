//! PAUSE both ways (IEEE 802.3 annex 31B; datasheet 3.7.7, 8.2.3.3).
//!
//! Received PAUSE frames stop transmission for their quanta if MFLCN.RFCE says so. A packet buffer above FCRTH sends
//! XOFF with the time of FCTTV, again each FCRTV while it stays above, and XON once it is below FCRTL.
//!
//! Key types: [`FlowControl`], [`Pause`]. Neighbours: the receive MAC and the packet buffer report, transmit asks.

use pmd_ixgbe::regs::{
    FCCFG, FCRTH, FCRTL, FCRTV, FCTTV, LXOFFRXCNT, LXOFFTXC, LXONRXCNT, LXONTXC, MFLCN, RAH, RAL, TFCS,
};
use pmd_links::Nanos;

use crate::shared::Core;
use crate::state::state;

/// The group address of PAUSE frames.
const GROUP: [u8; 6] = [0x01, 0x80, 0xC2, 0x00, 0x00, 0x01];
/// One quantum is 512 bit times.
const BITS_PER_QUANTUM: u64 = 512;

/// A PAUSE frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    quanta: u16,
}

impl Pause {
    /// Reads a MAC control frame; `None` if it is no PAUSE frame to this station.
    pub(crate) fn parse(frame: &[u8], own: impl Fn(u64) -> bool) -> Option<Pause> {
        let body = frame.get(14..18)?;
        let for_us = frame[..6] == GROUP || own(crate::rx::mac::mac_bits(frame));
        (for_us && body[..2] == [0, 1]).then(|| Pause { quanta: u16::from_be_bytes([body[2], body[3]]) })
    }

    /// Makes the frame, padded to 60 bytes.
    fn build(self, source: [u8; 6]) -> [u8; 60] {
        let mut frame = [0u8; 60];
        frame[..6].copy_from_slice(&GROUP);
        frame[6..12].copy_from_slice(&source);
        frame[12..16].copy_from_slice(&[0x88, 0x08, 0x00, 0x01]);
        frame[16..18].copy_from_slice(&self.quanta.to_be_bytes());
        frame
    }
}

/// The time of pause quanta, 512 bit times each, at the link's speed.
fn quanta(core: &Core, count: u16) -> Nanos {
    let bits = u64::from(count) * BITS_PER_QUANTUM;
    bits * 1_000 / u64::from(if core.speed_mbps == 0 { 10_000 } else { core.speed_mbps })
}

/// Flow control of the port.
#[derive(Default)]
pub(crate) struct FlowControl {
    paused_until: Nanos,
    /// The partner was told to stop; when to tell it again.
    refresh_at: Option<Nanos>,
    /// A frame to send before anything else.
    outgoing: Option<Pause>,
}

state!(Pause { quanta });
state!(FlowControl { paused_until, refresh_at, outgoing });

impl FlowControl {
    /// A PAUSE frame came.
    pub(crate) fn received(&mut self, core: &mut Core, pause: Pause) {
        if pause.quanta == 0 {
            core.regs.count::<LXONRXCNT>()
        } else {
            core.regs.count::<LXOFFRXCNT>()
        }
        if core.regs.get::<MFLCN>().rfce() {
            self.paused_until = core.now.saturating_add(quanta(core, pause.quanta));
        }
    }

    /// Whether transmission is stopped by the partner.
    pub(crate) fn paused(&self, now: Nanos) -> bool {
        now < self.paused_until
    }

    /// When transmission goes on, or XOFF is to be repeated.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.refresh_at.into_iter().chain([self.paused_until]).min()
    }

    /// The occupancy of packet buffer 0, in bytes, after it changed or time went by.
    pub(crate) fn occupancy(&mut self, core: &Core, bytes: usize) {
        let (high, low) = (core.regs.get::<FCRTH>(), core.regs.get::<FCRTL>());
        if core.regs.get::<FCCFG>().tfce() != 1 || !high.fcen() {
            self.refresh_at = None;
            return;
        }
        let above = bytes > high.rth() as usize * 32;
        match self.refresh_at {
            None if above => self.xoff(core),
            Some(at) if above && core.now >= at => self.xoff(core),
            Some(_) if bytes <= low.rtl() as usize * 32 => {
                self.refresh_at = None;
                if low.xone() {
                    self.outgoing = Some(Pause { quanta: 0 });
                }
            }
            _ => {}
        }
    }

    fn xoff(&mut self, core: &Core) {
        let quanta = core.regs.get::<FCTTV>().ttv0() as u16;
        self.outgoing = Some(Pause { quanta });
        let refresh = core.regs.get::<FCRTV>().refresh() as u16;
        let after = self::quanta(core, if refresh == 0 { quanta } else { refresh });
        self.refresh_at = Some(core.now.saturating_add(after.max(1)));
    }

    /// Returns the frame that is to go out next, if any.
    pub(crate) fn frame(&self, core: &Core) -> Option<[u8; 60]> {
        let pause = self.outgoing?;
        let (low, high) =
            (core.regs.get::<RAL>().bits().to_le_bytes(), core.regs.get::<RAH>().bits().to_le_bytes());
        Some(pause.build([low[0], low[1], low[2], low[3], high[0], high[1]]))
    }

    /// The frame went out. Transmitted PAUSE frames count as packets too (specification update).
    pub(crate) fn sent(&mut self, core: &mut Core) {
        if let Some(pause) = self.outgoing.take() {
            if pause.quanta == 0 { core.regs.count::<LXONTXC>() } else { core.regs.count::<LXOFFTXC>() }
        }
    }

    /// TFCS: bit 0, transmission is paused.
    pub(crate) fn tfcs(&self, now: Nanos) -> u32 {
        TFCS::default().with_txoff(self.paused(now)).bits()
    }
}
