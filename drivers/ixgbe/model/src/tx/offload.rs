//! Checksums and tags that the device puts into packets (datasheet 7.2.4, 7.2.5).
//!
//! Software leaves the IP checksum 0 and puts the sum of the pseudo-header into the layer-4 field; the device adds what
//! follows. Nothing is parsed: the context says where the headers are.
//!
//! Neighbours: [`assemble`](super::assemble) calls it for each packet, [`segment`](super::segment) for each segment.

use pmd_ixgbe::regs::{DMATXCTL, EXVET, PFVMVIR};

use super::descriptor::{Context, Protocol};
use crate::checksum::{crc32c, ones_sum};
use crate::classes;
use crate::regs::RegisterFile;

/// A packet whose context does not fit it.
pub(crate) type Reason = &'static str;

/// Where the layer-4 checksum is behind the start of its header.
fn checksum_at(l4: Protocol) -> Result<usize, Reason> {
    match l4 {
        Protocol::Tcp => Ok(16),
        Protocol::Udp => Ok(6),
        Protocol::Sctp => Ok(8),
        Protocol::Reserved => Err("the context's L4T is a reserved value"),
    }
}

/// Inserts the IPv4 header checksum.
pub(crate) fn ip_checksum(frame: &mut [u8], context: &Context) -> Result<(), Reason> {
    let header = frame
        .get_mut(context.mac_len..context.mac_len + context.ip_len)
        .filter(|header| header.len() >= 20)
        .ok_or(
            "an IP checksum is asked for, but the context's MACLEN and IPLEN are not inside of the packet",
        )?;
    let sum = !ones_sum(header, 0);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// Inserts the checksum of layer 4. `extra` is added to what the field holds: the length of a segment, which the
/// pseudo-header of a segmented packet does not have.
pub(crate) fn l4_checksum(frame: &mut [u8], context: &Context, extra: u32) -> Result<(), Reason> {
    let field = checksum_at(context.l4)?;
    let width = if context.l4 == Protocol::Sctp { 4 } else { 2 };
    let segment = frame
        .get_mut(context.mac_len + context.ip_len..)
        .filter(|segment| segment.len() >= field + width)
        .ok_or("a layer-4 checksum is asked for, but the context's MACLEN and IPLEN leave no layer 4")?;
    if context.l4 == Protocol::Sctp {
        segment[8..12].fill(0);
        let crc = crc32c(segment);
        segment[8..12].copy_from_slice(&crc.to_le_bytes());
        return Ok(());
    }
    let mut sum = !ones_sum(segment, extra);
    if sum == 0 && context.l4 == Protocol::Udp {
        sum = 0xFFFF; // 0 would mean that there is no checksum
    }
    segment[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// The checksum of a legacy descriptor: over all from `start` on, into `at`.
pub(crate) fn legacy_checksum(frame: &mut [u8], start: usize, at: usize) -> Result<(), Reason> {
    if start >= frame.len() || at + 2 > frame.len() {
        return Err("a legacy checksum's CSS or CSO is behind the end of the packet");
    }
    let sum = !ones_sum(&frame[start..], 0);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// How tags are inserted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagging {
    /// The EtherType of the tag (DMATXCTL.VT).
    ethertype: u16,
    /// That of an outer tag, behind which it goes (DMATXCTL.GDV, EXVET).
    outer: Option<u16>,
}

impl Tagging {
    pub(crate) fn new(regs: &RegisterFile) -> Tagging {
        let control = regs.get::<DMATXCTL>();
        let outer = control.gdv().then(|| regs.get::<EXVET>().vet_ext() as u16);
        Tagging { ethertype: control.vt() as u16, outer }
    }

    /// Inserts a tag behind the addresses, and behind an outer tag.
    pub(crate) fn insert(self, frame: &mut Vec<u8>, tag: u16) {
        let first = frame.get(12..14).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let at = if first.is_some() && first == self.outer { 16 } else { 12 };
        if frame.len() >= at {
            let [a, b] = self.ethertype.to_be_bytes();
            let [c, d] = tag.to_be_bytes();
            frame.splice(at..at, [a, b, c, d]);
        }
    }
}

/// The tag that a packet of a pool gets (PFVMVIR): always the pool's, never one, or the descriptor's.
pub(crate) fn pool_tag(regs: &RegisterFile, queue: usize, tag: Option<u16>) -> Option<u16> {
    let Some(pool) = classes::pool_of_queue(regs, queue) else { return tag };
    let insertion = regs.at::<PFVMVIR>(pool);
    match insertion.vlana() {
        1 => Some(insertion.port_vlan_id() as u16),
        2 => None,
        _ => tag,
    }
}
