//! The contract between a MAC and the wire it is plugged into.
//!
//! What it does: one trait with which the MAC of a device model sends and receives whole Ethernet frames.
//! Key types: [`Link`], [`Sent`], [`LinkStatus`], [`Nanos`].
//! Neighbours: a model's MAC calls it; every other module of this crate implements it, or wraps an implementation.

use crate::LinkError;

/// Nanoseconds of the model's clock. The clock may be real or virtual: a link that paces or delays frames asks
/// only this value, never the time of day, so that a test decides what time it is.
pub type Nanos = u64;

/// What became of a frame that was offered to the wire.
#[must_use = "a Busy frame was not taken and is lost unless it is offered again"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// The wire took the frame; the MAC is done with it.
    Accepted,
    /// The wire did not take it (paused by the peer, queue full, carrier down): the MAC keeps the frame and
    /// offers it again.
    Busy,
}

/// The state of the wire as the PHY would report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkStatus {
    /// Whether there is a carrier.
    pub up: bool,
    /// Speed in Mbit/s; 0 when down or not known.
    pub speed_mbps: u32,
}

impl LinkStatus {
    /// A 10 Gbit/s wire with a carrier: what every link without a speed of its own reports.
    pub const UP_10G: LinkStatus = LinkStatus { up: true, speed_mbps: 10_000 };
    /// No carrier.
    pub const DOWN: LinkStatus = LinkStatus { up: false, speed_mbps: 0 };

    /// [`UP_10G`](Self::UP_10G) or [`DOWN`](Self::DOWN).
    pub fn carrier(up: bool) -> LinkStatus {
        if up { LinkStatus::UP_10G } else { LinkStatus::DOWN }
    }
}

/// A wire, as the MAC at its end sees it. Frames start with the destination address and carry no FCS: a MAC
/// appends it in silicon, so a link whose bytes are damaged models damage that no FCS would catch.
///
/// Implementations never block. The deterministic ones do only what `now` and the order of calls say; those
/// that reach the kernel spare empty polls (see each).
pub trait Link: Send {
    /// Offers one frame to the wire.
    ///
    /// # Errors
    /// A failure that a retry cannot cure, such as a capture file on a full disk or an interface that was
    /// removed: the wire is broken from then on.
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError>;

    /// Takes the next frame off the wire into `frame`, whose old contents are dropped and whose capacity is
    /// reused. Returns `false`, with `frame` empty, when there is none now.
    ///
    /// # Errors
    /// A failure that a retry cannot cure; `frame` is empty.
    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError>;

    /// Carrier and speed. Links in the kernel ask it with a system call now and then, the others are free.
    fn status(&mut self) -> LinkStatus;

    /// Whether nothing more will ever come: a capture was played to its end, a generator reached its count, the
    /// peer is gone. `false` for a wire without an end.
    fn exhausted(&self) -> bool {
        false
    }

    /// Makes buffered frames reach their destination. A MAC calls it when it stops, so that a full disk is an
    /// error and not a capture that is silently short: a failure in `Drop` could not be reported.
    ///
    /// # Errors
    /// What [`transmit`](Self::transmit) would answer.
    fn flush(&mut self) -> Result<(), LinkError> {
        Ok(())
    }
}

macro_rules! forward_link {
    ($($generics:tt)*) => {
        impl $($generics)* {
            #[inline]
            fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
                (**self).transmit(frame, now)
            }
            #[inline]
            fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
                (**self).receive(frame, now)
            }
            fn status(&mut self) -> LinkStatus {
                (**self).status()
            }
            fn exhausted(&self) -> bool {
                (**self).exhausted()
            }
            fn flush(&mut self) -> Result<(), LinkError> {
                (**self).flush()
            }
        }
    };
}

forward_link!(<L: Link + ?Sized> Link for Box<L>);
forward_link!(<L: Link + ?Sized> Link for &mut L);
