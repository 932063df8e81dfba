//! Receive-side scaling: what is hashed, by what the packet is and MRQC allows, and where the hash leads (datasheet
//! 7.1.2.8).
//!
//! Key types: [`Rss`]. Neighbours: [`steer`](super::steer) asks it last of all.

use super::toeplitz::{KEY_BYTES, Toeplitz};
use crate::packet::{Ip, L4, Parsed};
use crate::regs::{Reg, RegisterFile};

/// MRQC: which packets are hashed how (8.2.3.7.12).
mod field {
    pub(super) const TCP_IPV4: u32 = 1 << 16;
    pub(super) const IPV4: u32 = 1 << 17;
    pub(super) const IPV6: u32 = 1 << 20;
    pub(super) const TCP_IPV6: u32 = 1 << 21;
    pub(super) const UDP_IPV4: u32 = 1 << 22;
    pub(super) const UDP_IPV6: u32 = 1 << 23;
}

/// The RSS types of descriptor word 0 (7.1.6.2, table 7-16).
mod kind {
    pub(super) const TCP_IPV4: u32 = 1;
    pub(super) const IPV4: u32 = 2;
    pub(super) const TCP_IPV6: u32 = 3;
    pub(super) const IPV6: u32 = 5;
    pub(super) const UDP_IPV4: u32 = 7;
    pub(super) const UDP_IPV6: u32 = 8;
}

/// A hash and where it leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hashed {
    /// The RSS type, 0 if nothing matched.
    pub(crate) kind: u32,
    pub(crate) hash: u32,
    /// The entry of the redirection table, 4 bits.
    pub(crate) index: usize,
}

/// The hash unit.
#[derive(Default)]
pub(crate) struct Rss {
    /// Built from RSSRK when it is first needed.
    toeplitz: Option<Toeplitz>,
}

impl Rss {
    /// RSSRK was written.
    pub(crate) fn rekey(&mut self) {
        self.toeplitz = None;
    }

    /// Hashes a packet.
    pub(crate) fn hash(&mut self, regs: &RegisterFile, frame: &[u8], parsed: &Parsed) -> Hashed {
        let Some((kind, with_ports)) = select(regs.get(Reg::Mrqc), parsed) else { return Hashed::default() };
        let toeplitz = self.toeplitz.get_or_insert_with(|| {
            let mut key = [0u8; KEY_BYTES];
            for (bytes, word) in key.chunks_exact_mut(4).zip(regs.all(Reg::Rssrk)) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            Toeplitz::new(&key)
        });
        let ports = if with_ports { parsed.ports(frame) } else { &[] };
        let hash = toeplitz.hash([parsed.addresses(frame), ports]);
        let entry = (hash & 127) as usize;
        let index = (regs.get_at(Reg::Reta, entry / 4) >> (entry % 4 * 8) & 0xF) as usize;
        Hashed { kind, hash, index }
    }
}

/// Returns the RSS type and whether ports are hashed too.
fn select(mrqc: u32, parsed: &Parsed) -> Option<(u32, bool)> {
    let choose = |with: Option<(u32, u32)>, without: (u32, u32)| match with {
        Some((field, kind)) if mrqc & field != 0 => Some((kind, true)),
        _ if mrqc & without.0 != 0 => Some((without.1, false)),
        _ => None,
    };
    match (parsed.ip, parsed.l4) {
        (Ip::None, _) => None,
        (Ip::V4, L4::Tcp) => choose(Some((field::TCP_IPV4, kind::TCP_IPV4)), (field::IPV4, kind::IPV4)),
        (Ip::V4, L4::Udp) => choose(Some((field::UDP_IPV4, kind::UDP_IPV4)), (field::IPV4, kind::IPV4)),
        (Ip::V4, _) => choose(None, (field::IPV4, kind::IPV4)),
        (Ip::V6, L4::Tcp) => choose(Some((field::TCP_IPV6, kind::TCP_IPV6)), (field::IPV6, kind::IPV6)),
        (Ip::V6, L4::Udp) => choose(Some((field::UDP_IPV6, kind::UDP_IPV6)), (field::IPV6, kind::IPV6)),
        (Ip::V6, _) => choose(None, (field::IPV6, kind::IPV6)),
    }
}
