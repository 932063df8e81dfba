//! The link: what AUTOC asks for, what the cage and the wire allow, when it is up (datasheet 3.7.4, 8.2.3.22).
//!
//! A link comes up when a carrier, a module with its laser on (or a backplane) and a mode meet, and stays so for
//! the training time. AUTOC.Restart_AN starts over. Every change raises LSC.
//!
//! Key types: [`Phy`], [`Conditions`]. Neighbours: the model polls the wire's status and brings the registers.

use pmd_ixgbe::regs::{ANLP1, AUTOC, AUTOC2, LINKS};
use pmd_links::{LinkStatus, Nanos};

use crate::config::{Part, Timing};
use crate::state::{Reader, State, StateError, Writer, state, state_enum};

/// LINKS 7: the link was up without a break since the last read.
const HELD: u32 = 1 << 7;

/// The arbitration state that ANLP1 shows once negotiation left state 0. The datasheet gives no names; anything but
/// zero is what software waits for.
const AN_RUNNING: u32 = 1;
/// LINKS and AUTOC: speeds.
const SPEED_1G: u32 = 2;
const SPEED_10G: u32 = 3;

/// What decides about the link besides AUTOC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) autoc: AUTOC,
    pub(crate) autoc2: AUTOC2,
    /// A module is in the cage with its laser on, or there is no cage.
    pub(crate) medium: bool,
    /// HLREG0.LPBK.
    pub(crate) loopback: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Down,
    Training { until: Nanos },
    Up,
}

/// The physical layer.
pub(crate) struct Phy {
    part: Part,
    state: Carrier,
    wire: LinkStatus,
    /// When auto-negotiation was last restarted.
    restarted: Nanos,
    /// LINKS.HELD, cleared when the link drops.
    held: bool,
    speed_mbps: u32,
    negotiation: Nanos,
    training: Nanos,
}

state_enum!(Part { Sfp = 0, BackplaneKx4 = 1 });
state!(Phy { part, state, wire, restarted, held, speed_mbps, negotiation, training });

impl State for Carrier {
    fn save(&self, to: &mut Writer) {
        let until = match *self {
            Carrier::Down => None,
            Carrier::Up => Some(None),
            Carrier::Training { until } => Some(Some(until)),
        };
        until.save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<Carrier, StateError> {
        Ok(match Option::<Option<Nanos>>::load(from)? {
            None => Carrier::Down,
            Some(None) => Carrier::Up,
            Some(Some(until)) => Carrier::Training { until },
        })
    }
}

impl Phy {
    pub(crate) fn new(part: Part, timing: &Timing) -> Phy {
        Phy {
            part,
            state: Carrier::Down,
            wire: LinkStatus::DOWN,
            restarted: 0,
            held: false,
            speed_mbps: 0,
            negotiation: timing.negotiation.as_nanos() as Nanos,
            training: timing.link_up.as_nanos() as Nanos,
        }
    }

    /// Drops the link and starts over: a reset, or Restart_AN. Returns whether a link was lost.
    pub(crate) fn restart(&mut self, now: Nanos) -> bool {
        let lost = self.state == Carrier::Up;
        self.state = Carrier::Down;
        self.restarted = now;
        self.held &= !lost;
        lost
    }

    /// What the wire says.
    pub(crate) fn set_wire(&mut self, status: LinkStatus) {
        self.wire = status;
    }

    /// Whether frames can pass.
    pub(crate) fn up(&self) -> bool {
        self.state == Carrier::Up
    }

    /// The speed in Mbit/s, 0 when down.
    pub(crate) fn speed(&self) -> u32 {
        if self.up() { self.speed_mbps } else { 0 }
    }

    /// Brings the state up to date; returns whether the link went up or down.
    pub(crate) fn update(&mut self, now: Nanos, conditions: &Conditions) -> bool {
        let speed = speed_of(conditions.autoc);
        let possible = if conditions.autoc.flu() || conditions.loopback {
            true
        } else {
            speed != 0 && conditions.medium && self.wire.up && conditions.autoc2.link_disable() == 0
        };
        match (self.state, possible) {
            (Carrier::Down, true) => {
                let delay = if conditions.autoc.flu() { 0 } else { self.training };
                self.state = Carrier::Training { until: now.saturating_add(delay) };
                self.update(now, conditions)
            }
            (Carrier::Training { until }, true) if now >= until => {
                self.state = Carrier::Up;
                self.speed_mbps = if speed == 0 { 10_000 } else { speed };
                true
            }
            (Carrier::Training { .. }, false) => {
                self.state = Carrier::Down;
                false
            }
            (Carrier::Up, false) => {
                self.state = Carrier::Down;
                self.held = false;
                true
            }
            _ => false,
        }
    }

