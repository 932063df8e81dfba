//! The words of the EEPROM (datasheet chapter 6).
//!
//! The map has pointers at words 03h to 0Fh to sections that begin with their length. Here every section sums to
//! zero, so both readings of the checksum hold: over words 0 to 3Fh alone, and over the sections too.
//!
//! Key types: [`Image`].

use crate::config::{Config, Module, Part};
use crate::state::{StateError, check, state};

/// Words in a 16 KB EEPROM.
pub(crate) const WORDS: usize = 8192;
/// What words 0 to 3Fh sum to.
const CHECKSUM: u16 = 0xBABA;

/// Words with a fixed place.
mod at {
    pub(super) const PCIE_ANALOG: usize = 0x03;
    pub(super) const PCIE_GENERAL: usize = 0x06;
    pub(super) const PCIE_CONFIG_0: usize = 0x07;
    pub(super) const CORE_0: usize = 0x09;
    pub(super) const MAC_0: usize = 0x0B;
    pub(super) const CSR_0: usize = 0x0D;
    pub(super) const FIRMWARE: usize = 0x0F;
    pub(super) const PBA: usize = 0x15;
    pub(super) const SFP_INIT: usize = 0x2B;
    pub(super) const DEVICE_CAPS: usize = 0x2C;
    pub(super) const ETRACK: usize = 0x2D;
    pub(super) const PXE_SETUP: usize = 0x30;
    pub(super) const PXE_VERSION: usize = 0x32;
    pub(super) const INIT_CONTROL_3: usize = 0x38;
    pub(super) const CHECKSUM: usize = 0x3F;
}

/// 2Ch: any SFP module is allowed when set.
const CAPS_ANY_SFP: u16 = 1 << 0;
/// 2Ch: the board needs no work-around against crosstalk from an empty cage.
const CAPS_NO_CROSSTALK: u16 = 1 << 7;

/// The contents.
pub(crate) struct Image {
    words: Box<[u16]>,
    core: usize,
    mac_section: usize,
}

state!(Image { words, core, mac_section });

impl Image {
    /// Checks what came from outside: as many words as there are, and sections of 8 words inside of them.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        check(self.words.len() == WORDS, "an EEPROM of another size")?;
        let inside = |section: usize| section <= WORDS - 8;
        check(inside(self.core) && inside(self.mac_section), "a section behind the end of the EEPROM")
    }

    pub(crate) fn new(config: &Config) -> Image {
        let mut image = Image { words: vec![0xFFFF; WORDS].into_boxed_slice(), core: 0, mac_section: 0 };
        let words = &mut image.words;
        words[0] = 0;
        words[1] = 0;
        words[at::PBA] = 0xFAFA; // guard: the PBA number is a string behind the next pointer
        words[at::DEVICE_CAPS] =
            CAPS_NO_CROSSTALK | if config.module == Module::Absent { CAPS_ANY_SFP } else { 0 };
        words[at::ETRACK] = 0x0001;
        words[at::ETRACK + 1] = 0x8000;
        words[at::PXE_SETUP] = 0;
        words[at::PXE_VERSION] = 0;
        words[at::INIT_CONTROL_3] = 0;

        let mut free = 0x80;
        image.section(at::PCIE_ANALOG, &[0x0000, 0x0000], &mut free);
        image.section(at::PCIE_GENERAL, &[0; 0x24], &mut free);
        image.section(at::PCIE_CONFIG_0, &[0; 8], &mut free);
        let m = config.mac.map(u16::from);
        let mac = [m[1] << 8 | m[0], m[3] << 8 | m[2], m[5] << 8 | m[4]];
        image.core = image.section(at::CORE_0, &[mac[0], mac[1], mac[2], 0x0100, 0x0584], &mut free) + 1;
        let [autoc, autoc2] = link_defaults(config.part);
        let halves = [autoc as u16, (autoc >> 16) as u16, autoc2 as u16, (autoc2 >> 16) as u16];
        image.mac_section = image.section(at::MAC_0, &halves, &mut free) + 1;
        image.section(at::CSR_0, &[0x0000], &mut free);
        image.firmware(&mut free);
        image.pba("G11111-001", &mut free);
        image.sfp_init(&mut free);
        image.seal();
        image
    }

    /// Writes a section with its length in front and a word behind that makes it sum to zero; returns its place.
    fn section(&mut self, pointer: usize, data: &[u16], free: &mut usize) -> usize {
        let start = *free;
        self.words[pointer] = start as u16;
        self.words[start] = data.len() as u16 + 1;
        self.words[start + 1..start + 1 + data.len()].copy_from_slice(data);
        let sum = data.iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        self.words[start + 1 + data.len()] = sum.wrapping_neg();
        *free = start + data.len() + 2;
        start
    }

    /// The firmware module: no link-establishment state machine, a pass-through patch of version 7.
    fn firmware(&mut self, free: &mut usize) {
        let module = *free;
        self.words[at::FIRMWARE] = module as u16;
        self.words[module..module + 8].fill(0xFFFF);
        self.words[module] = 8;
        self.words[module + 4] = module as u16 + 8;
        self.words[module + 8..module + 16].fill(0);
        self.words[module + 8 + 7] = 0x0007;
        *free = module + 16;
    }

    /// The board's part number: a block with its length in words and two letters a word.
    fn pba(&mut self, number: &str, free: &mut usize) {
        let start = *free;
        self.words[at::PBA + 1] = start as u16;
        let letters =
            number.as_bytes().chunks(2).map(|c| u16::from(c[0]) << 8 | c.get(1).map_or(0, |c| u16::from(*c)));
        let mut len = 1;
        for word in letters {
            self.words[start + len] = word;
            len += 1;
        }
        self.words[start] = len as u16;
        *free = start + len;
    }

    /// The list that says, for each kind of module, what to write to CORECTL to set up the analog part.
    fn sfp_init(&mut self, free: &mut usize) {
        let list = *free;
        // Kinds as drivers number them: 3 and 4 copper cables, 5 and 6 SR and LR optics, 7 and 8 active cables.
        let kinds = 3..=8u16;
        let data = list + 1 + 2 * kinds.clone().count() + 1;
        self.words[at::SFP_INIT] = list as u16;
        self.words[list] = 2 * kinds.clone().count() as u16 + 1;
        for (i, kind) in kinds.clone().enumerate() {
            self.words[list + 1 + 2 * i] = kind;
            self.words[list + 2 + 2 * i] = data as u16;
        }
        self.words[list + 1 + 2 * kinds.count()] = 0xFFFF;
        self.words[data..data + 4].copy_from_slice(&[3, 0x0C10, 0x0D24, 0xFFFF]);
        *free = data + 4;
    }

    fn seal(&mut self) {
        let sum = self.words[..at::CHECKSUM].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        self.words[at::CHECKSUM] = CHECKSUM.wrapping_sub(sum);
    }

    /// Returns a word, FFFFh beyond the end.
    pub(crate) fn word(&self, index: u16) -> u16 {
        self.words.get(usize::from(index)).copied().unwrap_or(0xFFFF)
    }

    /// Returns a byte as the serial EEPROM does: the low byte of a word first.
    pub(crate) fn byte(&self, address: u16) -> u8 {
        self.word(address / 2).to_le_bytes()[usize::from(address % 2)]
    }

    /// Changes a byte.
    pub(crate) fn set_byte(&mut self, address: u16, value: u8) {
        if let Some(word) = self.words.get_mut(usize::from(address / 2)) {
            let mut bytes = word.to_le_bytes();
            bytes[usize::from(address % 2)] = value;
            *word = u16::from_le_bytes(bytes);
        }
    }

    /// Returns the permanent MAC address as the auto-read loads it.
    pub(crate) fn mac(&self) -> [u8; 6] {
        let [a, b, c] = [0, 1, 2].map(|i| self.words[self.core + i].to_le_bytes());
        [a[0], a[1], b[0], b[1], c[0], c[1]]
    }

    /// Returns AUTOC and AUTOC2 as the auto-read loads them.
    pub(crate) fn autoc(&self) -> [u32; 2] {
        let word = |i: usize| u32::from(self.words[self.mac_section + i]);
        [word(1) << 16 | word(0), word(3) << 16 | word(2)]
    }
}

