//! Where the headers of a packet are, as far as they are in its first buffer.

use std::ops::Range;

/// The longest row of VLAN tags looked behind.
const MAX_TAGS: usize = 2;

/// EtherTypes of VLAN tags: customer's, provider's.
const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];

/// IP protocols.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// The headers of an IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headers {
    /// Where the IP header starts: the length of layer 2.
    pub(crate) ip: usize,
    /// IPv4, else IPv6.
    pub(crate) v4: bool,
    /// Where layer 4 starts.
    pub(crate) l4: usize,
    /// Bytes of layer 4, as the IP header says.
    pub(crate) l4_len: usize,
    /// Its protocol; `None` for a fragment, of which layer 4 says nothing.
    pub(crate) protocol: Option<u8>,
}

impl Headers {
    /// Finds them; `None` for what is not IP, or not whole up to layer 4.
    pub(crate) fn find(frame: &[u8]) -> Option<Headers> {
        let mut at = 12;
        for _ in 0..MAX_TAGS {
            if !TAGS.iter().any(|tag| frame.get(at..at + 2) == Some(tag)) {
                break;
            }
            at += 4;
        }
        let ip = at + 2;
        let packet = frame.get(ip..)?;
        match frame.get(at..ip)? {
            [0x08, 0x00] => v4(ip, packet),
            [0x86, 0xdd] => v6(ip, packet),
            _ => None,
        }
    }

    /// Returns where source and destination address are.
    pub(crate) fn addresses(&self) -> (Range<usize>, Range<usize>) {
        let (first, len) = if self.v4 { (self.ip + 12, 4) } else { (self.ip + 8, 16) };
        (first..first + len, first + len..first + 2 * len)
    }

    /// Returns the sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1), folded but not inverted.
    pub(crate) fn pseudo_sum(&self, frame: &[u8], protocol: u8) -> u16 {
        let (source, destination) = self.addresses();
        let addresses = frame.get(source.start..destination.end).unwrap_or_default();
        super::icmpecho::fold(super::icmpecho::sum(addresses) + self.l4_len as u32 + u32::from(protocol))
    }
}

/// RFC 791.
fn v4(ip: usize, packet: &[u8]) -> Option<Headers> {
    const MORE_OR_OFFSET: u16 = 0x3fff;
    let header = packet.first_chunk::<20>()?;
    let len = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]) & MORE_OR_OFFSET != 0;
    if header[0] >> 4 != 4 || len < 20 || packet.len() < len || total < len {
        return None;
    }
    let protocol = (!fragment).then_some(header[9]);
    Some(Headers { ip, v4: true, l4: ip + len, l4_len: total - len, protocol })
}

/// RFC 8200. Extension headers are not looked behind: such a packet has no protocol here.
fn v6(ip: usize, packet: &[u8]) -> Option<Headers> {
    const LEN: usize = 40;
    let header = packet.first_chunk::<LEN>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let l4_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let protocol = Some(header[6]).filter(|protocol| [TCP, UDP].contains(protocol));
    Some(Headers { ip, v4: false, l4: ip + LEN, l4_len, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_no_ip_has_no_headers() {
        let mut frame = vec![0; 14];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame.extend([
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2, 0, 8, 0, 0,
        ]);
        let whole = Headers::find(&frame).unwrap();
        assert_eq!((whole.ip, whole.l4, whole.l4_len, whole.protocol), (14, 34, 8, Some(UDP)));
        assert_eq!(whole.addresses(), (26..30, 30..34));
        for len in 0..34 {
            assert_eq!(Headers::find(&frame[..len]), None, "{len}");
        }
        for (at, byte) in [(14, 0x55), (14, 0x44), (14, 0x4f), (17, 19), (12, 9)] {
            let mut wrong = frame.clone();
            wrong[at] = byte;
            assert_eq!(Headers::find(&wrong), None, "{at}: {byte:#x}");
        }
        frame[20] = 0x20;
        assert_eq!(Headers::find(&frame).unwrap().protocol, None, "a fragment");
    }
}
