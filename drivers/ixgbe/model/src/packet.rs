//! What the receive parser sees in a frame: tag, layer 3, layer 4 (datasheet 7.1.4, 7.1.6.2 packet types).
//!
//! Key types: [`Parsed`]. Neighbours: filters, RSS and checksums of `rx` work on it; nothing here trusts a length.

/// IP protocol numbers.
pub(crate) mod proto {
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ESP: u8 = 50;
    pub(crate) const AH: u8 = 51;
    pub(crate) const SCTP: u8 = 132;
}

/// Packet type bits of descriptor word 0 (7.1.6.2, table 7-17).
mod kind {
    pub(super) const IPV4: u32 = 1 << 4;
    pub(super) const IPV4_OPTIONS: u32 = 1 << 5;
    pub(super) const IPV6: u32 = 1 << 6;
    pub(super) const IPV6_EXTENSIONS: u32 = 1 << 7;
    pub(super) const TCP: u32 = 1 << 8;
    pub(super) const UDP: u32 = 1 << 9;
    pub(super) const SCTP: u32 = 1 << 10;
    pub(super) const ESP: u32 = 1 << 12;
    pub(super) const AH: u32 = 1 << 13;
}

/// The network layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ip {
    /// Neither.
    #[default]
    None,
    V4,
    V6,
}

/// Layer 4, where its header is in the packet in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum L4 {
    #[default]
    None,
    Tcp,
    Udp,
    Sctp,
}

/// A frame's headers. Places are byte offsets into the frame, with the tag still in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The tag control word behind the VLAN EtherType; the inner one's of two tags.
    pub(crate) vlan: Option<u16>,
    /// There is an outer tag in front of it, or of nothing.
    pub(crate) outer: bool,
    /// The EtherType, behind the tag if there is one.
    pub(crate) ethertype: u16,
    /// Where layer 3 begins.
    pub(crate) l3_at: usize,
    pub(crate) ip: Ip,
    /// Where the IP payload begins, behind options and extension headers.
    pub(crate) l4_at: usize,
    /// Where the IP packet ends; what follows is padding.
    pub(crate) ip_end: usize,
    pub(crate) l4: L4,
    /// The IP protocol, or last next-header, of the payload.
    pub(crate) protocol: u8,
    /// A fragment, first or not: its layer 4 cannot be checked.
    pub(crate) fragment: bool,
    kind: u32,
}

