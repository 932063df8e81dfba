//! Frames to send, and what is in those that came.

use alloc::vec;
use alloc::vec::Vec;

use vfio_hal::pmd::MacAddr;

use crate::net::sum;

/// Where the layers of an IPv4 frame start, without a VLAN tag and options.
pub(super) const L3: usize = 14;
pub(super) const L4: usize = 34;

/// Protocols.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;

/// Returns a frame of `len` bytes whose payload depends on `seed`.
pub(super) fn plain(to: MacAddr, from: MacAddr, len: usize, seed: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    let header: [u8; 14] = ethernet(to, from, 0x88b5);
    frame[..14].copy_from_slice(&header);
    for (at, byte) in frame.iter_mut().enumerate().skip(14) {
        *byte = (seed + at) as u8;
    }
    frame
}

fn ethernet(to: MacAddr, from: MacAddr, kind: u16) -> [u8; 14] {
    let mut header = [0; 14];
    header[..6].copy_from_slice(&to.0);
    header[6..12].copy_from_slice(&from.0);
    header[12..].copy_from_slice(&kind.to_be_bytes());
    header
}

/// A flow: addresses and ports.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) from: ([u8; 4], u16),
    pub(super) to: ([u8; 4], u16),
}

/// Returns an IPv4 frame with a TCP, UDP or SCTP header and `payload`, without any checksum.
pub(super) fn ipv4(to: MacAddr, from: MacAddr, flow: Flow, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let l4 = match protocol {
        TCP => 20,
        UDP => 8,
        _ => 12,
    };
    let total = (20 + l4 + payload.len()) as u16;
    let mut frame = ethernet(to, from, 0x0800).to_vec();
    frame.extend([0x45, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    frame.extend(flow.from.0);
    frame.extend(flow.to.0);
    frame.extend(flow.from.1.to_be_bytes());
    frame.extend(flow.to.1.to_be_bytes());
    match protocol {
        TCP => frame.extend([0, 0, 0x10, 0, 0, 0, 0, 0, 5 << 4, 0x18, 1, 0, 0, 0, 0, 0]),
        UDP => {
            frame.extend((8 + payload.len() as u16).to_be_bytes());
            frame.extend([0, 0]);
        }
        _ => frame.extend([0; 8]),
    }
    frame.extend(payload);
    frame
}

/// Returns where in a frame of [`ipv4`] the checksum of layer 4 is.
pub(super) fn checksum_at(protocol: u8) -> usize {
    match protocol {
        TCP => L4 + 16,
        UDP => L4 + 6,
        _ => L4 + 8,
    }
}

/// Returns the sum of the pseudo-header, for `len` bytes of layer 4 (RFC 793; 0 bytes for segmentation offload).
pub(super) fn pseudo(frame: &[u8], len: u16) -> u16 {
    let mut header = [0; 12];
    header[..8].copy_from_slice(&frame[L3 + 12..L3 + 20]);
    header[9] = frame[L3 + 9];
    header[10..].copy_from_slice(&len.to_be_bytes());
    sum(&header)
}

/// Puts the sum of the pseudo-header where the device will find it.
pub(super) fn prepare(frame: &mut [u8], segment: bool) {
    let protocol = frame[L3 + 9];
    if protocol == SCTP {
        return;
    }
    let len = if segment { 0 } else { (frame.len() - L4) as u16 };
    let sum = pseudo(frame, len);
    frame[checksum_at(protocol)..][..2].copy_from_slice(&sum.to_be_bytes());
}

/// Puts the checksums into a frame of [`ipv4`], as a sender without offload does; TCP and UDP only.
pub(super) fn finish(frame: &mut [u8]) {
    prepare(frame, false);
    let at = checksum_at(frame[L3 + 9]);
    let l4 = !sum(&frame[L4..]);
    frame[at..at + 2].copy_from_slice(&l4.to_be_bytes());
    let l3 = !sum(&frame[L3..L4]);
    frame[L3 + 10..L3 + 12].copy_from_slice(&l3.to_be_bytes());
}

/// Returns whether the checksums of IPv4 and of TCP or UDP in a frame are right.
pub(super) fn is_right(frame: &[u8]) -> bool {
    let total = usize::from(u16::from_be_bytes([frame[L3 + 2], frame[L3 + 3]]));
    let frame = &frame[..L3 + total];
    let whole = u32::from(sum(&frame[L4..])) + u32::from(pseudo(frame, (total - 20) as u16));
    sum(&frame[L3..L4]) == 0xffff && (whole & 0xffff) + (whole >> 16) == 0xffff
}

/// Returns the frame with a VLAN tag behind its addresses.
pub(super) fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0]);
    tagged.extend(tci.to_be_bytes());
    tagged.extend(&frame[12..]);
    tagged
}
