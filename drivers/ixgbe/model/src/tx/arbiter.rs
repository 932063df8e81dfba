//! The arbiter between traffic classes: weighted, with strict priority where a class has it (datasheet 7.7.2.3, 8.2.3.10.9).
//!
//! A class sends while it has credits; each byte costs one. When all that have something to send are without, each gets
//! RTTDT2C.crq (units of 64 bytes) more, up to RTTDT2C.mcl. A class with RTTDT2C.lsp goes before all others whatever its
//! credits. Not modelled: weights between the queues of a class (they take turns), bandwidth groups, and the second arbiter in
//! front of the MAC, which with a packet buffer that drains at once has nothing to choose from.
//!
//! Key types: [`Credits`]. Neighbours: [`Tx`] asks where MTQC and RTTDCS say so.

use pmd_ixgbe::regs::RTTDT2C;

use super::queue::Progress;
use super::{Tx, Way};
use crate::classes::CLASSES;
use crate::state::{Reader, State, StateError, Writer, check};

/// Rounds in one step: packets, empty queues and refills.
const ROUNDS: usize = 512;
/// RTTDT2C counts in units of so many bytes.
const UNIT: i64 = 64;
/// No class is further in debt or ahead: a segmented packet of 256 KB, and its headers.
const MOST: i64 = 1 << 20;

/// What each class may still send, in bytes; negative after a packet that was longer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credits([i64; CLASSES]);

impl State for Credits {
    fn save(&self, to: &mut Writer) {
        self.0.map(|credits| credits as u64).save(to);
    }
    fn load(from: &mut Reader<'_>) -> Result<Credits, StateError> {
        let credits = <[u64; CLASSES]>::load(from)?.map(|credits| credits as i64);
        check(credits.iter().all(|credits| (-MOST..=MOST).contains(credits)), "credits of a traffic class")?;
        Ok(Credits(credits))
    }
}

impl Tx {
    /// Lets classes send by their weights. `ready` has the queues of each that may.
    pub(super) fn by_weight(&mut self, way: &mut Way<'_, '_>, mut ready: [u128; CLASSES]) -> bool {
        let weights: [RTTDT2C; CLASSES] = std::array::from_fn(|class| way.core.regs.at(class));
        let mut moved = false;
        for _ in 0..ROUNDS {
            if ready == [0; CLASSES] {
                break;
            }
            let waiting = || (0..CLASSES).filter(|class| ready[*class] != 0);
            let strict = waiting().rev().find(|class| weights[*class].lsp());
            let Some(class) = strict.or_else(|| waiting().find(|class| self.credits.0[*class] > 0)) else {
                for class in waiting() {
                    let (refill, most) = (weights[class].crq().max(1), weights[class].mcl());
                    let credits = self.credits.0[class] + i64::from(refill) * UNIT;
                    self.credits.0[class] = credits.min(i64::from(most.max(refill)) * UNIT);
                }
                continue;
            };
            let later = ready[class] & !((1u128 << self.turn) - 1);
            let number = if later != 0 { later } else { ready[class] }.trailing_zeros() as usize;
            let (progress, bytes) = self.turn_of(way, number, 1);
            self.credits.0[class] = (self.credits.0[class] - bytes as i64).max(-MOST);
            match progress {
                Progress::Moved => {
                    moved = true;
                    self.turn = (number + 1) % super::QUEUES;
                }
                Progress::Idle => {
                    ready[class] &= !(1 << number);
                    // Who has nothing to send saves nothing up.
                    if ready[class] == 0 {
                        self.credits.0[class] = self.credits.0[class].min(0);
                    }
                }
                Progress::Blocked => return moved,
            }
        }
        moved
    }
}
