//! The bitstreams that the model's reconfiguration engine takes.
//!
//! A real bitstream is known to the vendor's tools only. The model's is 52 bytes of header and whatever follows, in
//! little-endian words:
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `PMD-AFU\0` |
//! | 8–23 | the interface id, low half first |
//! | 24–39 | the accelerator's GUID, low half first |
//! | 40–43 | how many bytes of data follow the checksum, a multiple of 4 |
//! | 44–47 | CRC-32C of all bytes before |
//! | 48–51 | CRC-32C of the data |
//! | 52– | data; what they are is not looked at |
//!
//! [`build`] makes one. In a file it is what follows the GBS header and its metadata. Bytes after the data are padding.
//!
//! Key types: [`build`]; a parser that keeps nothing. Neighbours: `fme::pr` feeds the parser.

use pmd_afu::guid;
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"PMD-AFU\0";
/// Bytes of the header that the first checksum covers.
const COVERED: usize = 44;
const HEADER: usize = COVERED + 8;

/// Returns a bitstream for a card with this static region that makes this accelerator, with `data_bytes` bytes of data
/// (rounded up to whole words) behind its header, as real ones have megabytes.
pub fn build(interface_id: Uuid, afu: Uuid, data_bytes: u32) -> Vec<u8> {
    let data_bytes = data_bytes.min(u32::MAX - 3).next_multiple_of(4);
    let mut bytes = MAGIC.to_vec();
    for id in [interface_id, afu] {
        let (low, high) = guid::words(id);
        bytes.extend(low.to_le_bytes());
        bytes.extend(high.to_le_bytes());
    }
    bytes.extend(data_bytes.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    // A pattern without long runs, so that a lost or swapped word shows.
    let data: Vec<u8> = (0..data_bytes / 4).flat_map(|n| n.wrapping_mul(0x9E37_79B9).to_le_bytes()).collect();
    bytes.extend(crc32c::crc32c(&data).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// What a bitstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good {
        interface: Uuid,
        afu: Uuid,
    },
    /// Not one of the model's.
    Foreign,
    /// A checksum is wrong.
    Corrupt,
    /// Some of it is missing.
    Short,
}

/// Takes a bitstream word by word, without keeping it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parser {
    header: Vec<u8>,
    data: u32,
    checksum: u32,
}

impl Parser {
    pub(crate) fn push(&mut self, word: u32) {
        if self.header.len() < HEADER {
            self.header.extend(word.to_le_bytes());
        } else if self.data < self.word(40) {
            self.data += 4;
            self.checksum = crc32c::crc32c_append(self.checksum, &word.to_le_bytes());
        }
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    fn id(&self, at: usize) -> Uuid {
        let half = |at: usize| u64::from(self.word(at)) | u64::from(self.word(at + 4)) << 32;
        guid::of_words(half(at), half(at + 8))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let start = self.header.len().min(MAGIC.len());
        if self.header[..start] != MAGIC[..start] {
            return Verdict::Foreign;
        }
        if self.header.len() < HEADER {
            return Verdict::Short;
        }
        if crc32c::crc32c(&self.header[..COVERED]) != self.word(COVERED) {
            return Verdict::Corrupt;
        }
        if self.data < self.word(40) {
            return Verdict::Short;
        }
        if self.checksum != self.word(COVERED + 4) {
            return Verdict::Corrupt;
        }
        Verdict::Good { interface: self.id(8), afu: self.id(24) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERFACE: Uuid = Uuid::from_u128(1);

    fn judge(bytes: &[u8]) -> Verdict {
        let mut parser = Parser::default();
        for word in bytes.chunks(4) {
            let mut padded = [0; 4];
            padded[..word.len()].copy_from_slice(word);
            parser.push(u32::from_le_bytes(padded));
        }
        parser.verdict()
    }

    #[test]
    fn what_was_built_is_good_with_any_padding() {
        for data in [0, 1, 4, 1000] {
            let mut bytes = build(INTERFACE, guid::HE_MEM, data);
            let good = Verdict::Good { interface: INTERFACE, afu: guid::HE_MEM };
            assert_eq!(judge(&bytes), good);
            bytes.extend([0xFF; 9]);
            assert_eq!(judge(&bytes), good);
        }
    }

    #[test]
    fn every_flipped_bit_shows() {
        let bytes = build(INTERFACE, guid::NLB0, 16);
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(judge(&broken), Verdict::Good { .. }), "bit {bit}");
        }
    }

    #[test]
    fn every_missing_word_shows() {
        let bytes = build(INTERFACE, guid::NLB0, 16);
        for words in 1..bytes.len() / 4 {
            assert_eq!(judge(&bytes[..4 * words]), Verdict::Short, "{words} words");
        }
        assert_eq!(judge(b"ELF\x7fsomething else"), Verdict::Foreign);
    }
}
