//! Ethernet frames with everything in them that a NIC looks at.

/// One frame's headers; what is not said is sensible.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) to: [u8; 6],
    pub(crate) from: [u8; 6],
    pub(crate) vlan: Option<u16>,
    pub(crate) ip: Ip,
    pub(crate) l4: L4,
    /// Source and destination.
    pub(crate) ports: (u16, u16),
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    /// Source and destination.
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum L4 {
    Tcp,
    Udp,
    /// UDP whose checksum says that there is none.
    UdpWithout,
    Sctp,
}

pub(crate) const V6: Ip = Ip::V6([0x20; 16], [0x21; 16]);

impl Frame {
    pub(crate) fn new(l4: L4) -> Frame {
        Frame {
            to: super::rig::MAC,
            from: [0x02, 0, 0, 0, 0, 0x01],
            vlan: None,
            ip: Ip::V4([10, 0, 0, 1], [10, 0, 0, 2]),
            l4,
            ports: (1024, 9),
            payload: (0..100u8).collect(),
        }
    }

    /// Returns a frame of `len` bytes, told apart by `number`.
    pub(crate) fn numbered(len: usize, number: u32) -> Vec<u8> {
        let mut frame = Frame::new(L4::Udp);
        frame.payload = pattern(len - 42, number);
        frame.bytes()
    }

    pub(crate) fn l2(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }

    pub(crate) fn l3(&self) -> usize {
        match self.ip {
            Ip::V4(..) => 20,
            Ip::V6(..) => 40,
        }
    }

    pub(crate) fn l4_len(&self) -> usize {
        match self.l4 {
            L4::Tcp => 20,
            L4::Udp | L4::UdpWithout => 8,
            L4::Sctp => 12,
        }
    }

    fn protocol(&self) -> u8 {
        match self.l4 {
            L4::Tcp => 6,
            L4::Udp | L4::UdpWithout => 17,
            L4::Sctp => 132,
        }
    }

    /// Where the layer-4 checksum is.
    pub(crate) fn checksum_at(&self) -> usize {
        self.l2()
            + self.l3()
            + match self.l4 {
                L4::Tcp => 16,
                L4::Udp | L4::UdpWithout => 6,
                L4::Sctp => 8,
            }
    }

    /// Returns the sum over the pseudo-header, not inverted; `len` is that of layer 4 with its payload.
    pub(crate) fn pseudo_sum(&self, len: usize) -> u16 {
        let addresses = match self.ip {
            Ip::V4(source, destination) => [source, destination].concat(),
            Ip::V6(source, destination) => [source, destination].concat(),
        };
        sum(&addresses, len as u32 + u32::from(self.protocol()))
    }

    /// Returns the bytes without frame check sequence, with right checksums.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = [self.to, self.from].concat();
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        let len = self.l4_len() + self.payload.len();
        match self.ip {
            Ip::V4(source, destination) => {
                frame.extend([0x08, 0x00, 0x45, 0]);
                frame.extend((20 + len as u16).to_be_bytes());
                frame.extend([0, 1, 0x40, 0, 64, self.protocol(), 0, 0]);
                frame.extend(source);
                frame.extend(destination);
                let at = frame.len() - 20;
                let checksum = !sum(&frame[at..], 0);
                frame[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
            }
            Ip::V6(source, destination) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((len as u16).to_be_bytes());
                frame.extend([self.protocol(), 64]);
                frame.extend(source);
                frame.extend(destination);
            }
        }
        let at = frame.len();
        frame.extend(self.ports.0.to_be_bytes());
        frame.extend(self.ports.1.to_be_bytes());
        match self.l4 {
            L4::Tcp => {
                frame.extend(1u32.to_be_bytes());
                frame.extend(1u32.to_be_bytes());
                frame.extend([0x50, 0x18, 0x10, 0, 0, 0, 0, 0]);
            }
            L4::Udp | L4::UdpWithout => {
                frame.extend((len as u16).to_be_bytes());
                frame.extend([0, 0]);
            }
            L4::Sctp => frame.extend([0; 8]),
        }
        frame.extend(&self.payload);
        let checksum = match self.l4 {
            L4::Tcp | L4::Udp => {
                let sum = !sum(&frame[at..], self.pseudo_sum(len).into());
                Vec::from(if sum == 0 { [0xff; 2] } else { sum.to_be_bytes() })
            }
            L4::UdpWithout => vec![0, 0],
            L4::Sctp => crc32c(&frame[at..]).to_le_bytes().to_vec(),
        };
        let place = self.checksum_at();
        frame[place..place + checksum.len()].copy_from_slice(&checksum);
        frame
    }
}

/// Returns bytes that tell a packet, its place and its number apart.
pub(crate) fn pattern(len: usize, number: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..len as u32).map(|at| (at ^ at >> 8 ^ number.wrapping_mul(31)) as u8).collect();
    let head = number.to_be_bytes();
    let head = &head[..head.len().min(len)];
    bytes[..head.len()].copy_from_slice(head);
    bytes
}

/// Returns the number of a [numbered](Frame::numbered) frame, after a check of all of it.
pub(crate) fn number_of(frame: &[u8]) -> u32 {
    let number = u32::from_be_bytes(frame[42..46].try_into().unwrap());
    assert_eq!(frame, Frame::numbered(frame.len(), number), "frame {number} is damaged");
    number
}

/// Returns the one's complement sum, not inverted.
pub(crate) fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Returns the Castagnoli CRC of SCTP (RFC 9260 appendix A).
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x82f6_3b78 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[test]
fn the_crc_is_castagnolis() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
