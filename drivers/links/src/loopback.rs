//! A plug that returns what is sent into it.
//!
//! Key types: [`Loopback`].
//! Neighbours: one of the links behind the [`Link`] trait; for two ends see [`pair`](crate::pair()).

use crate::queue::FrameQueue;
use crate::{Link, LinkError, LinkStatus, Nanos, Sent};

/// Everything sent comes back, in order. A full queue answers Busy.
pub struct Loopback {
    queue: FrameQueue,
    capacity: usize,
}

impl Loopback {
    /// A loopback that holds up to `capacity` frames (at least one).
    pub fn new(capacity: usize) -> Loopback {
        Loopback { queue: FrameQueue::default(), capacity: capacity.max(1) }
    }
}

impl Link for Loopback {
    fn transmit(&mut self, frame: &[u8], _now: Nanos) -> Result<Sent, LinkError> {
        if self.queue.len() == self.capacity {
            return Ok(Sent::Busy);
        }
        self.queue.push(frame);
        Ok(Sent::Accepted)
    }

    fn receive(&mut self, frame: &mut Vec<u8>, _now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        Ok(self.queue.pop(frame))
    }

    fn status(&mut self) -> LinkStatus {
        LinkStatus::UP_10G
    }
}
