//! The judge of generated frames.
//!
//! Key types: [`Checker`], with its [`Verdict`].
//! Neighbours: reads what the [`Generator`](crate::Generator) stamped; [`Sink`](crate::Sink) is a link around it, and
//! a tool may feed it from a driver directly.

use super::checksum::{fold, sum};
use super::stamp::{self, PATTERN, PATTERN_SUM, Stamp};
use crate::counters::{Live, add};
use crate::{Verdict, Watch};

/// Numbers behind the newest one that are remembered per flow.
const WINDOW: u64 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Judges frames one by one, and counts. Order is judged within a flow, as a NIC with several queues keeps no other.
/// What a forwarder may change does not matter: MAC addresses, a VLAN tag, swapped IP addresses and ports, padding
/// behind the IP packet, a UDP checksum of zero.
#[derive(Default)]
pub struct Checker {
    flows: Vec<Flow>,
    counts: Live<Verdict>,
}

enum Judged {
    Whole(Stamp),
    Corrupt,
    Foreign,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Checker {
        Checker::default()
    }

    /// What was found so far.
    pub fn verdict(&self) -> Verdict {
        self.counts.get()
    }

    /// The same, to be read from anywhere.
    pub fn watch(&self) -> Watch<Verdict> {
        self.counts.watch()
    }

    /// Judges a frame without FCS, from its destination address on.
    pub fn check(&mut self, frame: &[u8]) {
        self.count_only(frame);
        let counts = &*self.counts;
        let stamp = match judge(frame) {
            Judged::Whole(stamp) => stamp,
            Judged::Corrupt => return add(&counts.corrupt, 1),
            Judged::Foreign => return add(&counts.foreign, 1),
        };
        let index = usize::from(stamp.flow);
        if index >= self.flows.len() {
            self.flows.resize(index + 1, Flow::default());
        }
        match self.flows[index].arrive(stamp.number) {
            Arrival::Next => add(&counts.good, 1),
            Arrival::Skipped(numbers) => {
                add(&counts.good, 1);
                add(&counts.lost, numbers);
            }
            Arrival::Late => {
                add(&counts.good, 1);
                add(&counts.reordered, 1);
                // It was counted as lost when it was passed over.
                add(&counts.lost, 1u64.wrapping_neg());
            }
            Arrival::Again => add(&counts.duplicated, 1),
            Arrival::Stale => add(&counts.stale, 1),
        }
    }

    pub(super) fn count_only(&mut self, frame: &[u8]) {
        add(&self.counts.frames, 1);
        add(&self.counts.bytes, frame.len() as u64);
    }
}

fn judge(frame: &[u8]) -> Judged {
    let Some(found) = find_udp(frame) else {
        return Judged::Foreign;
    };
    let stamp = match Stamp::read(found.stamp, found.udp_len) {
        None => return Judged::Foreign,
        Some(None) => return Judged::Corrupt,
        Some(Some(stamp)) => stamp,
    };
    let filling = found.filling;
    if PATTERN.get(..filling.len()) != Some(filling) || fold(found.ip_sum) != 0xffff {
        return Judged::Corrupt;
    }
    // A checksum of zero is none (RFC 768).
    let unchecked = found.udp[6..8] == [0, 0];
    let udp_sum = found.addresses_sum + 17 + u64::from(found.udp_len) + sum(found.udp) + sum(found.stamp);
    if !unchecked && fold(udp_sum + u64::from(PATTERN_SUM[filling.len()])) != 0xffff {
        return Judged::Corrupt;
    }
    Judged::Whole(stamp)
}

/// An IPv4 and UDP packet, taken apart. Arrays, so that the compiler unrolls their sums.
struct Datagram<'f> {
    ip_sum: u64,
    addresses_sum: u64,
    udp: &'f [u8; 8],
    udp_len: u16,
    stamp: &'f [u8; stamp::LEN],
    filling: &'f [u8],
}

