//! The Toeplitz hash of receive-side scaling (datasheet 7.1.2.8), checked against Microsoft's published vectors.
//!
//! Key types: [`Toeplitz`]. Neighbours: [`rss`](super::rss) chooses what is hashed.

/// Bytes of key that the RSSRK registers hold.
pub(crate) const KEY_BYTES: usize = 40;
/// The longest input: two IPv6 addresses and two ports.
const INPUT_BYTES: usize = 36;

/// A key, spread into one table per input byte: a hash is one look-up and one exclusive or per byte.
pub(crate) struct Toeplitz {
    tables: Box<[[u32; 256]; INPUT_BYTES]>,
}

impl Toeplitz {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Toeplitz {
        // The 32 key bits that start at bit `at`.
        let window = |at: usize| {
            let byte = |i: usize| u64::from(key.get(at / 8 + i).copied().unwrap_or(0));
            let five = byte(0) << 32 | byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
            (five >> (8 - at % 8)) as u32
        };
        let mut tables = Box::new([[0u32; 256]; INPUT_BYTES]);
        for (position, table) in tables.iter_mut().enumerate() {
            for bit in 0..8 {
                let value = window(position * 8 + bit);
                for (byte, entry) in table.iter_mut().enumerate() {
                    if byte & 0x80 >> bit != 0 {
                        *entry ^= value;
                    }
                }
            }
        }
        Toeplitz { tables }
    }

    /// Hashes the bytes of `parts`, one behind the other, 36 at most.
    #[inline]
    pub(crate) fn hash(&self, parts: [&[u8]; 2]) -> u32 {
        parts
            .into_iter()
            .flatten()
            .zip(self.tables.iter())
            .fold(0, |hash, (byte, table)| hash ^ table[usize::from(*byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and cases of Microsoft's "Verifying the RSS Hash Calculation".
    const KEY: [u8; KEY_BYTES] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn published_vectors_ipv4() {
        // Destination address:port, source address:port, hash of addresses, hash with TCP ports.
        let cases = [
            ([161, 142, 100, 80], 1766, [66, 9, 149, 187], 2794, 0x323e_8fc2, 0x51cc_c178),
            ([65, 69, 140, 83], 4739, [199, 92, 111, 2], 14230, 0xd718_262a, 0xc626_b0ea),
            ([12, 22, 207, 184], 38024, [24, 19, 198, 95], 12898, 0xd2d0_a5de, 0x5c2b_394a),
            ([209, 142, 163, 6], 2217, [38, 27, 205, 30], 48228, 0x8298_9176, 0xafc7_327f),
            ([202, 188, 127, 2], 1303, [153, 39, 163, 191], 44251, 0x5d18_09c5, 0x10e8_28a2),
        ];
        let toeplitz = Toeplitz::new(&KEY);
        for (destination, to, source, from, plain, tcp) in cases {
            let addresses = [source, destination].concat();
            let ports = [u16::to_be_bytes(from), u16::to_be_bytes(to)].concat();
            assert_eq!(toeplitz.hash([&addresses, &[]]), plain);
            assert_eq!(toeplitz.hash([&addresses, &ports]), tcp);
        }
    }

    #[test]
    fn published_vectors_ipv6() {
        let cases = [
            ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc1_8cd5, 0x4020_7d3d),
            ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c_461c, 0xdde5_1bbf),
            (
                "fe80::200:f8ff:fe21:67cf",
                38024,
                "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
                44251,
                0x4b61_e985,
                0x02d1_feef,
            ),
        ];
        let toeplitz = Toeplitz::new(&KEY);
        for (destination, to, source, from, plain, tcp) in cases {
            let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
            let addresses = [octets(source), octets(destination)].concat();
            let ports = [u16::to_be_bytes(from), u16::to_be_bytes(to)].concat();
            assert_eq!(toeplitz.hash([&addresses, &[]]), plain);
            assert_eq!(toeplitz.hash([&addresses, &ports]), tcp);
        }
    }
}
