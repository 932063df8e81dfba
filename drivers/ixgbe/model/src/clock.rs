//! The IEEE 1588 clock and the time stamps of packets (datasheet 7.9, 8.2.3.26).
//!
//! SYSTIM grows by TIMINCA.iv every TIMINCA.ip clocks. A matching packet's time is latched, one each way, until software
//! has read its upper half.
//!
//! Key types: [`Clock`]. Neighbours: receive and transmit stamp packets, the dispatcher brings the registers.

use pmd_ixgbe::regs::{
    RXMTRL, RXSATRH, RXSATRL, RXSTMPH, RXSTMPL, TIMADJ, TIMINCA, TSYNCRXCTL, TSYNCTXCTL, TXSTMP,
};
use pmd_links::Nanos;

use crate::packet::{L4, Parsed};
use crate::shared::Core;
use crate::state::{StateError, check, state};

/// PTP over Ethernet.
const ETHERTYPE: u16 = 0x88F7;
/// PTP events over UDP.
const EVENT_PORT: u16 = 319;

/// TSYNCRXCTL.kind.
mod kind {
    pub(super) const L2_V2: u32 = 0;
    pub(super) const L4_V1: u32 = 1;
    pub(super) const L2_L4_V2: u32 = 2;
    pub(super) const ALL: u32 = 4;
    pub(super) const EVENTS_V2: u32 = 5;
}

/// The clock.
#[derive(Default)]
pub(crate) struct Clock {
    /// SYSTIM at `since`.
    base: u64,
    since: Nanos,
    /// SYSTIMH as of the last read of SYSTIML.
    latched: u32,
}

state!(Clock { base, since, latched });

impl Clock {
    /// Checks what came from outside.
    pub(crate) fn sound(&self, now: Nanos) -> Result<(), StateError> {
        check(self.since <= now, "a clock that was set in the future")
    }

    /// SYSTIM now.
    fn now(&self, core: &Core) -> u64 {
        let step = core.regs.get::<TIMINCA>();
        if step.ip() == 0 {
            return self.base;
        }
        // The clock has 6.4 ns at 10 Gbit/s and 64 ns at 1 Gbit/s; without a link it is the fast one.
        let tenths_of_ns = if core.speed_mbps == 1_000 { 640 } else { 64 };
        let elapsed = u128::from(core.now - self.since) * 10;
        let steps = elapsed / (tenths_of_ns * u128::from(step.ip()));
        self.base.wrapping_add((steps * u128::from(step.iv())) as u64)
    }

    /// Goes on from here: what decides about the rate is about to change.
    pub(crate) fn settle(&mut self, core: &Core) {
        self.base = self.now(core);
        self.since = core.now;
    }

    /// A read of half a SYSTIM; the lower one latches the upper one.
    pub(crate) fn read(&mut self, core: &Core, half: u32) -> u32 {
        if half == 1 {
            return self.latched;
        }
        let now = self.now(core);
        self.latched = (now >> 32) as u32;
        now as u32
    }

    /// A write of half a SYSTIM.
    pub(crate) fn write(&mut self, core: &Core, half: u32, value: u32) {
        self.settle(core);
        let shift = 32 * half;
        self.base = self.base & !(0xFFFF_FFFF << shift) | u64::from(value) << shift;
    }

    /// TIMADJH was written: adds or, with bit 63, takes away.
    pub(crate) fn adjust(&mut self, core: &Core) {
        self.settle(core);
        let value = core.regs.get::<TIMADJ>().bits();
        let amount = value & !(1 << 63);
        self.base =
            if value >> 63 == 1 { self.base.wrapping_sub(amount) } else { self.base.wrapping_add(amount) };
    }

    /// Latches the time of a received packet if it is to be; `marked` if an EtherType filter says that it is PTP.
    /// Returns whether the descriptor has to say so.
    pub(crate) fn stamp_rx(&self, core: &mut Core, frame: &[u8], parsed: &Parsed, marked: bool) -> bool {
        let control = core.regs.get::<TSYNCRXCTL>();
        if !control.en() || control.rxtt() || !wanted(core, control, frame, parsed, marked) {
            return false;
        }
        let now = self.now(core);
        core.regs.set(RXSTMPL::new(now as u32));
        core.regs.set(RXSTMPH::new((now >> 32) as u32));
        if let Some(message) = message(frame, parsed)
            && message.len() >= 32
        {
            // The source's identity and the sequence number of a version 2 header.
            let word = |at: usize| {
                u32::from_be_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]])
            };
            core.regs.set(RXSATRL::new(word(22)));
            let sequence = u16::from_be_bytes([message[30], message[31]]);
            let identity = u16::from_be_bytes([message[20], message[21]]);
            core.regs.set(
                RXSATRH::default().with_source_idh(u32::from(identity)).with_sequence_id(u32::from(sequence)),
            );
        }
        core.regs.set(control.with_rxtt(true));
        true
    }

    /// Latches the time of a sent packet that asked for it.
    pub(crate) fn stamp_tx(&self, core: &mut Core) {
        let control = core.regs.get::<TSYNCTXCTL>();
        if control.en() && !control.txtt() {
            core.regs.set(TXSTMP::new(self.now(core)));
            core.regs.set(control.with_txtt(true));
        }
    }
}

/// RXSTMPH was read: the latch is free.
pub(crate) fn free_rx(core: &mut Core) {
    let control = core.regs.get::<TSYNCRXCTL>();
    core.regs.set(control.with_rxtt(false));
}

/// The upper half of TXSTMP was read: the latch is free.
pub(crate) fn free_tx(core: &mut Core) {
    let control = core.regs.get::<TSYNCTXCTL>();
    core.regs.set(control.with_txtt(false));
}

/// The PTP message of a packet, by where it must be.
fn message<'f>(frame: &'f [u8], parsed: &Parsed) -> Option<&'f [u8]> {
    let at = match parsed.l4 {
        L4::Udp if parsed.ports(frame)[2..] == EVENT_PORT.to_be_bytes() => parsed.l4_at + 8,
        _ if parsed.ethertype == ETHERTYPE => parsed.l3_at,
        _ => return None,
    };
    frame.get(at..).filter(|message| !message.is_empty())
}

fn wanted(core: &Core, control: TSYNCRXCTL, frame: &[u8], parsed: &Parsed, marked: bool) -> bool {
    if control.kind() == kind::ALL {
        return true;
    }
    let Some(message) = message(frame, parsed) else { return false };
    let filter = core.regs.get::<RXMTRL>();
    let udp = parsed.l4 == L4::Udp;
    let version_2 = u32::from(message[0] & 0xF) == filter.msgt() & 0xF;
    match control.kind() {
        kind::L2_V2 => !udp && marked && version_2,
        kind::L2_L4_V2 => (udp || marked) && version_2,
        kind::L4_V1 => udp && message.get(32).is_some_and(|control| u32::from(*control) == filter.ctrlt()),
        // Sync, Delay_Req, Pdelay_Req, Pdelay_Resp.
        kind::EVENTS_V2 => (udp || marked) && message[0] & 0xF < 4,
        _ => false,
    }
}
