//! Mode csum: checksums are made anew, by the NIC or here, after the MAC addresses were set as in mode mac.
//!
//! What the NIC said of the checksums of received packets is counted.

use vfio_hal::dma::pool::{Buf, HeaderLens, TxFlags, Verdict};

use super::headers::{Headers, TCP, UDP};
use super::icmpecho::{fold, sum};
use super::options::Offload;

/// Packets with wrong checksums, as the NIC that received them said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) ip: u64,
    pub(crate) l4: u64,
}

impl Bad {
    /// Counts one packet.
    pub(crate) fn count(&mut self, buf: &Buf) {
        self.ip += u64::from(buf.ip_checksum() == Verdict::Bad);
        self.l4 += u64::from(buf.l4_checksum() == Verdict::Bad);
    }
}

/// Makes the checksums of a packet anew.
pub(crate) fn renew(buf: &mut Buf, offload: Offload) {
    let Some(headers) = Headers::find(buf.data()) else { return };
    match offload {
        Offload::Sw => in_software(buf, &headers),
        Offload::Hw => by_the_nic(buf, &headers),
    }
}

/// Returns where the checksum of layer 4 is, if it is one that must be made: UDP over IPv4 may go without (RFC 768).
fn l4_field(buf: &Buf, headers: &Headers) -> Option<(u8, usize)> {
    let protocol = headers.protocol?;
    let at = match protocol {
        TCP => headers.l4 + 16,
        UDP => headers.l4 + 6,
        _ => return None,
    };
    let field = buf.data().get(at..at + 2)?;
    let without = protocol == UDP && headers.v4 && field == [0, 0];
    (!without).then_some((protocol, at))
}

fn in_software(buf: &mut Buf, headers: &Headers) {
    if headers.v4 {
        let header = &mut buf.data_mut()[headers.ip..headers.l4];
        header[10..12].fill(0);
        let value = !fold(sum(header));
        header[10..12].copy_from_slice(&value.to_be_bytes());
    }
    let Some((protocol, at)) = l4_field(buf, headers) else { return };
    buf.data_mut()[at..at + 2].fill(0);
    let Some(payload) = payload_sum(buf, headers) else { return };
    let total = u32::from(headers.pseudo_sum(buf.data(), protocol)) + payload;
    let value = match !fold(total) {
        // 0 would say that there is none (RFC 768).
        0 if protocol == UDP => 0xffff,
        value => value,
    };
    buf.data_mut()[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Returns the sum of layer 4 over all segments, `None` for a packet that ends before it.
fn payload_sum(buf: &Buf, headers: &Headers) -> Option<u32> {
    let (mut skip, mut left, mut total, mut odd) = (headers.l4, headers.l4_len, 0u32, false);
    for segment in buf.segments() {
        let data = segment.data();
        let part = data.get(skip.min(data.len())..).unwrap_or_default();
        skip = skip.saturating_sub(data.len());
        let part = &part[..part.len().min(left)];
        left -= part.len();
        // A segment that starts in the middle of a word has its bytes the other way round.
        let folded = fold(sum(part));
        total += u32::from(if odd { folded.swap_bytes() } else { folded });
        odd ^= part.len() % 2 == 1;
    }
    (left == 0).then_some(total)
}

fn by_the_nic(buf: &mut Buf, headers: &Headers) {
    let mut flags = TxFlags::NONE;
    if headers.v4 {
        flags = flags | TxFlags::IPV4 | TxFlags::IP_CHECKSUM;
        buf.data_mut()[headers.ip + 10..headers.ip + 12].fill(0);
    }
    let mut l4 = 0;
    if let Some((protocol, at)) = l4_field(buf, headers) {
        let pseudo = headers.pseudo_sum(buf.data(), protocol);
        buf.data_mut()[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        flags = flags | if protocol == TCP { TxFlags::TCP_CHECKSUM } else { TxFlags::UDP_CHECKSUM };
        l4 = match protocol {
            // The data offset, in words of 4 bytes (RFC 9293 3.1).
            TCP => (buf.data().get(headers.l4 + 12).copied().unwrap_or(0x50) >> 4) * 4,
            _ => 8,
        };
    }
    let lens = HeaderLens {
        l2: headers.ip as u8,
        l3: (headers.l4 - headers.ip) as u16,
        l4,
        outer_l2: 0,
        outer_l3: 0,
    };
    buf.set_header_lens(lens);
    buf.set_tx_flags(flags);
}
