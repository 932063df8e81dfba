//! 5-tuple filters and the SYN filter: flows of IPv4, and the beginnings of connections, to queues (datasheet 7.1.2.4,
//! 7.1.2.5).
//!
//! Key types: [`Tuples`]. Neighbours: [`steer`](super) asks after the EtherType filters.

use pmd_ixgbe::regs::{DAQF, FTQF, L34TIMIR, SAQF, SDPQF, SYNQF};
use vfio_hal::regs::Register;

use crate::packet::{Ip, L4, Parsed};
use crate::regs::RegisterFile;

/// FTQF.mask: a 1 leaves the field out.
mod mask {
    pub(super) const SOURCE: u32 = 1 << 0;
    pub(super) const DESTINATION: u32 = 1 << 1;
    pub(super) const SOURCE_PORT: u32 = 1 << 2;
    pub(super) const DESTINATION_PORT: u32 = 1 << 3;
    pub(super) const PROTOCOL: u32 = 1 << 4;
}
/// FTQF.protocol.
const TCP: u32 = 0;
const UDP: u32 = 1;
const SCTP: u32 = 2;
const OTHER: u32 = 3;
/// The TCP flag.
const SYN: u8 = 1 << 1;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) queue: usize,
    /// A low-latency interrupt is asked for.
    pub(crate) immediate: bool,
}

/// One filter; addresses and ports as on the wire, low byte first.
#[derive(Clone, Copy, Debug)]
struct Rule {
    mask: u32,
    source: u32,
    destination: u32,
    ports: u32,
    protocol: u32,
    target: Match,
}

/// The filters that are on, highest priority first.
#[derive(Default)]
pub(crate) struct Tuples {
    rules: Vec<Rule>,
    stale: bool,
}

impl Tuples {
    /// A register of a filter was written.
    pub(crate) fn invalidate(&mut self) {
        self.stale = true;
    }

    fn reload(&mut self, regs: &RegisterFile) {
        self.stale = false;
        let on = (0..FTQF::COUNT).filter(|i| regs.at::<FTQF>(*i).queue_enable());
        let mut rules: Vec<_> = on
            .map(|i| {
                let (filter, action) = (regs.at::<FTQF>(i), regs.at::<L34TIMIR>(i));
                let rule = Rule {
                    mask: filter.mask(),
                    source: regs.at::<SAQF>(i).bits(),
                    destination: regs.at::<DAQF>(i).bits(),
                    ports: regs.at::<SDPQF>(i).bits(),
                    protocol: filter.protocol(),
                    target: Match { queue: action.rx_queue() as usize, immediate: action.lli() },
                };
                (filter.priority(), rule)
            })
            .collect();
        // A stable sort: of equal priority, the lower filter goes first.
        rules.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        self.rules = rules.into_iter().map(|(_, rule)| rule).collect();
    }

    /// Where the packet goes, if a filter says so.
    #[inline]
    pub(crate) fn find(&mut self, regs: &RegisterFile, frame: &[u8], parsed: &Parsed) -> Option<Match> {
        let syn = regs.get::<SYNQF>();
        if !self.stale && self.rules.is_empty() && !syn.queue_enable() {
            return None;
        }
        if self.stale {
            self.reload(regs);
        }
        let syn_match = (syn.queue_enable() && parsed.tcp_flags(frame) & SYN != 0)
            .then(|| Match { queue: syn.rx_queue() as usize, immediate: false });
        let tuple = || self.tuple(frame, parsed);
        if syn.synqfp() { syn_match.or_else(tuple) } else { tuple().or(syn_match) }
    }

    fn tuple(&self, frame: &[u8], parsed: &Parsed) -> Option<Match> {
        if parsed.ip != Ip::V4 || self.rules.is_empty() {
            return None;
        }
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let addresses = parsed.addresses(frame);
        let (source, destination) = (word(&addresses[..4]), word(&addresses[4..]));
        let (protocol, ports) = match parsed.l4 {
            L4::Tcp => (TCP, Some(word(parsed.ports(frame)))),
            L4::Udp => (UDP, Some(word(parsed.ports(frame)))),
            L4::Sctp => (SCTP, Some(word(parsed.ports(frame)))),
            L4::None => (OTHER, None),
        };
        let matches = |rule: &&Rule| {
            let skip = |bit| rule.mask & bit != 0;
            (skip(mask::SOURCE) || rule.source == source)
                && (skip(mask::DESTINATION) || rule.destination == destination)
                && (skip(mask::PROTOCOL) || rule.protocol == protocol)
                && (skip(mask::SOURCE_PORT) || ports.is_some_and(|ports| ports as u16 == rule.ports as u16))
                && (skip(mask::DESTINATION_PORT)
                    || ports.is_some_and(|ports| ports >> 16 == rule.ports >> 16))
        };
        self.rules.iter().find(matches).map(|rule| rule.target)
    }
}
