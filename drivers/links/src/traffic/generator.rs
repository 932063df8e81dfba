//! A source of frames that say who they are.
//!
//! Key types: [`Generator`], [`GeneratorConfig`], [`FrameSize`].
//! Neighbours: its stamps are read by the [`Checker`](crate::Checker); [`split`](crate::split()) gives it a drain.

use thiserror::Error;

use super::checksum::{finish, finish_udp, sum};
use super::stamp::{self, PATTERN, PATTERN_SUM, Stamp};
use crate::{Link, LinkError, LinkStatus, Nanos, Sent};

/// The smallest Ethernet frame, FCS included.
pub const MIN_FRAME_SIZE: u16 = 64;
/// The largest frame a generator makes, FCS included; more than the 82599's 15.5 KiB, to test its limit.
pub const MAX_FRAME_SIZE: u16 = 16_384;
const FCS: u16 = 4;
const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
const IPV4: usize = 20;
const UDP: usize = 8;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// "Simple IMIX": seven small, four medium and one large frame in every twelve, spread as evenly as they go.
const IMIX: [u16; 12] = [64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64];

/// Sizes of the frames, FCS included, as RFC 2544 counts: 64 is the smallest, and the MAC is given 60 bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// All the same.
    Fixed(u16),
    /// 64, 594 and 1,518 bytes, 7 : 4 : 1.
    Imix,
}

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorConfig {
    /// Frame sizes; [`MIN_FRAME_SIZE`] to [`MAX_FRAME_SIZE`].
    pub size: FrameSize,
    /// Flows, taken in turn: 1 to 65,535. Flow `i` comes from 198.18.0.1 + `i` (RFC 2544's range), port 1024 + `i`,
    /// and goes to 198.19.0.1, port 9 (discard), so that RSS spreads the flows whichever fields it hashes.
    pub flows: u32,
    /// Frames a second by the link's clock, from the first [`receive`](Link::receive) on: up to 1,000,000,000.
    /// Without, as fast as they are taken.
    pub rate: Option<u64>,
    /// Frames in all; then the link is exhausted.
    pub count: Option<u64>,
    /// VLAN id of an 802.1Q tag: 0 to 4094.
    pub vlan: Option<u16>,
    /// Destination MAC address.
    pub destination: [u8; 6],
    /// Source MAC address.
    pub source: [u8; 6],
}

impl Default for GeneratorConfig {
    /// 64-byte frames of one flow, without end, as fast as they are taken.
    fn default() -> Self {
        GeneratorConfig {
            size: FrameSize::Fixed(MIN_FRAME_SIZE),
            flows: 1,
            rate: None,
            count: None,
            vlan: None,
            // Locally administered, unicast.
            destination: [0x02, 0, 0, 0, 0, 0x02],
            source: [0x02, 0, 0, 0, 0, 0x01],
        }
    }
}

