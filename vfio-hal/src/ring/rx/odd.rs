//! The slow way off a receive ring: packets over several buffers, impossible lengths, rare news.

use super::partial::Partial;
use super::{RxFormat, RxRing, count};
use crate::dma::pool::{Buf, Cache, RxFlags, RxInfo};

/// The longest chain of buffers taken for one packet: a 16 KiB frame in 1 KiB buffers fits twice.
const MAX_SEGMENTS: u32 = 32;

impl<F: RxFormat> RxRing<F> {
    /// Takes the next descriptor, which is done, whatever it holds; returns the packet if that is whole with it. The
    /// caller has reserved a packet in `cache`.
    #[cold]
    #[inline(never)]
    pub(super) fn take_odd(&mut self, cache: &mut Cache) -> Option<Buf> {
        let index = self.next & self.ring.mask();
        let words = self.ring.read(index);
        let new = cache.alloc()?.into_raw();
        let place = self.shadow.get_mut(index as usize)?;
        let old = core::mem::replace(place, new);
        self.renew(index, new);
        self.next = (index + 1) & self.ring.mask();
        // SAFETY: the ring owned the packet and its place is taken; the device says that it is done with it.
        let mut buf = unsafe { Buf::from_raw(old) };
        let packet = buf.packet_mut();
        packet.head = self.head;
        // The device speaks of a packet in its last descriptor only; what the other segments say is from before.
        packet.rx = RxInfo::default();
        packet.len = F::len(words);
        self.join(index, buf, words)
    }

    /// Takes a descriptor that is not a plain packet: part of a longer one, out of range, or with rare news. Returns
    /// the packet if it is whole.
    fn join(&mut self, index: u32, mut buf: Buf, words: [u64; 2]) -> Option<Buf> {
        let end = words[1] & F::END != 0;
        let mut bad = false;
        let packet = buf.packet_mut();
        if packet.len > self.room {
            packet.len = 0;
            bad = true;
        }
        let mut info = F::info(words);
        let coalesced = u32::from(info.coalesced());
        let mut mark = 0;
        if end && words[1] & F::RARE != 0 {
            mark = F::rarity(words, &mut info);
        }
        let mut whole = match self.partials.take(index) {
            None => Partial { first: buf, segments: 1, coalesced, bad },
            Some(mut partial) => {
                partial.bad |= bad;
                partial.coalesced += coalesced;
                if partial.segments == MAX_SEGMENTS {
                    // What comes until its end is dropped segment by segment, so a device that never ends a packet
                    // holds no more than this.
                    partial.bad = true;
                    drop(buf);
                } else {
                    partial.segments += 1;
                    partial.first.chain(buf);
                }
                partial
            }
        };
        if !end {
            let next = F::next(words).unwrap_or(index + 1) & self.ring.mask();
            if self.partials.put(next, whole).is_some() {
                count(&self.stats.malformed, 1);
            }
            return None;
        }
        if whole.bad {
            count(&self.stats.malformed, 1);
            return None;
        }
        let packet = whole.first.packet_mut();
        packet.rx = info.with_coalesced(whole.coalesced);
        if info.flags().contains(RxFlags::FLOW_MATCH) {
            packet.mark = mark;
        }
        Some(whole.first)
    }
}
