//! Segmentation of a packet into frames of MSS payload bytes each (datasheet 7.2.4).
//!
//! Each frame repeats the headers with lengths, IP id, sequence number, flags and checksums of its own. The flags of the
//! first, the middle and the last one go through the masks of DTXTCPFLGL and DTXTCPFLGH; a packet of one segment keeps
//! its flags.
//!
//! Key types: [`Segments`]. Neighbours: [`assemble`](super::assemble) checks and makes it, [`queue`](super::queue)
//! sends frame by frame.

use super::descriptor::{Context, Protocol};
use super::offload::{self, Reason};
use crate::state::{StateError, check, state};

/// Bytes of the longest packet to be segmented: PAYLEN's 18 bits and headers.
pub(crate) const LONGEST: usize = (1 << 18) + 1024;

/// The masks of TCP flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagMasks {
    pub(crate) first: u16,
    pub(crate) middle: u16,
    pub(crate) last: u16,
}

/// A packet on its way into frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segments {
    context: Context,
    masks: FlagMasks,
    headers: usize,
    /// Payload bytes sent so far.
    sent: usize,
    /// Frames made so far.
    index: u32,
}

state!(FlagMasks { first, middle, last });
state!(Segments { context, masks, headers, sent, index });

impl Segments {
    /// Checks what came from outside against the packet that it is to cut.
    pub(crate) fn sound(&self, packet: &[u8]) -> Result<(), StateError> {
        let payload = packet.len().checked_sub(self.headers);
        let fresh = payload.and_then(|payload| Segments::new(packet, self.context, payload, self.masks).ok());
        let fits = fresh.is_some_and(|fresh| fresh.headers == self.headers)
            && self.sent <= payload.unwrap_or(0)
            && self.index as usize <= self.sent;
        check(fits, "a packet half cut into frames that does not fit its context")
    }

    /// Checks that the packet and its context go together.
    pub(crate) fn new(
        packet: &[u8],
        context: Context,
        payload: usize,
        masks: FlagMasks,
    ) -> Result<Segments, Reason> {
        let headers = context.mac_len + context.ip_len + context.l4_len;
        let least = if context.ipv4 { 20 } else { 40 };
        let least_l4 = match context.l4 {
            Protocol::Tcp => 20,
            Protocol::Udp => 8,
            _ => return Err("segmentation is for TCP and UDP"),
        };
        if context.mss == 0 {
            return Err("segmentation with an MSS of 0");
        }
        if context.ip_len < least || context.l4_len < least_l4 || context.mac_len < 14 {
            return Err("segmentation with header lengths too short for their headers");
        }
        if headers >= packet.len() || packet.len() - headers != payload {
            return Err("segmentation where headers and PAYLEN are not the packet's length");
        }
        if headers + context.mss > pmd_ixgbe::desc::MAX_FRAME as usize {
            return Err("segmentation into frames longer than the device sends");
        }
        Ok(Segments { context, masks, headers, sent: 0, index: 0 })
    }

    /// Makes the next frame; `false` when all are made.
    pub(crate) fn next(&mut self, packet: &[u8], frame: &mut Vec<u8>) -> Result<bool, Reason> {
        let payload = &packet[self.headers..];
        if self.sent == payload.len() {
            return Ok(false);
        }
        let end = payload.len().min(self.sent + self.context.mss);
        frame.clear();
        frame.extend_from_slice(&packet[..self.headers]);
        frame.extend_from_slice(&payload[self.sent..end]);
        self.headers(frame, end == payload.len())?;
        self.sent = end;
        self.index += 1;
        Ok(true)
    }

    fn headers(&self, frame: &mut [u8], last: bool) -> Result<(), Reason> {
        let Context { mac_len, ip_len, .. } = self.context;
        let ip_total = frame.len() - mac_len;
        let l4_total = ip_total - ip_len;
        let ip = &mut frame[mac_len..];
        if self.context.ipv4 {
            ip[2..4].copy_from_slice(&(ip_total as u16).to_be_bytes());
            let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(self.index as u16);
            ip[4..6].copy_from_slice(&id.to_be_bytes());
            ip[10..12].fill(0);
            offload::ip_checksum(frame, &self.context)?;
        } else {
            ip[4..6].copy_from_slice(&((ip_total - 40) as u16).to_be_bytes());
        }
        let l4 = &mut frame[mac_len + ip_len..];
        match self.context.l4 {
            Protocol::Tcp => {
                let sequence =
                    u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]).wrapping_add(self.sent as u32);
                l4[4..8].copy_from_slice(&sequence.to_be_bytes());
                let flags = u16::from_be_bytes([l4[12], l4[13]]);
                let mask = match (self.index == 0, last) {
                    (true, true) => 0xFFF,
                    (true, false) => self.masks.first,
                    (false, false) => self.masks.middle,
                    (false, true) => self.masks.last,
                };
                l4[12..14].copy_from_slice(&(flags & (mask | 0xF000)).to_be_bytes());
            }
            _ => l4[4..6].copy_from_slice(&(l4_total as u16).to_be_bytes()),
        }
        offload::l4_checksum(frame, &self.context, l4_total as u32)
    }
}
