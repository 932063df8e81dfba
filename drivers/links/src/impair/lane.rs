//! One direction of a bad cable.
//!
//! Key types: [`Lane`].
//! Neighbours: [`Impair`](super::Impair) has two.

use std::sync::atomic::AtomicU64;

use super::random::Random;
use super::{Faults, ImpairConfig};
use crate::Nanos;
use crate::counters::add;
use crate::queue::FrameQueue;

/// Where the addresses end; damage starts behind them.
const ADDRESSES: usize = 12;

/// A frame that later ones overtake.
struct Held {
    frame: Vec<u8>,
    /// So many more may pass.
    overtakers: u32,
    /// At the latest then.
    until: Nanos,
}

/// The counters of this direction.
pub(super) struct LaneCounts<'a> {
    pub(super) lost: &'a AtomicU64,
    pub(super) reordered: &'a AtomicU64,
    pub(super) duplicated: &'a AtomicU64,
    pub(super) corrupted: &'a AtomicU64,
}

pub(super) struct Lane {
    faults: Faults,
    depth: u32,
    hold: Nanos,
    random: Random,
    held: Vec<Held>,
    /// Buffers of frames that are held no more.
    spare: Vec<Vec<u8>>,
    now: Nanos,
    /// Frames that have met their fate and may go.
    pub(super) ready: FrameQueue,
}

impl Lane {
    pub(super) fn new(faults: Faults, config: &ImpairConfig, direction: u64) -> Lane {
        // Drawn from, so that neighbouring seeds share no sequence between their directions.
        let mut seeds = Random::new(config.seed);
        let seed = (0..=direction).fold(0, |_, _| seeds.next());
        Lane {
            faults,
            depth: config.depth.max(1),
            hold: config.hold,
            random: Random::new(seed),
            held: Vec::new(),
            spare: Vec::new(),
            now: 0,
            ready: FrameQueue::default(),
        }
    }

    /// Whether it has no frame.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.ready.is_empty()
    }

    /// The clock when it was last looked at.
    pub(super) fn last_seen(&self) -> Nanos {
        self.now
    }

    /// Decides the fate of a frame. Every frame draws the same random numbers whatever befalls it, so that one fault's
    /// probability does not change which frames another fault hits.
    pub(super) fn pass(&mut self, frame: &[u8], now: Nanos, counts: LaneCounts<'_>) {
        self.now = now;
        let lost = self.random.chance(self.faults.loss);
        let reordered = self.random.chance(self.faults.reorder);
        let duplicated = self.random.chance(self.faults.duplicate);
        let corrupted = self.random.chance(self.faults.corrupt) && frame.len() > ADDRESSES;
        let overtakers = 1 + self.random.below(u64::from(self.depth)) as u32;
        let bits = 8 * frame.len().saturating_sub(ADDRESSES) as u64;
        let bit = self.random.below(bits.max(1)) as usize;

        if lost {
            add(counts.lost, 1);
            return;
        }
        let damage = |copy: &mut Vec<u8>| {
            if corrupted && let Some(byte) = copy.get_mut(ADDRESSES + bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        };
        if corrupted {
            add(counts.corrupted, 1);
        }
        if duplicated {
            add(counts.duplicated, 1);
            damage(self.ready.push(frame));
        }
        if reordered {
            add(counts.reordered, 1);
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(frame);
            damage(&mut copy);
            self.held.push(Held { frame: copy, overtakers, until: now.saturating_add(self.hold) });
        } else {
            damage(self.ready.push(frame));
            self.overtake();
        }
    }

    /// One more frame went past those that are held.
    fn overtake(&mut self) {
        for held in &mut self.held {
            held.overtakers = held.overtakers.saturating_sub(1);
        }
        self.release(|held| held.overtakers == 0);
    }

    /// Releases what was held long enough.
    pub(super) fn release_due(&mut self, now: Nanos) {
        self.now = now;
        self.release(|held| now >= held.until);
    }

    /// Releases all.
    pub(super) fn release_all(&mut self) {
        self.release(|_| true);
    }

    fn release(&mut self, is_over: impl Fn(&Held) -> bool) {
        let mut i = 0;
        while i < self.held.len() {
            if is_over(&self.held[i]) {
                let held = self.held.remove(i);
                self.ready.push(&held.frame);
                self.spare.push(held.frame);
            } else {
                i += 1;
            }
        }
    }
}