    /// When [`update`](Self::update) has something to do although nothing else changes.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        match self.state {
            Carrier::Training { until } => Some(until),
            _ => None,
        }
    }

    /// LINKS as read, without its side effect.
    pub(crate) fn peek_links(&self, autoc: AUTOC) -> u32 {
        let value = LINKS::default().with_signal_detect(if self.wire.up { 0xF } else { 0 });
        if self.state != Carrier::Up {
            return value.bits();
        }
        let fast = self.speed_mbps >= 10_000;
        let value = value
            .with_link_up(true)
            .with_link_speed(if fast { SPEED_10G } else { SPEED_1G })
            .with_align_10g(fast)
            .with_sync_1g(!fast)
            .with_kx_an_completed(autoc.lms() & 4 != 0);
        value.bits() | if self.held { HELD } else { 0 }
    }

    /// A read of LINKS: the held bit starts anew.
    pub(crate) fn read_links(&mut self, autoc: AUTOC) -> u32 {
        let value = self.peek_links(autoc);
        self.held = self.state == Carrier::Up;
        value
    }

    /// ANLP1 as read: the arbitration state, and the partner's pause ability once a backplane has negotiated.
    pub(crate) fn anlp1(&self, now: Nanos) -> u32 {
        let running = now >= self.restarted.saturating_add(self.negotiation);
        let partner = self.part == Part::BackplaneKx4 && self.up();
        // Bit 10 of the partner's page: it can PAUSE.
        let page = if partner { 1 << 10 } else { 0 };
        ANLP1::default().with_an_state(if running { AN_RUNNING } else { 0 }).with_anlp1d(page).bits()
    }
}

/// The speed in Mbit/s that a link mode asks for, 0 for none.
fn speed_of(autoc: AUTOC) -> u32 {
    match autoc.lms() {
        1 | 3 => 10_000,
        0 | 2 | 5 => 1_000,
        _ if autoc.kx4_support() || autoc.kr_support() => 10_000,
        _ if autoc.kx_support() => 1_000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn conditions() -> Conditions {
        Conditions {
            autoc: AUTOC::new(0xC09C_6004),
            autoc2: AUTOC2::new(0x000A_0000),
            medium: true,
            loopback: false,
        }
    }

    fn phy() -> Phy {
        let mut phy = Phy::new(Part::Sfp, &Timing::default());
        phy.set_wire(LinkStatus::UP_10G);
        phy
    }

    #[test]
    fn the_link_trains_then_is_up_at_10g() {
        let mut phy = phy();
        assert!(!phy.update(0, &conditions()));
        assert!(!phy.update(4 * MS, &conditions()));
        assert!(phy.update(5 * MS, &conditions()), "the change is reported");
        assert!(!phy.update(6 * MS, &conditions()));
        assert_eq!(phy.read_links(AUTOC::new(0xC09C_6004)) >> 28, 0b0111);
    }

    #[test]
    fn a_break_shows_in_the_held_bit_until_read() {
        let mut phy = phy();
        phy.update(0, &conditions());
        phy.update(5 * MS, &conditions());
        assert!(phy.restart(10 * MS));
        phy.update(10 * MS, &conditions());
        phy.update(15 * MS, &conditions());
        assert_eq!(phy.read_links(AUTOC::default()) & HELD, 0);
        assert_ne!(phy.read_links(AUTOC::default()) & HELD, 0);
    }

    #[test]
    fn no_medium_no_carrier_no_mode_no_link() {
        for broken in [
            Conditions { medium: false, ..conditions() },
            Conditions { autoc2: AUTOC2::new(1 << 30), ..conditions() },
            Conditions { autoc: AUTOC::new(0x8000), ..conditions() },
        ] {
            let mut phy = phy();
            phy.update(0, &broken);
            phy.update(100 * MS, &broken);
            assert!(!phy.up(), "{broken:?}");
        }
        let mut phy = phy();
        phy.set_wire(LinkStatus::DOWN);
        phy.update(0, &conditions());
        phy.update(100 * MS, &conditions());
        assert!(!phy.up());
        phy.update(100 * MS, &Conditions { autoc: AUTOC::new(0xC09C_6005), ..conditions() });
        assert!(phy.up(), "forced up without a carrier");
    }

    #[test]
    fn negotiation_leaves_state_0_after_a_restart() {
        let mut phy = phy();
        phy.restart(100 * MS);
        assert_eq!(phy.anlp1(100 * MS) & 0xF_0000, 0);
        assert_ne!(phy.anlp1(104 * MS) & 0xF_0000, 0);
    }
}
