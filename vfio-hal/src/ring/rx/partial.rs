//! Packets whose ends have not been received yet.
//!
//! There is one at most, unless the device puts packets together (large receive offload): then those of several flows
//! lie between each other, and each descriptor names the one that goes on with its packet. [`Partials`] finds a packet
//! by that descriptor.

use crate::dma::pool::Buf;

/// The most that can be open: the 82599 puts together 32 at a time (datasheet 7.11), and one may be no such packet.
const MOST: usize = 33;

/// A packet whose end has not been received yet.
pub(super) struct Partial {
    pub(super) first: Buf,
    pub(super) segments: u32,
    /// How many packets it was put together from.
    pub(super) coalesced: u32,
    /// It is malformed: throw it away when it ends.
    pub(super) bad: bool,
}

/// The open packets, each with the descriptor that goes on with it.
pub(super) struct Partials {
    open: [Option<(u32, Partial)>; MOST],
    count: u32,
}

impl Partials {
    pub(super) fn new() -> Partials {
        Partials { open: [const { None }; MOST], count: 0 }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes out the packet that goes on with descriptor `index`.
    pub(super) fn take(&mut self, index: u32) -> Option<Partial> {
        let place = self.open.iter_mut().find(|open| open.as_ref().is_some_and(|(at, _)| *at == index))?;
        self.count -= 1;
        place.take().map(|(_, partial)| partial)
    }

    /// Keeps a packet until descriptor `index`. Returns the one that has to go for it: an older one that would go on at the
    /// same place, or this one if there are too many; a device that does that is broken.
    pub(super) fn put(&mut self, index: u32, partial: Partial) -> Option<Partial> {
        let older = self.take(index);
        match self.open.iter_mut().find(|open| open.is_none()) {
            Some(place) => {
                *place = Some((index, partial));
                self.count += 1;
                older
            }
            None => Some(partial),
        }
    }
}
