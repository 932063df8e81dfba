//! Accesses of every width, turned into dwords in one place.
//!
//! The 82599's registers are dwords (datasheet 8.1.1). A quad-word access is two, the lower address first, which is
//! the order in which FDIRHASH and FDIRCMD must arrive. A byte or word read picks from the dword and has the dword's
//! side effects; a byte or word write merges with what the register holds.

use vfio_user_kit::AccessError;

use super::file::BAR0_BYTES;

/// What the dispatcher offers for one dword.
pub(crate) trait Dwords {
    /// Reads with side effects.
    fn read(&mut self, offset: u64) -> u32;
    /// Reads without.
    fn peek(&mut self, offset: u64) -> u32;
    /// Writes.
    fn write(&mut self, offset: u64, value: u32);
}

fn check(bar: u8, offset: u64, width: usize) -> Result<(), AccessError> {
    if bar != 0 || offset.checked_add(width as u64).is_none_or(|end| end > BAR0_BYTES) {
        return Err(AccessError::OutOfRange { bar, offset });
    }
    let aligned = match width {
        1 => true,
        2 => offset.is_multiple_of(2),
        4 | 8 => offset.is_multiple_of(4),
        _ => false,
    };
    if aligned { Ok(()) } else { Err(AccessError::Width { offset, width }) }
}

/// Reads `data.len()` bytes.
pub(crate) fn read(
    dwords: &mut impl Dwords,
    bar: u8,
    offset: u64,
    data: &mut [u8],
) -> Result<(), AccessError> {
    check(bar, offset, data.len())?;
    if data.len() < 4 {
        let bytes = dwords.read(offset & !3).to_le_bytes();
        let at = (offset & 3) as usize;
        data.copy_from_slice(&bytes[at..at + data.len()]);
        return Ok(());
    }
    for (i, part) in data.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&dwords.read(offset + 4 * i as u64).to_le_bytes());
    }
    Ok(())
}

/// Writes `data.len()` bytes.
pub(crate) fn write(dwords: &mut impl Dwords, bar: u8, offset: u64, data: &[u8]) -> Result<(), AccessError> {
    check(bar, offset, data.len())?;
    if data.len() < 4 {
        let mut bytes = dwords.peek(offset & !3).to_le_bytes();
        let at = (offset & 3) as usize;
        bytes[at..at + data.len()].copy_from_slice(data);
        dwords.write(offset & !3, u32::from_le_bytes(bytes));
        return Ok(());
    }
    for (i, part) in data.chunks_exact(4).enumerate() {
        dwords.write(offset + 4 * i as u64, u32::from_le_bytes([part[0], part[1], part[2], part[3]]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Log(Vec<(u64, u32)>);
    impl Dwords for Log {
        fn read(&mut self, offset: u64) -> u32 {
            0x4433_2211u32.wrapping_add(offset as u32)
        }
        fn peek(&mut self, offset: u64) -> u32 {
            self.read(offset)
        }
        fn write(&mut self, offset: u64, value: u32) {
            self.0.push((offset, value));
        }
    }

    #[test]
    fn narrow_accesses_pick_and_merge() {
        let mut log = Log::default();
        let mut byte = [0u8];
        read(&mut log, 0, 2, &mut byte).unwrap();
        assert_eq!(byte, [0x33]);
        write(&mut log, 0, 2, &[0xAA, 0xBB]).unwrap();
        assert_eq!(log.0, [(0, 0xBBAA_2211)]);
    }

    #[test]
    fn a_quad_word_is_two_dwords_low_first() {
        let mut log = Log::default();
        write(&mut log, 0, 0xEE28, &0x2222_2222_1111_1111u64.to_le_bytes()).unwrap();
        assert_eq!(log.0, [(0xEE28, 0x1111_1111), (0xEE2C, 0x2222_2222)]);
    }

    #[test]
    fn what_the_registers_do_not_take_is_an_error() {
        let mut log = Log::default();
        let mut wide = [0u8; 8];
        assert!(matches!(read(&mut log, 2, 0, &mut wide), Err(AccessError::OutOfRange { bar: 2, .. })));
        assert!(matches!(read(&mut log, 0, 0x7FFFC, &mut wide), Err(AccessError::OutOfRange { .. })));
        assert!(matches!(read(&mut log, 0, u64::MAX, &mut wide), Err(AccessError::OutOfRange { .. })));
        assert!(matches!(read(&mut log, 0, 1, &mut wide[..4]), Err(AccessError::Width { .. })));
        assert!(matches!(read(&mut log, 0, 0, &mut wide[..3]), Err(AccessError::Width { .. })));
        assert!(matches!(write(&mut log, 0, 1, &[0, 0]), Err(AccessError::Width { .. })));
        assert!(matches!(write(&mut log, 0, 0, &[]), Err(AccessError::Width { .. })));
    }
}
