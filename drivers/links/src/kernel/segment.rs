//! Finishing what the kernel leaves to hardware.
//!
//! What it does: on its way to a packet socket a frame may lack its TCP or UDP checksum, and may be up to 64 KiB of
//! TCP or UDP data that a NIC would cut into frames on sending (TSO, USO), or has joined on receiving (GRO). A wire
//! carries neither: here the checksum is computed and the segments are cut.
//! Key types: [`VnetHeader`], [`finish_into`].
//! Neighbours: the packet socket, which also gives the VLAN tag that the kernel took out.

use crate::queue::FrameQueue;
use crate::traffic::checksum::{finish, finish_udp, sum};

/// `struct virtio_net_hdr` (linux/virtio_net.h): what the kernel says of a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    gso_size: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

/// A VLAN tag as it stands behind the addresses.
pub(super) type Tag = [u8; 4];

impl VnetHeader {
    pub(super) const LEN: usize = 10;
    const NEEDS_CHECKSUM: u8 = 1;
    const GSO_TCPV4: u8 = 1;
    const GSO_TCPV6: u8 = 4;
    const GSO_UDP_L4: u8 = 5;
    const GSO_ECN: u8 = 0x80;

    /// In the machine's byte order, as packet sockets have it.
    pub(super) fn read(bytes: &[u8; Self::LEN]) -> VnetHeader {
        let word = |i: usize| u16::from_ne_bytes([bytes[i], bytes[i + 1]]);
        VnetHeader {
            flags: bytes[0],
            gso_type: bytes[1],
            gso_size: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        }
    }
}

/// Appends to `out` the frames that a wire would have carried. `None`, with `out` as it was, when the frame contradicts
/// its header or is of a kind that cannot be cut.
pub(super) fn finish_into(
    out: &mut FrameQueue,
    frame: &[u8],
    header: VnetHeader,
    tag: Option<Tag>,
) -> Option<()> {
    if header.gso_type != 0 {
        return Packet::parse(frame, header)?.cut_into(out, tag);
    }
    let mut checksum = None;
    if header.flags & VnetHeader::NEEDS_CHECKSUM != 0 {
        let start = usize::from(header.checksum_start);
        let at = start + usize::from(header.checksum_offset);
        frame.get(at..at + 2)?;
        // The field holds the sum of the pseudo header. Zero is never written: UDP forbids it, and to TCP 0xffff says
        // the same.
        checksum = Some((at, finish_udp(sum(frame.get(start..)?))));
    }
    let copy = push_tagged(out, frame, tag)?;
    if let Some((at, checksum)) = checksum {
        // The tag went in before the IP header, so what it covers has moved.
        let at = at + tag.map_or(0, |tag| tag.len());
        copy.get_mut(at..at + 2)?.copy_from_slice(&checksum.to_be_bytes());
    }
    Some(())
}

/// Appends a frame, with the tag put in behind the addresses.
fn push_tagged<'q>(out: &'q mut FrameQueue, frame: &[u8], tag: Option<Tag>) -> Option<&'q mut Vec<u8>> {
    let Some(tag) = tag else {
        return Some(out.push(frame));
    };
    let (addresses, rest) = frame.split_at_checked(12)?;
    let copy = out.push(addresses);
    copy.extend_from_slice(&tag);
    copy.extend_from_slice(rest);
    Some(copy)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

/// A large segment, taken apart.
struct Packet<'f> {
    headers: &'f [u8],
    payload: &'f [u8],
    segment: usize,
    v6: bool,
    transport: Transport,
    /// Offsets of the IP and the transport header.
    l3: usize,
    l4: usize,
}

