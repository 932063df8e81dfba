//! What a generated frame says about itself.
//!
//! The first 14 bytes of the UDP payload, big-endian, just what the smallest frame with a VLAN tag has room for:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..2 | magic |
//! | 2..4 | flow |
//! | 4..10 | number of the frame within its flow, from 0 |
//! | 10..14 | check over the ten bytes before and the UDP length |
//!
//! The rest of the payload is a fixed pattern. The check and the pattern are there beside the UDP checksum because a
//! NIC that inserts checksums would make a damaged payload look right.
//!
//! Key types: [`Stamp`].
//! Neighbours: written by the generator, read by the checker.

use super::generator::MAX_FRAME_SIZE;

/// Bytes of a stamp.
pub(super) const LEN: usize = 14;
const MAGIC: u16 = 0x9d4b;
/// Numbers have 48 bits; at 100 million frames a second and flow they last a month.
const NUMBER_MASK: u64 = (1 << 48) - 1;

/// Who a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) flow: u16,
    pub(super) number: u64,
}

impl Stamp {
    /// The bytes, as the lower 112 bits of a number.
    #[inline]
    pub(super) fn bits(self, udp_len: u16) -> u128 {
        let number = self.number & NUMBER_MASK;
        let head = u64::from(MAGIC) << 48 | u64::from(self.flow) << 32 | number >> 16;
        let tail = (number & 0xffff) << 32 | u64::from(check(self.flow, number, udp_len));
        u128::from(head) << 48 | u128::from(tail)
    }

    /// What the bytes say: `None` without the magic, `Some(None)` when they are damaged.
    #[inline]
    pub(super) fn read(bytes: &[u8; LEN], udp_len: u16) -> Option<Option<Stamp>> {
        let mut wide = [0; 16];
        wide[2..].copy_from_slice(bytes);
        let bits = u128::from_be_bytes(wide);
        if (bits >> 96) as u16 != MAGIC {
            return None;
        }
        let flow = (bits >> 80) as u16;
        let number = (bits >> 32) as u64 & NUMBER_MASK;
        Some((bits as u32 == check(flow, number, udp_len)).then_some(Stamp { flow, number }))
    }
}

/// Mixes by one multiplication; every input bit reaches the upper half, of which this is the top.
#[inline]
fn check(flow: u16, number: u64, udp_len: u16) -> u32 {
    let input = (number << 16 | u64::from(flow)) ^ u64::from(udp_len).rotate_right(16);
    let mixed = (input ^ input >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 31) as u32 ^ (mixed >> 32) as u32
}

const PATTERN_LEN: usize = MAX_FRAME_SIZE as usize;

/// The filling behind the stamp, from its first byte. Neighbouring bytes and bytes 256 apart differ, so that a
/// shifted or repeated piece shows.
pub(super) static PATTERN: [u8; PATTERN_LEN] = {
    let mut pattern = [0; PATTERN_LEN];
    let mut i = 0;
    while i < PATTERN_LEN {
        pattern[i] = (i as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
        i += 1;
    }
    pattern
};

/// The checksum's sum over the first `n` bytes of [`PATTERN`], so that nobody adds up a payload that is known.
pub(super) static PATTERN_SUM: [u32; PATTERN_LEN + 1] = {
    let mut sums = [0; PATTERN_LEN + 1];
    let mut i = 0;
    while i < PATTERN_LEN {
        // A sum over an odd number of bytes counts the last one as the upper half of a word.
        let byte = PATTERN[i] as u32;
        sums[i + 1] = sums[i] + if i % 2 == 0 { byte << 8 } else { byte };
        i += 1;
    }
    sums
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::checksum;

    fn bytes(stamp: Stamp, udp_len: u16) -> [u8; LEN] {
        let [0, 0, bytes @ ..] = stamp.bits(udp_len).to_be_bytes() else { panic!("more than 112 bits") };
        bytes
    }

    #[test]
    fn every_single_bit_error_is_seen() {
        for stamp in [Stamp { flow: 0, number: 0 }, Stamp { flow: 65_535, number: NUMBER_MASK }] {
            let whole = bytes(stamp, 22);
            assert_eq!(Stamp::read(&whole, 22), Some(Some(stamp)));
            for bit in 0..LEN * 8 {
                let mut damaged = whole;
                damaged[bit / 8] ^= 1 << (bit % 8);
                let expected = if bit < 16 { None } else { Some(None) };
                assert_eq!(Stamp::read(&damaged, 22), expected, "bit {bit}");
            }
            assert_eq!(Stamp::read(&whole, 23), Some(None), "a wrong length");
        }
    }

    #[test]
    fn the_sums_are_those_of_the_pattern() {
        for len in [0, 1, 2, 3, 17, 1_000, 1_001, PATTERN_LEN] {
            let expected = checksum::fold(checksum::sum(&PATTERN[..len]));
            assert_eq!(checksum::fold(PATTERN_SUM[len].into()), expected, "{len} bytes");
        }
    }
}
