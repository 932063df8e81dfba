//! What the flow director compares and hashes: the fields of a packet, masks, the hash (datasheet 7.1.2.7.4 to .6).
//!
//! Key types: [`Fields`], [`Masks`]. Neighbours: [`flow_director`](super::flow_director).

use pmd_ixgbe::regs::{FDIRDIP4M, FDIRIP6M, FDIRM, FDIRSIP4M, FDIRTCPM, FDIRUDPM};

use crate::packet::{Ip, L4, Parsed};
use crate::regs::RegisterFile;
use crate::state::state;

/// The fields. Addresses are in the order of the wire, IPv4 in the first four bytes; numbers are numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) pool: u8,
    /// 1:0 layer 4 (0 other, 1 UDP, 2 TCP, 3 SCTP), bit 2 IPv6.
    pub(crate) flow_type: u8,
    pub(crate) vlan: u16,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Two bytes from anywhere in the first 64 of the packet.
    pub(crate) flex: u16,
}

state!(Fields { pool, flow_type, vlan, source, destination, source_port, destination_port, flex });

/// Which bits count: a 1 keeps a bit, the opposite of the registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks {
    general: FDIRM,
    source4: u32,
    destination4: u32,
    ipv6: FDIRIP6M,
    tcp: [u16; 2],
    udp: [u16; 2],
}

impl Masks {
    pub(crate) fn new(regs: &RegisterFile) -> Masks {
        // Ports are numbers with their bits in reverse order (DPDK and Linux say so of the 82599).
        let ports = |low: u32, high: u32| [!(low as u16).reverse_bits(), !(high as u16).reverse_bits()];
        let (tcp, udp) = (regs.get::<FDIRTCPM>(), regs.get::<FDIRUDPM>());
        Masks {
            general: regs.get(),
            source4: !regs.get::<FDIRSIP4M>().bits(),
            destination4: !regs.get::<FDIRDIP4M>().bits(),
            ipv6: regs.get(),
            tcp: ports(tcp.sportm(), tcp.dportm()),
            udp: ports(udp.sportm(), udp.dportm()),
        }
    }
}

impl Fields {
    /// Takes a packet apart; `flex` is where the two flexible bytes are.
    pub(crate) fn of_packet(frame: &[u8], parsed: &Parsed, flex: usize) -> Fields {
        let mut fields = Fields {
            flow_type: match parsed.l4 {
                L4::None => 0,
                L4::Udp => 1,
                L4::Tcp => 2,
                L4::Sctp => 3,
            } | u8::from(parsed.ip == Ip::V6) << 2,
            vlan: parsed.vlan.unwrap_or(0),
            flex: frame.get(flex..flex + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]])),
            ..Fields::default()
        };
        let addresses = parsed.addresses(frame);
        let len = addresses.len() / 2;
        fields.source[..len].copy_from_slice(&addresses[..len]);
        fields.destination[..len].copy_from_slice(&addresses[len..]);
        if parsed.l4 != L4::None {
            let ports = parsed.ports(frame);
            fields.source_port = u16::from_be_bytes([ports[0], ports[1]]);
            fields.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
        }
        fields
    }

    /// Clears what the masks leave out.
    pub(crate) fn masked(mut self, masks: &Masks) -> Fields {
        let general = masks.general;
        let id = if general.vlanid() { 0 } else { 0x1FFF };
        let priority = if general.vlanp() { 0 } else { 0xE000 };
        self.vlan &= id | priority;
        if general.pool() {
            self.pool = 0;
        }
        if general.flex() {
            self.flex = 0;
        }
        let [source, destination] = match (general.l4p(), self.flow_type & 3) {
            (true, _) => {
                self.flow_type &= 4;
                [0, 0]
            }
            (false, 1) => masks.udp,
            (false, 2) => masks.tcp,
            // The 82599 has no mask for SCTP: its ports are hashed and compared in full.
            (false, _) => [0xFFFF, 0xFFFF],
        };
        self.source_port &= source;
        self.destination_port &= destination;
        if self.flow_type & 4 == 0 {
            keep(&mut self.source[..4], &masks.source4.to_le_bytes());
            keep(&mut self.destination[..4], &masks.destination4.to_le_bytes());
        } else {
            for i in 0..16 {
                if masks.ipv6.sipm() >> i & 1 == 1 {
                    self.source[i] = 0;
                }
                if general.dipv6() || masks.ipv6.dipm() >> i & 1 == 1 {
                    self.destination[i] = 0;
                }
            }
        }
        self
    }

    /// The 15 low bits of the flow director's hash with one of its keys.
    pub(crate) fn hash(&self, key: u32) -> u16 {
        let word = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        let addresses = self.source.chunks(4).chain(self.destination.chunks(4));
        let folded = addresses.fold(0, |sum, b| sum ^ u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let common = folded ^ word(self.source_port, self.destination_port) ^ word(self.flex, 0);
        let flow = u32::from(self.pool) << 24 | u32::from(self.flow_type) << 16 | u32::from(self.vlan);
        hash(key, flow, common)
    }
}

