//! The kinds of packets that RSS tells apart.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

use vfio_hal::pmd::PortError;

/// A set of hash types, joined with `|`: for which packets the hash covers what.
///
/// A packet is hashed with the most precise type that is in the set: a TCP segment over IPv4 with
/// [`TCP_IPV4`](Self::TCP_IPV4), otherwise with [`IPV4`](Self::IPV4), otherwise not at all, which puts it on the first
/// entry of the table. A fragment has no ports, so it counts as plain IP: that is why the default set leaves the ports
/// of UDP out. With them, the fragments of a flow go another way than its whole packets, and overtake them.
///
/// The set has types that some devices do not know; asking one for those is an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashTypes(u16);

/// Each type with its name (DPDK's, as in testpmd's `rss_conf`), and what is said where the device does not have it.
const NAMES: [(HashTypes, &str, &str); 11] = [
    (HashTypes::IPV4, "ipv4", "RSS over IPv4 addresses"),
    (HashTypes::TCP_IPV4, "ipv4-tcp", "RSS over the ports of TCP over IPv4"),
    (HashTypes::UDP_IPV4, "ipv4-udp", "RSS over the ports of UDP over IPv4"),
    (HashTypes::SCTP_IPV4, "ipv4-sctp", "RSS over the ports of SCTP over IPv4"),
    (HashTypes::IPV6, "ipv6", "RSS over IPv6 addresses"),
    (HashTypes::TCP_IPV6, "ipv6-tcp", "RSS over the ports of TCP over IPv6"),
    (HashTypes::UDP_IPV6, "ipv6-udp", "RSS over the ports of UDP over IPv6"),
    (HashTypes::SCTP_IPV6, "ipv6-sctp", "RSS over the ports of SCTP over IPv6"),
    (HashTypes::IPV6_EX, "ipv6-ex", "RSS over the addresses in IPv6 extension headers"),
    (
        HashTypes::TCP_IPV6_EX,
        "ipv6-tcp-ex",
        "RSS over the addresses in IPv6 extension headers, with TCP ports",
    ),
    (
        HashTypes::UDP_IPV6_EX,
        "ipv6-udp-ex",
        "RSS over the addresses in IPv6 extension headers, with UDP ports",
    ),
];

impl HashTypes {
    /// Nothing.
    pub const NONE: HashTypes = HashTypes(0);
    /// The addresses of IPv4 packets.
    pub const IPV4: HashTypes = HashTypes(1 << 0);
    /// Addresses and ports of TCP over IPv4.
    pub const TCP_IPV4: HashTypes = HashTypes(1 << 1);
    /// Addresses and ports of UDP over IPv4.
    pub const UDP_IPV4: HashTypes = HashTypes(1 << 2);
    /// Addresses and ports of SCTP over IPv4: on none of these devices.
    pub const SCTP_IPV4: HashTypes = HashTypes(1 << 3);
    /// The addresses of IPv6 packets.
    pub const IPV6: HashTypes = HashTypes(1 << 4);
    /// Addresses and ports of TCP over IPv6.
    pub const TCP_IPV6: HashTypes = HashTypes(1 << 5);
    /// Addresses and ports of UDP over IPv6.
    pub const UDP_IPV6: HashTypes = HashTypes(1 << 6);
    /// Addresses and ports of SCTP over IPv6: on none of these devices.
    pub const SCTP_IPV6: HashTypes = HashTypes(1 << 7);
    /// The addresses in IPv6 extension headers: 82576 and I350; reserved on the 82599 (8.2.3.7.12).
    pub const IPV6_EX: HashTypes = HashTypes(1 << 8);
    /// The same with the ports of TCP.
    pub const TCP_IPV6_EX: HashTypes = HashTypes(1 << 9);
    /// The same with the ports of UDP.
    pub const UDP_IPV6_EX: HashTypes = HashTypes(1 << 10);

    /// Returns whether all of `other` is in the set.
    pub const fn contains(self, other: HashTypes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the types in the set, each with its name.
    pub fn iter(self) -> impl Iterator<Item = (HashTypes, &'static str)> {
        NAMES.iter().filter(move |(one, ..)| self.contains(*one)).map(|(one, name, _)| (*one, *name))
    }

    /// Returns an error that names the first type that is not among those `supported`.
    pub fn check(self, supported: HashTypes) -> Result<(), PortError> {
        if self.is_empty() {
            return Err(PortError::Invalid {
                what: "RSS without a hash type spreads nothing: leave RSS out instead",
            });
        }
        match NAMES.iter().find(|(one, ..)| self.contains(*one) && !supported.contains(*one)) {
            Some((_, _, what)) => Err(PortError::Unsupported { what }),
            None => Ok(()),
        }
    }

    /// Returns the bits of MRQC that enable the types of the set (82599 datasheet 8.2.3.7.12; 82576 datasheet 8.10).
    pub fn mrqc_bits(self) -> u32 {
        MRQC.iter().filter(|(_, one)| self.contains(*one)).fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// Returns the types that a value of MRQC has enabled.
    pub fn of_mrqc(bits: u32) -> HashTypes {
        MRQC.iter().filter(|(bit, _)| bits >> bit & 1 == 1).fold(Self::NONE, |set, (_, one)| set | *one)
    }
}

/// The bit of MRQC that enables a type.
const MRQC: [(u32, HashTypes); 9] = [
    (16, HashTypes::TCP_IPV4),
    (17, HashTypes::IPV4),
    (18, HashTypes::TCP_IPV6_EX),
    (19, HashTypes::IPV6_EX),
    (20, HashTypes::IPV6),
    (21, HashTypes::TCP_IPV6),
    (22, HashTypes::UDP_IPV4),
    (23, HashTypes::UDP_IPV6),
    (24, HashTypes::UDP_IPV6_EX),
];

impl Default for HashTypes {
    /// Addresses, and the ports of TCP.
    fn default() -> HashTypes {
        HashTypes::IPV4 | HashTypes::TCP_IPV4 | HashTypes::IPV6 | HashTypes::TCP_IPV6
    }
}

impl BitOr for HashTypes {
    type Output = HashTypes;

    fn bitor(self, other: HashTypes) -> HashTypes {
        HashTypes(self.0 | other.0)
    }
}

impl BitOrAssign for HashTypes {
    fn bitor_assign(&mut self, other: HashTypes) {
        *self = *self | other;
    }
}

impl fmt::Display for HashTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (at, (_, name)) in self.iter().enumerate() {
            if at != 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for HashTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashTypes({self})")
    }
}
