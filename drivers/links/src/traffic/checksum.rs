//! The Internet checksum (RFC 1071).
//!
//! Neighbours: the generator and the checker beside it; the packet socket finishes what the kernel left to hardware.

/// The one's complement sum of big-endian 16-bit words, not folded; an odd last byte is padded with zero. Sums of
/// parts that start at even offsets add up to the sum of the whole.
#[inline]
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    // 32-bit words: 2^16 is 1 modulo 2^16 - 1, so the two halves need no separating before the fold.
    let mut words = bytes.chunks_exact(4);
    let mut total = 0u64;
    for word in &mut words {
        total += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    for (slot, byte) in last.iter_mut().zip(words.remainder()) {
        *slot = *byte;
    }
    total + u64::from(u32::from_be_bytes(last))
}

/// Folds a sum to 16 bits. A range that holds its own right checksum folds to 0xffff.
#[inline]
pub(crate) fn fold(mut sum: u64) -> u16 {
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The checksum to write for a sum in which the checksum field counted as zero.
#[inline]
pub(crate) fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// [`finish`] for UDP, where zero means "no checksum" and 0xffff stands for it (RFC 768).
#[inline]
pub(crate) fn finish_udp(sum: u64) -> u16 {
    match finish(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_1071_example() {
        // RFC 1071, section 3: these bytes sum to ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        assert_eq!(finish(sum(&bytes)), !0xddf2);
    }

    #[test]
    fn odd_lengths_are_padded_with_zero() {
        for len in 0..16 {
            let bytes: Vec<u8> = (0..len).map(|i| 0xf0 | i as u8).collect();
            let mut padded = bytes.clone();
            padded.resize(len + len % 2, 0);
            let simple: u64 = padded.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(w[1])).sum();
            assert_eq!(fold(sum(&bytes)), fold(simple), "{len} bytes");
        }
    }

    #[test]
    fn the_largest_sum_folds() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0), 0);
        assert_eq!(finish_udp(0xffff), 0xffff);
    }
}
