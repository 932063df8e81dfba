//! Packets to send through the model, with right or wrong checksums.

use crate::board::MAC;

/// One's complement sum, not inverted.
pub(crate) fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

/// The parts of a packet that tests vary.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) v6: bool,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) protocol: u8,
    pub(crate) ports: (u16, u16),
    pub(crate) payload: Vec<u8>,
    pub(crate) vlan: Option<u16>,
    pub(crate) tcp_flags: u8,
    pub(crate) fragment: u16,
}

pub(crate) fn ip(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
    let mut ip = [0; 16];
    ip[..4].copy_from_slice(&[a, b, c, d]);
    ip
}

impl Packet {
    pub(crate) fn tcp() -> Packet {
        Packet {
            v6: false,
            source: ip(66, 9, 149, 187),
            destination: ip(161, 142, 100, 80),
            protocol: 6,
            ports: (2794, 1766),
            payload: b"some payload, odd length".to_vec(),
            vlan: None,
            tcp_flags: 0x18,
            fragment: 0,
        }
    }
    pub(crate) fn udp() -> Packet {
        Packet { protocol: 17, ..Packet::tcp() }
    }
    pub(crate) fn v6(self) -> Packet {
        let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        Packet {
            v6: true,
            source: octets("3ffe:2501:200:1fff::7"),
            destination: octets("3ffe:2501:200:3::1"),
            ..self
        }
    }

    fn addresses(&self) -> Vec<u8> {
        let len = if self.v6 { 16 } else { 4 };
        [&self.source[..len], &self.destination[..len]].concat()
    }

    /// The sum of the pseudo-header, with the length of layer 4 or without.
    pub(crate) fn pseudo(&self, len: usize) -> u16 {
        sum(&self.addresses(), u32::from(self.protocol) + len as u32)
    }

    pub(crate) fn l2(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }
    pub(crate) fn l3(&self) -> usize {
        if self.v6 { 40 } else { 20 }
    }
    pub(crate) fn l4(&self) -> usize {
        if self.protocol == 6 { 20 } else { 8 }
    }
    pub(crate) fn headers(&self) -> usize {
        self.l2() + self.l3() + self.l4()
    }
    /// Where the layer-4 checksum is.
    pub(crate) fn l4_sum_at(&self) -> usize {
        self.l2() + self.l3() + if self.protocol == 6 { 16 } else { 6 }
    }

    /// The frame with all checksums right.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut frame = self.build_bare();
        let l4_at = self.l2() + self.l3();
        if !self.v6 {
            let ip = !sum(&frame[self.l2()..l4_at], 0);
            frame[self.l2() + 10..self.l2() + 12].copy_from_slice(&ip.to_be_bytes());
        }
        if matches!(self.protocol, 6 | 17) {
            let pseudo = u32::from(self.pseudo(frame.len() - l4_at));
            let check = !sum(&frame[l4_at..], pseudo);
            let at = self.l4_sum_at();
            frame[at..at + 2].copy_from_slice(&check.to_be_bytes());
        }
        frame
    }

    /// The frame with all checksums 0.
    pub(crate) fn build_bare(&self) -> Vec<u8> {
        let mut l4 = Vec::new();
        l4.extend_from_slice(&self.ports.0.to_be_bytes());
        l4.extend_from_slice(&self.ports.1.to_be_bytes());
        if self.protocol == 6 {
            l4.extend_from_slice(&0x1000_0000u32.to_be_bytes());
            l4.extend_from_slice(&[0, 0, 0, 1, 0x50, self.tcp_flags, 0x20, 0, 0, 0, 0, 0]);
        } else {
            l4.extend_from_slice(&(8 + self.payload.len() as u16).to_be_bytes());
            l4.extend_from_slice(&[0, 0]);
        }
        l4.extend_from_slice(&self.payload);
        let mut frame = MAC.to_vec();
        frame.extend_from_slice(&[2, 0, 0, 0, 0, 9]);
        if let Some(tag) = self.vlan {
            frame.extend_from_slice(&[0x81, 0x00]);
            frame.extend_from_slice(&tag.to_be_bytes());
        }
        if self.v6 {
            frame.extend_from_slice(&[0x86, 0xDD, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&(l4.len() as u16).to_be_bytes());
            frame.extend_from_slice(&[self.protocol, 64]);
        } else {
            frame.extend_from_slice(&[0x08, 0x00, 0x45, 0]);
            frame.extend_from_slice(&(20 + l4.len() as u16).to_be_bytes());
            frame.extend_from_slice(&[0xBE, 0xEF]);
            frame.extend_from_slice(&self.fragment.to_be_bytes());
            frame.extend_from_slice(&[64, self.protocol, 0, 0]);
        }
        frame.extend_from_slice(&self.addresses());
        frame.extend_from_slice(&l4);
        frame
    }
}
