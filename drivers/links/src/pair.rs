//! Two MACs back to back.
//!
//! What it does: a cable with two ends that may live in two threads. Each direction is a bounded queue; a peer that
//! does not take its frames pauses the sender, which sees Busy and loses nothing.
//! Key types: [`pair`], [`PairEnd`].
//! Neighbours: one of the links behind the [`Link`] trait; tests of a MAC hold the other end in their hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;

use crate::counters::{Live, add};
use crate::{Link, LinkError, LinkStatus, Nanos, Sent, Traffic, Watch};

/// One direction. The receiver returns emptied buffers through `empty`, so that a running cable allocates nothing.
struct Lane {
    full: ArrayQueue<Vec<u8>>,
    empty: ArrayQueue<Vec<u8>>,
    /// Set when either end is dropped.
    cut: AtomicBool,
}

impl Lane {
    fn new(capacity: usize) -> Arc<Lane> {
        Arc::new(Lane {
            full: ArrayQueue::new(capacity),
            empty: ArrayQueue::new(capacity),
            cut: AtomicBool::new(false),
        })
    }

    fn is_cut(&self) -> bool {
        // Acquire: a receiver that sees the cut also sees every frame that was sent before it.
        self.cut.load(Ordering::Acquire)
    }
}

/// A cable; each direction holds up to `capacity` frames (at least one).
pub fn pair(capacity: usize) -> (PairEnd, PairEnd) {
    let capacity = capacity.max(1);
    let (east, west) = (Lane::new(capacity), Lane::new(capacity));
    let end = |tx: &Arc<Lane>, rx: &Arc<Lane>| PairEnd {
        tx: Arc::clone(tx),
        rx: Arc::clone(rx),
        counts: Live::new(),
    };
    (end(&east, &west), end(&west, &east))
}

/// One end of a [`pair`]. Dropping it pulls the plug: the other end still receives what is on the cable, then is
/// down and [`exhausted`](Link::exhausted).
pub struct PairEnd {
    tx: Arc<Lane>,
    rx: Arc<Lane>,
    counts: Live<Traffic>,
}

impl PairEnd {
    /// What crossed this end. A frame on the cable is counted as sent here and not yet as received there.
    pub fn traffic(&self) -> Watch<Traffic> {
        self.counts.watch()
    }
}

impl Link for PairEnd {
    fn transmit(&mut self, frame: &[u8], _now: Nanos) -> Result<Sent, LinkError> {
        if self.tx.full.is_full() || self.tx.is_cut() {
            add(&self.counts.tx_busy, 1);
            return Ok(Sent::Busy);
        }
        let mut buffer = self.tx.empty.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(frame);
        if self.tx.full.push(buffer).is_err() {
            // Cannot happen while this end is the only sender; Busy is right all the same.
            add(&self.counts.tx_busy, 1);
            return Ok(Sent::Busy);
        }
        add(&self.counts.tx_frames, 1);
        add(&self.counts.tx_bytes, frame.len() as u64);
        Ok(Sent::Accepted)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, _now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        let Some(mut buffer) = self.rx.full.pop() else {
            return Ok(false);
        };
        core::mem::swap(frame, &mut buffer);
        // A full store frees the buffer.
        drop(self.rx.empty.push(buffer));
        add(&self.counts.rx_frames, 1);
        add(&self.counts.rx_bytes, frame.len() as u64);
        Ok(true)
    }

    fn status(&mut self) -> LinkStatus {
        LinkStatus::carrier(!self.tx.is_cut())
    }

    fn exhausted(&self) -> bool {
        self.rx.is_cut() && self.rx.full.is_empty()
    }
}

impl Drop for PairEnd {
    fn drop(&mut self) {
        self.tx.cut.store(true, Ordering::Release);
        self.rx.cut.store(true, Ordering::Release);
    }
}
