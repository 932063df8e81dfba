//! Receive-side coalescing: TCP segments of one flow that follow each other become one packet (datasheet 7.11).
//!
//! A queue with RSCCTL.rscen collects segments of one flow at a time. The collection ends, and the packet goes to
//! memory, when the step ends (the card waits for the interrupt's time), a segment does not continue it, PSH is set, or
//! it is as long as MAXDESC descriptors. Of the headers, acknowledge number, window and time stamp are the last segment's, the
//! IP length and with it the IP checksum are the whole packet's (stacks check that one themselves); the TCP checksum stays that
//! of the first.
//!
//! Coalesced are IPv4 packets without options or fragmentation, with right checksums, ACK and at most PSH, no TCP option but
//! the time stamp.
//!
//! Key types: [`Coalescer`], [`Large`]. Neighbours: [`Rx`](super::Rx) offers each packet before it delivers it.

use pmd_ixgbe::desc::rx;
use pmd_ixgbe::regs::{HLREG0, RFCTL, RSCCTL};

use super::steer::Target;
use crate::checksum::ones_sum;
use crate::packet::{Ip, L4, Parsed};
use crate::regs::RegisterFile;

/// TCP flags that a segment may have: ACK, which it must, and PSH.
const ACK: u8 = 1 << 4;
const PSH: u8 = 1 << 3;
/// The longest IP packet.
const LONGEST: usize = 0xFFFF;

/// A segment's place in its flow.
#[derive(Clone, Copy)]
struct Segment {
    /// Where things are in the packet as it goes to memory.
    l3_at: usize,
    l4_at: usize,
    payload_at: usize,
    end: usize,
    sequence: u32,
    push: bool,
}

/// A packet made of several.
pub(crate) struct Large {
    pub(crate) target: Target,
    pub(crate) bytes: Vec<u8>,
    /// Where the data of each segment begins in `bytes`; the first begins with the headers, at 0.
    pub(crate) starts: Vec<usize>,
    first: Segment,
    next_sequence: u32,
    limit: usize,
}

/// What became of a packet that was offered.
pub(crate) enum Offer {
    /// It was taken in. If it completes its packet, that is to be delivered.
    Taken(Option<Large>),
    /// It is to be delivered as it is, after the packet that it ended.
    Refused(Option<Large>),
}

/// The packets being collected, one a queue.
#[derive(Default)]
pub(crate) struct Coalescer {
    open: Vec<Large>,
    spare: Vec<(Vec<u8>, Vec<usize>)>,
}

impl Coalescer {
    /// Forgets everything; returns how many segments that were.
    pub(crate) fn clear(&mut self) -> usize {
        self.open.drain(..).map(|large| large.starts.len()).sum()
    }

    /// Takes any packet out.
    pub(crate) fn take(&mut self) -> Option<Large> {
        self.open.pop()
    }

    /// A packet's memory is free again.
    pub(crate) fn recycle(&mut self, large: Large) {
        if self.spare.len() < 16 {
            self.spare.push((large.bytes, large.starts));
        }
    }

    /// Offers a packet of which `shift` bytes (a tag) were taken out; `buffer` is the size of the queue's buffers.
    pub(crate) fn offer(
        &mut self,
        regs: &RegisterFile,
        packet: &[u8],
        parsed: &Parsed,
        shift: usize,
        target: &Target,
        buffer: usize,
    ) -> Offer {
        let place = self.open.iter().position(|large| large.target.queue == target.queue);
        let control = regs.at::<RSCCTL>(target.queue);
        let segment = segment(regs, packet, parsed, shift, target).filter(|_| control.rscen());
        let Some(segment) = segment else {
            return Offer::Refused(place.map(|place| self.open.swap_remove(place)));
        };
        if let Some(place) = place
            && self.open[place].continues(packet, &segment, target)
        {
            let large = &mut self.open[place];
            large.append(packet, &segment);
            let done = segment.push || large.bytes.len() + segment.end > large.limit;
            return Offer::Taken(done.then(|| self.open.swap_remove(place)));
        }
        let ended = place.map(|place| self.open.swap_remove(place));
        if segment.push {
            return Offer::Refused(ended);
        }
        let (mut bytes, mut starts) = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(&packet[..segment.end]);
        starts.clear();
        starts.push(0);
        // MAXDESC: 1, 4, 8 or 16 descriptors.
        let descriptors = [1, 4, 8, 16][control.maxdesc() as usize & 3];
        let limit = (descriptors * buffer).min(LONGEST);
        let next_sequence = segment.sequence.wrapping_add((segment.end - segment.payload_at) as u32);
        self.open.push(Large { target: *target, bytes, starts, first: segment, next_sequence, limit });
        Offer::Taken(ended)
    }
}

