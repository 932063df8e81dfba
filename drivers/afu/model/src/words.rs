//! Accesses of 1, 2, 4 and 8 bytes as reads and writes of 64-bit words, which is what the card's registers are.
//!
//! Key types: [`Words`]. Neighbours: [`model`](crate::model) implements it for each BAR; every unit behind it sees
//! aligned words only, and a mask of the bits that a write carries.

use vfio_user_kit::AccessError;

/// Registers, as words.
pub(crate) trait Words {
    /// Reads the word at `offset`, a multiple of 8.
    fn read(&mut self, offset: u64) -> u64;

    /// Writes the bits of `mask` of the word at `offset`, a multiple of 8.
    fn write(&mut self, offset: u64, value: u64, mask: u64);
}

/// Returns `old` with the bits of `mask` taken from `value`.
pub(crate) fn merge(old: u64, value: u64, mask: u64) -> u64 {
    old & !mask | value & mask
}

/// Returns bits `msb` to `lsb` of a word.
pub(crate) const fn bits(word: u64, msb: u32, lsb: u32) -> u64 {
    (word >> lsb) & (u64::MAX >> (63 - (msb - lsb)))
}

/// Reads `data.len()` bytes at `offset` of BAR `bar`, which has `size` bytes.
pub(crate) fn read(
    words: &mut impl Words,
    bar: u8,
    size: u64,
    offset: u64,
    data: &mut [u8],
) -> Result<(), AccessError> {
    let shift = check(bar, size, offset, data.len())?;
    let word = words.read(offset & !7) >> shift;
    data.copy_from_slice(&word.to_le_bytes()[..data.len()]);
    Ok(())
}

/// Writes `data` at `offset` of BAR `bar`, which has `size` bytes.
pub(crate) fn write(
    words: &mut impl Words,
    bar: u8,
    size: u64,
    offset: u64,
    data: &[u8],
) -> Result<(), AccessError> {
    let shift = check(bar, size, offset, data.len())?;
    let mut bytes = [0; 8];
    bytes[..data.len()].copy_from_slice(data);
    let mask = u64::MAX >> (64 - 8 * data.len() as u32);
    words.write(offset & !7, u64::from_le_bytes(bytes) << shift, mask << shift);
    Ok(())
}

/// Returns how far the access is into its word, in bits.
fn check(bar: u8, size: u64, offset: u64, width: usize) -> Result<u32, AccessError> {
    if !matches!(width, 1 | 2 | 4 | 8) || !offset.is_multiple_of(width as u64) {
        return Err(AccessError::Width { offset, width });
    }
    if offset.checked_add(width as u64).is_none_or(|end| end > size) {
        return Err(AccessError::OutOfRange { bar, offset });
    }
    Ok(8 * (offset % 8) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One word of storage at offset 8.
    struct One(u64);

    impl Words for One {
        fn read(&mut self, offset: u64) -> u64 {
            if offset == 8 { self.0 } else { 0 }
        }
        fn write(&mut self, offset: u64, value: u64, mask: u64) {
            assert_eq!(value & !mask, 0, "a write carries only the bits of its mask");
            if offset == 8 {
                self.0 = merge(self.0, value, mask);
            }
        }
    }

    #[test]
    fn narrow_accesses_reach_their_bytes_only() {
        let mut one = One(0x8877_6655_4433_2211);
        let mut byte = [0];
        read(&mut one, 0, 16, 10, &mut byte).unwrap();
        assert_eq!(byte, [0x33]);
        write(&mut one, 0, 16, 12, &[0xAA, 0xBB, 0xCC, 0xDD]).unwrap();
        assert_eq!(one.0, 0xDDCC_BBAA_4433_2211);
        write(&mut one, 0, 16, 8, &[0xFF]).unwrap();
        assert_eq!(one.0, 0xDDCC_BBAA_4433_22FF);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let mut one = One(0);
        let mut wide = [0; 8];
        assert!(matches!(read(&mut one, 2, 16, 16, &mut wide), Err(AccessError::OutOfRange { bar: 2, .. })));
        assert!(matches!(
            read(&mut one, 0, 16, u64::MAX - 7, &mut wide),
            Err(AccessError::OutOfRange { .. })
        ));
        assert!(matches!(read(&mut one, 0, 16, 4, &mut wide), Err(AccessError::Width { .. })));
        assert!(matches!(write(&mut one, 0, 16, 8, &[0; 3]), Err(AccessError::Width { .. })));
        assert!(matches!(write(&mut one, 0, 16, 8, &[]), Err(AccessError::Width { .. })));
    }
}