/// Takes a frame apart, if it is long enough and its lengths agree.
fn find_udp(frame: &[u8]) -> Option<Datagram<'_>> {
    let mut rest = frame.get(12..)?;
    let packet = loop {
        let (ether_type, after) = rest.split_first_chunk::<2>()?;
        match u16::from_be_bytes(*ether_type) {
            0x0800 => break after,
            0x8100 | 0x88a8 => rest = after.get(2..)?,
            _ => return None,
        }
    };
    let fixed = packet.first_chunk::<20>()?;
    let header_len = usize::from(fixed[0] & 0xf) * 4;
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    // Version 4, protocol UDP; only "don't fragment" may be set among flags and offset.
    if fixed[0] >> 4 != 4 || fixed[9] != 17 || [fixed[6] & 0xbf, fixed[7]] != [0, 0] || header_len < 20 {
        return None;
    }
    let (header, datagram) = packet.get(..total_len)?.split_at_checked(header_len)?;
    let (udp, payload) = datagram.split_first_chunk::<8>()?;
    let (stamp, filling) = payload.split_first_chunk::<{ stamp::LEN }>()?;
    let udp_len = u16::from_be_bytes([udp[4], udp[5]]);
    if usize::from(udp_len) != datagram.len() {
        return None;
    }
    let ip_sum = sum(fixed) + sum(header.get(20..)?);
    let [.., a, b, c, d, e, f, g, h] = *fixed;
    Some(Datagram { ip_sum, addresses_sum: sum(&[a, b, c, d, e, f, g, h]), udp, udp_len, stamp, filling })
}

/// What is known of a flow: the number expected next, and which of the 1,024 before it arrived (bit `n % 1024`).
#[derive(Clone, Copy, Default)]
struct Flow {
    next: u64,
    arrived: [u64; WORDS],
}

#[derive(Debug, PartialEq, Eq)]
enum Arrival {
    Next,
    /// So many numbers were passed over.
    Skipped(u64),
    Late,
    Again,
    Stale,
}

impl Flow {
    fn arrive(&mut self, number: u64) -> Arrival {
        if number < self.next {
            if self.next - number > WINDOW {
                return Arrival::Stale;
            }
            return if self.mark(number) { Arrival::Again } else { Arrival::Late };
        }
        let skipped = number - self.next;
        if skipped >= WINDOW {
            self.arrived = [0; WORDS];
        } else {
            (self.next..number).for_each(|passed| self.clear(passed));
        }
        // Set, whatever stood there: the bit of the number 1,024 before.
        self.mark(number);
        self.next = number + 1;
        if skipped == 0 { Arrival::Next } else { Arrival::Skipped(skipped) }
    }

    /// Sets the bit, and says whether it was set.
    fn mark(&mut self, number: u64) -> bool {
        let (word, bit) = Flow::place(number);
        let was = self.arrived[word] & bit != 0;
        self.arrived[word] |= bit;
        was
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = Flow::place(number);
        self.arrived[word] &= !bit;
    }

    fn place(number: u64) -> (usize, u64) {
        ((number / 64) as usize % WORDS, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_told_apart() {
        let mut flow = Flow::default();
        let steps = [
            (0, Arrival::Next),
            (3, Arrival::Skipped(2)),
            (1, Arrival::Late),
            (1, Arrival::Again),
            (3, Arrival::Again),
            (4, Arrival::Next),
            (1_027, Arrival::Skipped(1_022)),
            (3, Arrival::Stale),
            (4, Arrival::Again),
            (5, Arrival::Late),
            (10_000, Arrival::Skipped(8_972)),
            (9_999, Arrival::Late),
            (9_999, Arrival::Again),
            (8_976, Arrival::Stale),
        ];
        for (number, expected) in steps {
            assert_eq!(flow.arrive(number), expected, "number {number}");
        }
    }

    /// Against a set that remembers everything.
    #[test]
    fn the_window_agrees_with_a_set() {
        let mut flow = Flow::default();
        let mut seen = std::collections::HashSet::new();
        let mut newest = None::<u64>;
        let mut random = 1u64;
        let mut base = 0u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            base += random >> 62;
            let number = (base + 1_500).saturating_sub((random >> 40) % 1_600);
            let expected = match newest {
                Some(newest) if number + WINDOW < newest + 1 => Arrival::Stale,
                Some(newest) if number <= newest && seen.contains(&number) => Arrival::Again,
                Some(newest) if number <= newest => Arrival::Late,
                _ => match number - newest.map_or(0, |newest| newest + 1) {
                    0 => Arrival::Next,
                    skipped => Arrival::Skipped(skipped),
                },
            };
            assert_eq!(flow.arrive(number), expected, "number {number}");
            seen.insert(number);
            newest = newest.max(Some(number));
        }
    }
}