impl Large {
    fn continues(&self, packet: &[u8], segment: &Segment, target: &Target) -> bool {
        let same = |range: core::ops::Range<usize>| packet[range.clone()] == self.bytes[range];
        let header = segment.payload_at - segment.l4_at;
        segment.sequence == self.next_sequence
            && (segment.l3_at, segment.l4_at) == (self.first.l3_at, self.first.l4_at)
            && header == self.first.payload_at - self.first.l4_at
            && target.meta.vlan == self.target.meta.vlan
            && self.bytes.len() + (segment.end - segment.payload_at) <= self.limit
            // Type of service, addresses, ports.
            && same(segment.l3_at + 1..segment.l3_at + 2)
            && same(segment.l3_at + 12..segment.l3_at + 20)
            && same(segment.l4_at..segment.l4_at + 4)
    }

    fn append(&mut self, packet: &[u8], segment: &Segment) {
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&packet[segment.payload_at..segment.end]);
        self.next_sequence = segment.sequence.wrapping_add((segment.end - segment.payload_at) as u32);
        let total = (self.bytes.len() - segment.l3_at) as u16;
        let header = &mut self.bytes[segment.l3_at..segment.l3_at + 20];
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[10..12].fill(0);
        let sum = !ones_sum(header, 0);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let l4 = segment.l4_at;
        // Acknowledge number, window, and the option: the newest.
        for range in [l4 + 8..l4 + 12, l4 + 14..l4 + 16, l4 + 20..segment.payload_at] {
            self.bytes[range.clone()].copy_from_slice(&packet[range]);
        }
        self.bytes[l4 + 13] |= packet[l4 + 13] & PSH;
    }
}

/// The segment, if the packet can be coalesced.
fn segment(
    regs: &RegisterFile,
    packet: &[u8],
    parsed: &Parsed,
    shift: usize,
    target: &Target,
) -> Option<Segment> {
    if parsed.ip != Ip::V4 || parsed.l4 != L4::Tcp || regs.get::<RFCTL>().rsc_dis() {
        return None;
    }
    // The FCS must be off for data to join data.
    if !regs.get::<HLREG0>().rxcrcstrp() {
        return None;
    }
    let wrong = rx::IPE | rx::L4E;
    if parsed.l4_at - parsed.l3_at != 20
        || target.meta.status & wrong != 0
        || target.meta.status & rx::TS != 0
    {
        return None;
    }
    let (l3_at, l4_at, end) = (parsed.l3_at - shift, parsed.l4_at - shift, parsed.ip_end - shift);
    let tcp = &packet[l4_at..end];
    let header = usize::from(tcp[12] >> 4) * 4;
    let option = match header {
        20 => true,
        // No-operation twice, then the time stamp.
        32 => tcp.get(20..24) == Some(&[1, 1, 8, 10][..]),
        _ => false,
    };
    let flags = tcp[13];
    if !option || flags & !(ACK | PSH) != 0 || flags & ACK == 0 || tcp[12] & 1 != 0 || tcp.len() <= header {
        return None;
    }
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    Some(Segment { l3_at, l4_at, payload_at: l4_at + header, end, sequence, push: flags & PSH != 0 })
}
