//! A bad cable.
//!
//! What it does: loses, overtakes, doubles and damages frames with given probabilities, and pauses the sender. The
//! same seed and the same frames give the same faults, whenever the frames come.
//! Key types: [`Impair`], [`ImpairConfig`], [`Faults`], [`Probability`], [`PauseCycle`], [`PauseSwitch`].
//! Neighbours: wraps any [`Link`]; `lane` is one direction of it. What it did is counted in
//! [`Impairments`](crate::Impairments).

mod lane;
mod random;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lane::{Lane, LaneCounts};

use crate::counters::{Live, add};
use crate::{Impairments, Link, LinkError, LinkStatus, Nanos, Sent, Watch};

/// A chance from never to always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(u64);

impl Probability {
    /// Out of 2^53, the resolution of an `f64` below one.
    const ALWAYS: f64 = (1u64 << 53) as f64;
    /// Never.
    pub const NEVER: Probability = Probability(0);

    /// 0 is never, 1 is always; `None` outside, and for NaN.
    pub fn new(chance: f64) -> Option<Probability> {
        (0.0..=1.0).contains(&chance).then_some(Probability((chance * Self::ALWAYS) as u64))
    }
}

/// How often what happens to a frame. The four are drawn independently; a lost frame suffers nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The frame vanishes.
    pub loss: Probability,
    /// The frame is held back until one to [`ImpairConfig::depth`] later ones have passed.
    pub reorder: Probability,
    /// The frame comes twice.
    pub duplicate: Probability,
    /// One bit behind the MAC addresses is flipped. A flipped address would be a frame for somebody else, which is a
    /// loss. As links carry no FCS, the receiving MAC cannot tell: the checksums inside the frame can.
    pub corrupt: Probability,
}

/// When the peer's pause frames stop the sender: for `length` from `first` on, and again `every` so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseCycle {
    /// Start of the first pause on the link's clock.
    pub first: Nanos,
    /// How long a pause is.
    pub length: Nanos,
    /// From the start of a pause to the start of the next one; `None` for a single pause.
    pub every: Option<Nanos>,
}

impl PauseCycle {
    fn is_pause(&self, now: Nanos) -> bool {
        let Some(since) = now.checked_sub(self.first) else {
            return false;
        };
        match self.every {
            Some(every) if every > 0 => since % every < self.length,
            _ => since < self.length,
        }
    }
}

/// What to do to the frames of each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImpairConfig {
    /// Faults of sent frames.
    pub tx: Faults,
    /// Faults of received frames.
    pub rx: Faults,
    /// Pauses of the sender.
    pub pause: Option<PauseCycle>,
    /// The most frames that overtake one that is held back (at least one).
    pub depth: u32,
    /// A frame is held back no longer than this, nor when the source has ended.
    pub hold: Nanos,
    /// Decides all chances.
    pub seed: u64,
}

impl Default for ImpairConfig {
    /// No fault; a frame held back is overtaken by up to 3, for 1 ms at most.
    fn default() -> Self {
        ImpairConfig {
            tx: Faults::default(),
            rx: Faults::default(),
            pause: None,
            depth: 3,
            hold: 1_000_000,
            seed: 1,
        }
    }
}

/// Pauses and resumes the sender by hand, from any thread.
#[derive(Clone, Debug)]
pub struct PauseSwitch(Arc<AtomicBool>);

impl PauseSwitch {
    /// Pauses with `true`, resumes with `false`. Holds beside the [`PauseCycle`]: either pauses.
    pub fn set(&self, paused: bool) {
        self.0.store(paused, Ordering::Relaxed);
    }
}

/// The link it wraps, over a bad cable.
pub struct Impair<L> {
    link: L,
    tx: Lane,
    rx: Lane,
    pause: Option<PauseCycle>,
    switch: Arc<AtomicBool>,
    counts: Live<Impairments>,
}

impl<L: Link> Impair<L> {
    /// The two directions draw from their own random numbers, so that traffic one way does not change the other.
    pub fn new(link: L, config: &ImpairConfig) -> Impair<L> {
        Impair {
            link,
            tx: Lane::new(config.tx, config, 0),
            rx: Lane::new(config.rx, config, 1),
            pause: config.pause,
            switch: Arc::default(),
            counts: Live::new(),
        }
    }

    /// What was done so far, to be read from anywhere.
    pub fn impairments(&self) -> Watch<Impairments> {
        self.counts.watch()
    }

    /// Pauses by hand.
    pub fn pause_switch(&self) -> PauseSwitch {
        PauseSwitch(Arc::clone(&self.switch))
    }

    fn is_paused(&self, now: Nanos) -> bool {
        self.switch.load(Ordering::Relaxed) || self.pause.is_some_and(|pause| pause.is_pause(now))
    }

    /// Sends what is ready, as far as the wrapped link takes it.
    fn pump(&mut self, now: Nanos) -> Result<(), LinkError> {
        if self.tx.is_idle() || self.is_paused(now) {
            return Ok(());
        }
        self.tx.release_due(now);
        self.drain(now)
    }

    fn drain(&mut self, now: Nanos) -> Result<(), LinkError> {
        while let Some(frame) = self.tx.ready.front() {
            if self.link.transmit(frame, now)? == Sent::Busy {
                break;
            }
            self.tx.ready.drop_front();
        }
        Ok(())
    }
}

impl<L: Link> Link for Impair<L> {
    /// Busy while paused, and while the wrapped link has not taken what was accepted before: a frame meets its fate
    /// when it is accepted, not each time it is offered, so that Busy does not change which frames suffer.
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        if self.is_paused(now) {
            add(&self.counts.tx_paused, 1);
            return Ok(Sent::Busy);
        }
        self.pump(now)?;
        if !self.tx.ready.is_empty() {
            return Ok(Sent::Busy);
        }
        let counts = &*self.counts;
        self.tx.pass(
            frame,
            now,
            LaneCounts {
                lost: &counts.tx_lost,
                reordered: &counts.tx_reordered,
                duplicated: &counts.tx_duplicated,
                corrupted: &counts.tx_corrupted,
            },
        );
        self.drain(now)?;
        Ok(Sent::Accepted)
    }

    /// Takes at most one frame from the wrapped link; `false` also when that frame was lost or held back.
    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        // A MAC polls for frames all the time, but may have nothing more to send.
        self.pump(now)?;
        self.rx.release_due(now);
        if self.rx.ready.is_empty() {
            if self.link.receive(frame, now)? {
                let counts = &*self.counts;
                self.rx.pass(
                    frame,
                    now,
                    LaneCounts {
                        lost: &counts.rx_lost,
                        reordered: &counts.rx_reordered,
                        duplicated: &counts.rx_duplicated,
                        corrupted: &counts.rx_corrupted,
                    },
                );
            } else if self.link.exhausted() {
                self.rx.release_all();
            }
        }
        frame.clear();
        Ok(self.rx.ready.pop(frame))
    }

    fn status(&mut self) -> LinkStatus {
        self.link.status()
    }

    fn exhausted(&self) -> bool {
        self.rx.is_idle() && self.link.exhausted()
    }

    /// Frames held back go out now, as far as the wrapped link takes them.
    fn flush(&mut self) -> Result<(), LinkError> {
        self.tx.release_all();
        self.drain(self.tx.last_seen())?;
        self.link.flush()
    }
}