fn be16(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

impl Parsed {
    /// Parses; `vet` is the EtherType that marks a tag (VLNCTRL.VET), `outer` that of an outer tag, where there may be one
    /// (CTRL_EXT.EXTENDED_VLAN, EXVET).
    #[inline]
    pub(crate) fn new(frame: &[u8], vet: u16, outer: Option<u16>) -> Parsed {
        let mut parsed = Parsed { l3_at: 14, ..Parsed::default() };
        let Some(mut ethertype) = be16(frame, 12) else { return parsed };
        if outer == Some(ethertype)
            && let Some(inner) = be16(frame, 16)
        {
            parsed.outer = true;
            ethertype = inner;
            parsed.l3_at = 18;
        }
        if ethertype == vet
            && let (Some(tag), Some(inner)) = (be16(frame, parsed.l3_at), be16(frame, parsed.l3_at + 2))
        {
            parsed.vlan = Some(tag);
            ethertype = inner;
            parsed.l3_at += 4;
        }
        parsed.ethertype = ethertype;
        match ethertype {
            0x0800 => parsed.ipv4(frame),
            0x86DD => parsed.ipv6(frame),
            _ => None,
        };
        parsed
    }

    fn ipv4(&mut self, frame: &[u8]) -> Option<()> {
        let ip = frame.get(self.l3_at..)?;
        let header = usize::from(*ip.first()? & 0xF) * 4;
        let total = usize::from(be16(ip, 2)?);
        if ip[0] >> 4 != 4 || header < 20 || ip.len() < header || total < header || total > ip.len() {
            return None;
        }
        self.ip = Ip::V4;
        self.kind |= if header > 20 { kind::IPV4 | kind::IPV4_OPTIONS } else { kind::IPV4 };
        self.l4_at = self.l3_at + header;
        self.ip_end = self.l3_at + total;
        self.protocol = ip[9];
        // More fragments, or an offset.
        self.fragment = be16(ip, 6)? & 0x3FFF != 0;
        self.layer4(frame)
    }

    fn ipv6(&mut self, frame: &[u8]) -> Option<()> {
        let ip = frame.get(self.l3_at..)?;
        let total = usize::from(be16(ip, 4)?) + 40;
        if ip[0] >> 4 != 6 || total > ip.len() {
            return None;
        }
        self.ip = Ip::V6;
        self.kind |= kind::IPV6;
        self.ip_end = self.l3_at + total;
        self.l4_at = self.l3_at + 40;
        self.protocol = ip[6];
        // Hop-by-hop, routing, fragment, destination options; anything else ends the chain.
        while matches!(self.protocol, 0 | 43 | 44 | 60) {
            self.kind |= kind::IPV6_EXTENSIONS;
            let header = frame.get(self.l4_at..self.ip_end)?;
            let (next, len) = (*header.first()?, usize::from(*header.get(1)?));
            let len = if self.protocol == 44 {
                self.fragment |= be16(header, 2)? & 0xFFF9 != 0;
                8
            } else {
                (len + 1) * 8
            };
            if len > header.len() {
                return None;
            }
            self.protocol = next;
            self.l4_at += len;
        }
        self.layer4(frame)
    }

    fn layer4(&mut self, frame: &[u8]) -> Option<()> {
        match self.protocol {
            proto::ESP => self.kind |= kind::ESP,
            proto::AH => self.kind |= kind::AH,
            _ => {}
        }
        if self.fragment {
            return None;
        }
        let segment = frame.get(self.l4_at..self.ip_end)?;
        let (l4, kind, least) = match self.protocol {
            proto::TCP => (L4::Tcp, kind::TCP, 20),
            proto::UDP => (L4::Udp, kind::UDP, 8),
            proto::SCTP => (L4::Sctp, kind::SCTP, 12),
            _ => return None,
        };
        if segment.len() >= least {
            self.l4 = l4;
            self.kind |= kind;
        }
        Some(())
    }

    /// Where the tag is that can be taken out: behind the addresses, and behind an outer tag.
    pub(crate) fn tag_at(&self) -> usize {
        if self.outer { 16 } else { 12 }
    }

    /// Packet type bits for the descriptor's first dword.
    #[inline]
    pub(crate) fn packet_type(&self) -> u32 {
        self.kind
    }

    /// Source and destination address, one behind the other.
    pub(crate) fn addresses<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        match self.ip {
            Ip::V4 => &frame[self.l3_at + 12..self.l3_at + 20],
            Ip::V6 => &frame[self.l3_at + 8..self.l3_at + 40],
            Ip::None => &[],
        }
    }

    /// Source and destination port, one behind the other; only where [`l4`](Self::l4) is not `None`.
    pub(crate) fn ports<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        &frame[self.l4_at..self.l4_at + 4]
    }

    /// The TCP flags, 0 for what is not TCP.
    pub(crate) fn tcp_flags(&self, frame: &[u8]) -> u8 {
        if self.l4 == L4::Tcp { frame[self.l4_at + 13] } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0u8; 14];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame.push(0x45);
        frame.push(0);
        frame.extend_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0, 1]);
        frame.extend_from_slice(&fragment.to_be_bytes());
        frame.extend_from_slice(&[64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn padding_is_not_part_of_the_packet() {
        let mut frame = ipv4(proto::UDP, 0, &[0; 8]);
        frame.resize(60, 0xEE);
        let parsed = Parsed::new(&frame, 0x8100, None);
        assert_eq!((parsed.ip_end, parsed.l4), (42, L4::Udp));
        assert_eq!(parsed.packet_type(), kind::IPV4 | kind::UDP);
    }

    #[test]
    fn fragments_have_no_layer_4() {
        for fragment in [0x2000, 0x0001, 0x2001] {
            let parsed = Parsed::new(&ipv4(proto::UDP, fragment, &[0; 8]), 0x8100, None);
            assert!(parsed.fragment);
            assert_eq!(parsed.packet_type(), kind::IPV4);
        }
        assert!(
            !Parsed::new(&ipv4(proto::UDP, 0x4000, &[0; 8]), 0x8100, None).fragment,
            "don't fragment is no fragment"
        );
    }

    #[test]
    fn a_tag_moves_everything_by_four() {
        let plain = ipv4(proto::TCP, 0, &[0; 20]);
        let mut frame = plain[..12].to_vec();
        frame.extend_from_slice(&[0x81, 0x00, 0xA0, 0x05]);
        frame.extend_from_slice(&plain[12..]);
        let parsed = Parsed::new(&frame, 0x8100, None);
        assert_eq!((parsed.vlan, parsed.l3_at, parsed.l4_at), (Some(0xA005), 18, 38));
        assert_eq!(Parsed::new(&frame, 0x88A8, None).vlan, None);
    }

    #[test]
    fn ipv6_extension_headers_are_walked() {
        let mut frame = vec![0u8; 12];
        frame.extend_from_slice(&[0x86, 0xDD, 0x60, 0, 0, 0, 0, 28, 0, 64]);
        frame.extend_from_slice(&[1; 32]);
        frame.extend_from_slice(&[proto::TCP, 0, 1, 4, 0, 0, 0, 0]);
        frame.extend_from_slice(&[0; 20]);
        let parsed = Parsed::new(&frame, 0x8100, None);
        assert_eq!((parsed.l4, parsed.l4_at), (L4::Tcp, 62));
        assert_eq!(parsed.packet_type(), kind::IPV6 | kind::IPV6_EXTENSIONS | kind::TCP);
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_reach_outside(mut frame in proptest::collection::vec(any::<u8>(), 0..200), v6: bool) {
            if frame.len() > 15 {
                frame[12..15].copy_from_slice(if v6 { &[0x86, 0xDD, 0x60] } else { &[0x08, 0x00, 0x46] });
            }
            let parsed = Parsed::new(&frame, 0x8100, None);
            prop_assert!(parsed.ip == Ip::None || parsed.ip_end <= frame.len());
            parsed.addresses(&frame);
            if parsed.l4 != L4::None {
                parsed.ports(&frame);
                parsed.tcp_flags(&frame);
            }
        }
    }
}
