//! The slow way onto a transmit ring: offloads, several segments, foreign pools, and clones.
//!
//! [`post_one`](TxRing::post_one) sends a packet whatever it needs, [`burst_shared`](TxRing::burst_shared) read-only
//! clones; both ask the driver's [`TxFormat`] for a [`TxPlan`]. Plain packets never come here.

use core::sync::atomic::Ordering;

use super::slot::{SHARED, Slot};
use super::{REPORT_EVERY, TxError, TxFormat, TxPlan, TxRing};
use crate::dma::pool::{Burst, Cache, Packet, SharedBuf};

impl<F: TxFormat> TxRing<F> {
    /// Sends the first packet of `burst` whatever it needs; `Ok(None)` if the ring is too full for it, else its bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn post_one(&mut self, cache: &mut Cache, burst: &mut Burst) -> Result<Option<u64>, TxError> {
        let Some(first) = burst.as_slice().first() else { return Ok(None) };
        let plan = self.check(first)?;
        let Some(context) = self.make_room(cache, first, &plan) else { return Ok(None) };
        let bytes = first.packet_len() as u64;
        let Some(buf) = burst.take() else { return Ok(None) };
        self.plain &= !context && buf.pool == self.pool.shared_ptr() && !buf.is_segmented();
        self.context_for(&plan);
        // Each segment gets its own place on the ring, and so is freed by itself, to its own pool.
        let mut rest = Some(buf);
        while let Some(mut buf) = rest.take() {
            rest = buf.unchain();
            self.put(&buf, &plan, rest.is_none());
            self.shadow_put(buf.into_raw().as_ptr());
        }
        self.finish();
        Ok(Some(bytes))
    }

    /// Sends read-only clones, as [`burst`](Self::burst) does with packets of one owner. The slow way.
    pub fn burst_shared(
        &mut self,
        cache: &mut Cache,
        burst: &mut Burst<SharedBuf>,
    ) -> Result<usize, TxError> {
        if self.lost.is_lost() || self.stopped {
            return Err(self.why_not());
        }
        let (want, first) = (burst.len(), self.next);
        self.reap_for(cache, (want as u32).saturating_add(REPORT_EVERY));
        let mut bytes = 0;
        let mut error = None;
        while let Some(packet) = burst.as_slice().first() {
            let plan = match self.check(packet) {
                Ok(plan) => plan,
                Err(why) => {
                    error = Some(why);
                    break;
                }
            };
            if self.make_room(cache, packet, &plan).is_none() {
                break;
            }
            let Some(shared) = burst.take() else { break };
            bytes += shared.packet_len() as u64;
            self.plain = false;
            self.context_for(&plan);
            for segment in shared.segments() {
                self.put(segment, &plan, !segment.is_segmented());
                self.shadow_put(core::ptr::null_mut());
            }
            // The clone is let go with the packet's last descriptor.
            let last = self.next.wrapping_sub(1) & self.ring.mask();
            if let Some(slot) = self.shadow.get_mut(last as usize) {
                *slot = shared.into_raw().as_ptr().map_addr(|addr| addr | SHARED);
            }
            self.finish();
        }
        self.close(want, want - burst.len(), first, bytes, error)
    }

    /// Returns what to write for a packet that can be sent on this ring.
    fn check(&self, packet: &Packet) -> Result<TxPlan, TxError> {
        for segment in packet.segments() {
            // SAFETY: a packet that is out of its pool keeps the pool alive.
            if unsafe { segment.pool.as_ref() }.space() != self.ring.space() {
                return Err(TxError::ForeignSpace);
            }
            if segment.len == 0 {
                return Err(TxError::Empty);
            }
            if segment.len > F::MAX_SEGMENT {
                return Err(TxError::TooLong { len: segment.len, max: F::MAX_SEGMENT });
            }
        }
        let plan = F::plan(packet)?;
        let need = packet.segment_count() as u32 + u32::from(plan.context.is_some());
        // Descriptors that wait for a report to be due, fewer than `REPORT_EVERY`, may never be reaped: a packet must
        // fit beside them, or it would wait for good.
        let max = F::MAX_DESCRIPTORS.min(self.size() - REPORT_EVERY);
        if need > max { Err(TxError::TooManySegments { need, max }) } else { Ok(plan) }
    }

    /// Returns whether a context has to be written for `plan`; `None` if the ring is too full for the packet.
    fn make_room(&mut self, cache: &mut Cache, packet: &Packet, plan: &TxPlan) -> Option<bool> {
        let context = plan.context.is_some() && plan.context != self.context;
        let need = packet.segment_count() as u32 + u32::from(context);
        // A burst made room for packets of one descriptor each: enough for those, it may never reap for this one.
        if need > self.free {
            self.reap_for(cache, need);
        }
        (need <= self.free).then_some(context)
    }

    /// Writes the context descriptor that `plan` needs, unless the device holds it already.
    fn context_for(&mut self, plan: &TxPlan) {
        let (mask, kind) = F::KIND;
        if let Some(words) = plan.context.filter(|_| plan.context != self.context) {
            let cell = self.ring.at(self.next);
            cell[0].store(words[0].to_le(), Ordering::Relaxed);
            cell[1].store(((words[1] & !mask) | kind).to_le(), Ordering::Relaxed);
            self.context = plan.context;
            self.shadow_put(core::ptr::null_mut());
        }
    }

    /// Writes one segment's descriptor.
    fn put(&self, segment: &Packet, plan: &TxPlan, last: bool) {
        let (mask, kind) = F::KIND;
        let mut word = F::segment(plan, segment.len);
        // A data descriptor must not pass for a context, whose words are not addresses of ours.
        debug_assert!(word & mask != kind);
        if last {
            word |= F::END;
        }
        let cell = self.ring.at(self.next);
        cell[0].store((segment.iova + u64::from(segment.head.off)).to_le(), Ordering::Relaxed);
        cell[1].store(word.to_le(), Ordering::Relaxed);
    }

    /// Remembers what is on the descriptor just written, and goes on to the next.
    fn shadow_put(&mut self, slot: Slot) {
        if let Some(place) = self.shadow.get_mut(self.next as usize) {
            *place = slot;
        }
        self.next = (self.next + 1) & self.ring.mask();
        self.free -= 1;
        self.until_report = self.until_report.saturating_sub(1);
    }

    /// Ends a packet: a report is asked for on the END descriptor at or after the threshold, never inside of a packet.
    fn finish(&mut self) {
        if self.until_report == 0 {
            self.report(self.next.wrapping_sub(1) & self.ring.mask());
        }
    }
}
