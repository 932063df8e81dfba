//! Sums and codes over bytes: the Internet checksum, CRC-32 of Ethernet, CRC-32c of SCTP.
//!
//! Neighbours: `rx` verifies with them, `tx` inserts, the MAC makes the frame check sequence.

/// The one's complement sum of big-endian words, folded, not inverted. An odd last byte counts as a high byte.
/// `start` is a sum to go on from.
pub(crate) fn ones_sum(bytes: &[u8], start: u32) -> u16 {
    // A sum of 32-bit words in native order, folded and turned at the end, is the same (RFC 1071 section 2).
    let mut sum: u64 = 0;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let rest = words.remainder();
    let mut last = [0u8; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last)) + u64::from(start);
    fold(sum)
}

/// Folds a sum to 16 bits.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

static ETHERNET: [u32; 256] = table(0xEDB8_8320);
static CASTAGNOLI: [u32; 256] = table(0x82F6_3B78);

fn crc(table: &[u32; 256], bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| crc >> 8 ^ table[usize::from(crc as u8 ^ byte)])
}

/// The frame check sequence of Ethernet; it goes out low byte first.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc(&ETHERNET, bytes)
}

/// The checksum of SCTP; it goes out low byte first.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc(&CASTAGNOLI, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_check_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        // RFC 1071 section 3.
        assert_eq!(ones_sum(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7], 0), 0xDDF2);
    }

    proptest! {
        #[test]
        fn the_sum_is_the_sum_of_words(bytes in proptest::collection::vec(any::<u8>(), 0..300), start: u16) {
            let words = bytes.chunks(2).map(|c| u64::from(c[0]) << 8 | u64::from(*c.get(1).unwrap_or(&0)));
            let plain = words.sum::<u64>() + u64::from(start);
            let (a, b) = (ones_sum(&bytes, u32::from(start)), fold(plain));
            // Both zeros of one's complement mean the same.
            prop_assert!(a == b || (a % 0xFFFF == 0 && b % 0xFFFF == 0), "{a:04x} {b:04x}");
        }
    }
}
