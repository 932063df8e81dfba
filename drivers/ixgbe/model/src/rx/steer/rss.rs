//! Receive-side scaling: what is hashed, by what the packet is and MRQC allows, and where the hash leads (datasheet
//! 7.1.2.8).
//!
//! Key types: [`Rss`]. Neighbours: [`steer`](super) asks it last of all.

use pmd_ixgbe::regs::{MRQC, RETA, RSSRK};

use super::toeplitz::{KEY_BYTES, Toeplitz};
use crate::packet::{Ip, L4, Parsed};
use crate::regs::RegisterFile;

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
        let Some((kind, with_ports)) = select(regs.get(), parsed) else { return Hashed::default() };
        let toeplitz = self.toeplitz.get_or_insert_with(|| {
            let mut key = [0u8; KEY_BYTES];
            for (i, bytes) in key.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&regs.at::<RSSRK>(i).bits().to_le_bytes());
            }
            Toeplitz::new(&key)
        });
        let ports = if with_ports { parsed.ports(frame) } else { &[] };
        let hash = toeplitz.hash([parsed.addresses(frame), ports]);
        let entry = (hash & 127) as usize;
        let index = (regs.at::<RETA>(entry / 4).bits() >> (entry % 4 * 8) & 0xF) as usize;
        Hashed { kind, hash, index }
    }
}

/// Returns the RSS type and whether ports are hashed too.
fn select(mrqc: MRQC, parsed: &Parsed) -> Option<(u32, bool)> {
    let (with_ports, plain) = match (parsed.ip, parsed.l4) {
        (Ip::None, _) => return None,
        (Ip::V4, L4::Tcp) => ((mrqc.rss_tcp_ipv4(), kind::TCP_IPV4), (mrqc.rss_ipv4(), kind::IPV4)),
        (Ip::V4, L4::Udp) => ((mrqc.rss_udp_ipv4(), kind::UDP_IPV4), (mrqc.rss_ipv4(), kind::IPV4)),
        (Ip::V4, _) => ((false, 0), (mrqc.rss_ipv4(), kind::IPV4)),
        (Ip::V6, L4::Tcp) => ((mrqc.rss_tcp_ipv6(), kind::TCP_IPV6), (mrqc.rss_ipv6(), kind::IPV6)),
        (Ip::V6, L4::Udp) => ((mrqc.rss_udp_ipv6(), kind::UDP_IPV6), (mrqc.rss_ipv6(), kind::IPV6)),
        (Ip::V6, _) => ((false, 0), (mrqc.rss_ipv6(), kind::IPV6)),
    };
    match (with_ports, plain) {
        ((true, kind), _) => Some((kind, true)),
        (_, (true, kind)) => Some((kind, false)),
        _ => None,
    }
}