fn keep(bytes: &mut [u8], mask: &[u8]) {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
}

/// The hash over the stream, whose dwords but the first can be folded into one beforehand: each key bit n below 16 takes
/// a window of 16 bits of the folded dword with its halves swapped, each from 16 on of the dword as it is. The dword with
/// pool, type and VLAN goes in last, and not into the window of key bit 0.
fn hash(key: u32, flow: u32, common: u32) -> u16 {
    let high = common ^ flow ^ flow >> 16;
    let swapped = common.rotate_left(16);
    let low = swapped ^ flow ^ flow << 16;
    let mut hash = 0;
    for n in 0..16 {
        if key >> n & 1 == 1 {
            hash ^= if n == 0 { swapped } else { low } >> n;
        }
        if key >> (n + 16) & 1 == 1 {
            hash ^= high >> n;
        }
    }
    hash as u16 & 0x7FFF
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash window by window over a stream of bits: 16 zeros, then the dwords; each key bit, over and over, takes the
    /// 16 bits that begin at its place.
    fn by_windows(key: u32, dwords: &[u32]) -> u16 {
        let mut stream = vec![false; 16];
        dwords.iter().for_each(|dword| stream.extend((0..32).map(|bit| dword >> bit & 1 == 1)));
        let bit = |i: usize| u16::from(stream.get(i).copied().unwrap_or(false));
        let windows = (0..stream.len()).filter(|window| key >> (window % 32) & 1 == 1);
        windows.fold(0, |hash, window| (0..16).fold(hash, |hash, i| hash ^ bit(window + i) << i)) & 0x7FFF
    }

    #[test]
    fn folding_gives_what_the_windows_give() {
        let dwords = [0x0AEA_06E6u32, 0x4209_95BB, 0xA18E_6450, 0, 0x1234_5678];
        for key in [0x3DAD_14E2, 0x174D_3614, 1 << 5, 1 << 20] {
            let common = dwords.iter().fold(0, |sum, dword| sum ^ dword);
            assert_eq!(hash(key, 0, common), by_windows(key, &dwords), "key {key:#x}");
        }
    }

    #[test]
    fn masks_take_ports_in_reverse_bit_order() {
        let mut regs = RegisterFile::new();
        // Leave out the low byte of the source port: bits 15:8 of the register.
        regs.set(FDIRTCPM::new(0x0000_FF00));
        regs.set(FDIRSIP4M::new(0xFF00_0000));
        let fields = Fields {
            flow_type: 2,
            source_port: 0x1234,
            destination_port: 0x5678,
            source: [10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ..Fields::default()
        };
        let masked = fields.masked(&Masks::new(&regs));
        assert_eq!((masked.source_port, masked.destination_port), (0x1200, 0x5678));
        assert_eq!(
            masked.source[..4],
            [10, 1, 2, 0],
            "the last byte on the wire is the register's high byte"
        );
    }
}