impl GeneratorConfig {
    /// Whether a generator can do this.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn check(&self) -> Result<(), GeneratorError> {
        match self.size {
            FrameSize::Fixed(size) if !(MIN_FRAME_SIZE..=MAX_FRAME_SIZE).contains(&size) => {
                return Err(GeneratorError::Size(size));
            }
            FrameSize::Fixed(_) | FrameSize::Imix => {}
        }
        if !(1..=u32::from(u16::MAX)).contains(&self.flows) {
            return Err(GeneratorError::Flows(self.flows));
        }
        if let Some(vlan) = self.vlan.filter(|&vlan| vlan > 4094) {
            return Err(GeneratorError::Vlan(vlan));
        }
        match self.rate {
            Some(rate) if rate == 0 || rate > NANOS_PER_SECOND => Err(GeneratorError::Rate(rate)),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a generator cannot generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GeneratorError {
    /// The frame size.
    #[error("frames of {0} bytes cannot be generated: use 64 to 16384 (FCS included), or imix")]
    Size(u16),
    /// The number of flows.
    #[error("{0} flows cannot be generated: use 1 to 65535")]
    Flows(u32),
    /// The rate.
    #[error("a rate of {0} frames a second cannot be kept: use 1 to 1000000000 (1G), or none for full speed")]
    Rate(u64),
    /// The VLAN id.
    #[error("there is no VLAN {0}: use 0 to 4094")]
    Vlan(u16),
}

/// A frame of one size in which only the flow, the stamp and the checksums are still to be filled in.
struct Template {
    bytes: Vec<u8>,
    /// Sum over the IP header without source address and checksum.
    ip_sum: u64,
    /// Sum over pseudo header, UDP header, magic and pattern, without source address and port.
    udp_sum: u64,
    udp_len: u16,
}

/// Produces frames by copying a template and patching 24 bytes; no allocation once the caller's buffer has
/// grown. It is a source: what is sent into it vanishes.
pub struct Generator {
    templates: Vec<Template>,
    /// Which template is next.
    turn: usize,
    /// Offset of the IP header.
    l3: usize,
    flows: u16,
    flow: u16,
    number: u64,
    left: Option<u64>,
    pace: Option<Pace>,
}

impl Generator {
    /// Prepares the templates.
    ///
    /// # Errors
    /// A value outside its range, as [`GeneratorConfig`] lists them.
    pub fn new(config: &GeneratorConfig) -> Result<Generator, GeneratorError> {
        config.check()?;
        let sizes: &[u16] = match &config.size {
            FrameSize::Fixed(size) => core::slice::from_ref(size),
            FrameSize::Imix => &IMIX,
        };
        Ok(Generator {
            templates: sizes.iter().map(|&size| Template::new(config, size)).collect(),
            turn: 0,
            l3: ETHERNET + if config.vlan.is_some() { VLAN_TAG } else { 0 },
            // Checked to fit.
            flows: config.flows as u16,
            flow: 0,
            number: 0,
            left: config.count,
            pace: config.rate.map(|rate| Pace { rate, due: None, remainder: 0 }),
        })
    }

    /// Frames generated so far.
    pub fn generated(&self) -> u64 {
        self.number * u64::from(self.flows) + u64::from(self.flow)
    }

    fn write(&self, frame: &mut Vec<u8>) {
        let template = &self.templates[self.turn];
        frame.clear();
        frame.extend_from_slice(&template.bytes);

        let flow = u32::from(self.flow);
        // At most 198.18.255.255, and port 65,535: what is beyond wraps to 1024 again, under another address.
        let source = 0xc612_0001 + flow;
        let port = 1024 + (flow % 64_512) as u16;
        let stamp = Stamp { flow: self.flow, number: self.number }.bits(template.udp_len);

        // Sums of 32-bit words: what overflows 16 bits is folded in at the end.
        let ip_checksum = finish(template.ip_sum + u64::from(source));
        let (upper, lower) = ((stamp >> 64) as u64, stamp as u64);
        let stamp_sum = (upper >> 32) + (upper & 0xffff_ffff) + (lower >> 32) + (lower & 0xffff_ffff);
        let udp_checksum = finish_udp(template.udp_sum + u64::from(source) + u64::from(port) + stamp_sum);

        let head =
            frame.get_mut(self.l3..).and_then(|rest| rest.first_chunk_mut::<{ IPV4 + UDP + stamp::LEN }>());
        let Some(head) = head else {
            return; // Never: every template is longer.
        };
        head[10..12].copy_from_slice(&ip_checksum.to_be_bytes());
        head[12..16].copy_from_slice(&source.to_be_bytes());
        head[20..22].copy_from_slice(&port.to_be_bytes());
        // The UDP checksum and the stamp are neighbours and 128 bits together.
        head[26..42].copy_from_slice(&(u128::from(udp_checksum) << 112 | stamp).to_be_bytes());
    }

    fn advance(&mut self) {
        self.turn += 1;
        if self.turn == self.templates.len() {
            self.turn = 0;
        }
        self.flow += 1;
        if self.flow == self.flows {
            self.flow = 0;
            self.number += 1;
        }
    }
}

impl Template {
    fn new(config: &GeneratorConfig, size: u16) -> Template {
        let tag = if config.vlan.is_some() { VLAN_TAG } else { 0 };
        let len = usize::from(size - FCS);
        let ip_len = (len - ETHERNET - tag) as u16;
        let udp_len = ip_len - IPV4 as u16;
        let pattern_len = usize::from(udp_len) - UDP - stamp::LEN;

        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&config.destination);
        bytes.extend_from_slice(&config.source);
        if let Some(vlan) = config.vlan {
            bytes.extend_from_slice(&[0x81, 0x00]);
            bytes.extend_from_slice(&vlan.to_be_bytes());
        }
        bytes.extend_from_slice(&[0x08, 0x00]);
        let ip = bytes.len();
        bytes.extend_from_slice(&[0x45, 0]); // version 4, five words, best effort
        bytes.extend_from_slice(&ip_len.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0x40, 0]); // no id needed: "don't fragment" (RFC 6864)
        bytes.extend_from_slice(&[64, 17, 0, 0]); // hops, UDP, checksum
        bytes.extend_from_slice(&[0, 0, 0, 0]); // source
        bytes.extend_from_slice(&[198, 19, 0, 1]);
        let udp = bytes.len();
        bytes.extend_from_slice(&[0, 0, 0, 9]);
        bytes.extend_from_slice(&udp_len.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        let ip_sum = sum(&bytes[ip..udp]);
        // The pseudo header: addresses (the source is added per frame), protocol, length.
        let udp_sum = sum(&bytes[udp - 4..]) + 17 + u64::from(udp_len) + u64::from(PATTERN_SUM[pattern_len]);
        bytes.extend_from_slice(&[0; stamp::LEN]);
        bytes.extend_from_slice(&PATTERN[..pattern_len]);
        Template { bytes, ip_sum, udp_sum, udp_len }
    }
}

/// Spreads frames evenly over time, exactly `rate` in every second.
struct Pace {
    rate: u64,
    /// When the next frame is due, in whole nanoseconds; set by the first question.
    due: Option<Nanos>,
    /// What the divisions left over so far, in units of 1/`rate` ns.
    remainder: u64,
}

impl Pace {
    fn is_due(&mut self, now: Nanos) -> bool {
        // A frame whose time falls within a nanosecond waits for the end of it: none is ever early.
        let fraction = u64::from(self.remainder > 0);
        now >= self.due.get_or_insert(now).saturating_add(fraction)
    }

    fn advance(&mut self) {
        self.remainder += NANOS_PER_SECOND % self.rate;
        let mut step = NANOS_PER_SECOND / self.rate;
        if self.remainder >= self.rate {
            self.remainder -= self.rate;
            step += 1;
        }
        self.due = self.due.map(|due| due.saturating_add(step));
    }
}

impl Link for Generator {
    /// Takes the frame and drops it.
    fn transmit(&mut self, _frame: &[u8], _now: Nanos) -> Result<Sent, LinkError> {
        Ok(Sent::Accepted)
    }

    /// After a pause of the caller, the frames that a rate made due meanwhile come at once.
    #[inline]
    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        frame.clear();
        if self.left == Some(0) || self.pace.as_mut().is_some_and(|pace| !pace.is_due(now)) {
            return Ok(false);
        }
        self.write(frame);
        self.advance();
        if let Some(pace) = &mut self.pace {
            pace.advance();
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(true)
    }

    fn status(&mut self) -> LinkStatus {
        LinkStatus::UP_10G
    }

    fn exhausted(&self) -> bool {
        self.left == Some(0)
    }
}