/// AUTOC and AUTOC2 (8.2.3.22.19, .21): 10G serial over SFI, or auto-negotiated KX4 and KX.
fn link_defaults(part: Part) -> [u32; 2] {
    match part {
        Part::Sfp => [0xC09C_6004, 0x000A_0000],
        Part::BackplaneKx4 => [0xC09C_8284, 0x0000_0000],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image::new(&Config::new([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]))
    }

    #[test]
    fn the_checksum_holds_over_the_first_words_and_with_the_sections() {
        let image = image();
        let sum = |range: core::ops::Range<u16>| range.fold(0u16, |sum, i| sum.wrapping_add(image.word(i)));
        assert_eq!(sum(0..0x40), 0xBABA);
        let mut with_sections = sum(0..0x40);
        for pointer in 0x03..0x0F {
            let section = image.word(pointer);
            if section != 0xFFFF && section != 0 {
                let len = image.word(section);
                with_sections = with_sections.wrapping_add(sum(section + 1..section + 1 + len));
            }
        }
        assert_eq!(with_sections, 0xBABA);
    }

    #[test]
    fn the_mac_address_is_in_the_core_section() {
        let image = image();
        let core = image.word(0x09);
        assert_eq!(image.word(core + 1), 0x1102);
        assert_eq!(image.mac(), [0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
    }

    #[test]
    fn every_kind_of_module_has_its_init_sequence() {
        let image = image();
        let mut entry = image.word(0x2B) + 1;
        let mut kinds = Vec::new();
        while image.word(entry) != 0xFFFF {
            kinds.push(image.word(entry));
            let data = image.word(entry + 1);
            assert!((data + 1..data + 16).any(|i| image.word(i) == 0xFFFF), "a sequence ends");
            entry += 2;
        }
        assert_eq!(kinds, [3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn the_part_number_reads_as_text() {
        let image = image();
        assert_eq!(image.word(0x15), 0xFAFA);
        let block = image.word(0x16);
        let text: Vec<u8> =
            (1..image.word(block)).flat_map(|i| image.word(block + i).to_be_bytes()).collect();
        assert_eq!(text, b"G11111-001");
    }
}