impl<'f> Packet<'f> {
    fn parse(frame: &'f [u8], header: VnetHeader) -> Option<Packet<'f>> {
        let (v6, transport) = match header.gso_type & !VnetHeader::GSO_ECN {
            VnetHeader::GSO_TCPV4 => (Some(false), Transport::Tcp),
            VnetHeader::GSO_TCPV6 => (Some(true), Transport::Tcp),
            VnetHeader::GSO_UDP_L4 => (None, Transport::Udp),
            _ => return None,
        };
        let mut at = 12;
        let is_v6 = loop {
            let ether_type = frame.get(at..at + 2)?;
            match ether_type {
                [0x81, 0x00] | [0x88, 0xa8] => at += 4,
                [0x08, 0x00] => break false,
                [0x86, 0xdd] => break true,
                _ => return None,
            }
        };
        let l3 = at + 2;
        let ip = frame.get(l3..)?;
        let (l4, protocol) = if is_v6 {
            // With extension headers only the kernel's own offset finds the transport header.
            let checksum_start = usize::from(header.checksum_start);
            match *ip.get(6)? {
                protocol @ (6 | 17) => (l3 + 40, protocol),
                _ if header.flags & VnetHeader::NEEDS_CHECKSUM != 0 && checksum_start >= l3 + 40 => {
                    (checksum_start, if transport == Transport::Tcp { 6 } else { 17 })
                }
                _ => return None,
            }
        } else {
            (l3 + usize::from(ip.first()? & 0xf) * 4, *ip.get(9)?)
        };
        let expected = if transport == Transport::Tcp { 6 } else { 17 };
        let version = ip.first()? >> 4;
        if protocol != expected
            || version != if is_v6 { 6 } else { 4 }
            || v6.is_some_and(|v6| v6 != is_v6)
            || l4 < l3 + 20
        {
            return None;
        }
        let transport_len = match transport {
            Transport::Tcp => usize::from(frame.get(l4 + 12)? >> 4) * 4,
            Transport::Udp => 8,
        };
        let (headers, payload) = frame.split_at_checked(l4 + transport_len)?;
        let segment = usize::from(header.gso_size);
        let ip_len = headers.len() - l3 + segment.min(payload.len());
        let sane = segment > 0
            && !payload.is_empty()
            && ip_len <= usize::from(u16::MAX)
            && (transport == Transport::Udp || transport_len >= 20);
        sane.then_some(Packet { headers, payload, segment, v6: is_v6, transport, l3, l4 })
    }

    fn cut_into(&self, out: &mut FrameQueue, tag: Option<Tag>) -> Option<()> {
        let last = (self.payload.len() - 1) / self.segment;
        let shift = tag.map_or(0, |tag| tag.len());
        for (index, piece) in self.payload.chunks(self.segment).enumerate() {
            let frame = push_tagged(out, self.headers, tag)?;
            frame.extend_from_slice(piece);
            self.finish(&mut frame[shift..], index, index == last);
        }
        Some(())
    }

    /// Writes what differs between the segments. The first `shift` bytes were cut away, so that offsets are those of
    /// the untagged frame; the bytes before the IP header are not touched. All offsets were checked by `parse`.
    fn finish(&self, frame: &mut [u8], index: usize, is_last: bool) {
        let (head, l4) = frame.split_at_mut(self.l4);
        let ip = &mut head[self.l3..];
        let ip_len = (ip.len() + l4.len()) as u16;
        let addresses = if self.v6 {
            ip[4..6].copy_from_slice(&(ip_len - 40).to_be_bytes());
            sum(&ip[8..40])
        } else {
            ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
            let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(index as u16);
            ip[4..6].copy_from_slice(&id.to_be_bytes());
            ip[10..12].fill(0);
            let checksum = finish(sum(ip));
            ip[10..12].copy_from_slice(&checksum.to_be_bytes());
            sum(&ip[12..20])
        };
        match self.transport {
            Transport::Tcp => {
                let number = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]);
                let number = number.wrapping_add((index * self.segment) as u32);
                l4[4..8].copy_from_slice(&number.to_be_bytes());
                const FIN_PSH: u8 = 0x09;
                const CWR: u8 = 0x80;
                if !is_last {
                    l4[13] &= !FIN_PSH;
                }
                if index > 0 {
                    l4[13] &= !CWR;
                }
                l4[16..18].fill(0);
                let checksum = finish(addresses + 6 + l4.len() as u64 + sum(l4));
                l4[16..18].copy_from_slice(&checksum.to_be_bytes());
            }
            Transport::Udp => {
                let len = l4.len() as u16;
                l4[4..6].copy_from_slice(&len.to_be_bytes());
                l4[6..8].fill(0);
                let checksum = finish_udp(addresses + 17 + u64::from(len) + sum(l4));
                l4[6..8].copy_from_slice(&checksum.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
