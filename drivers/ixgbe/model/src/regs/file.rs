//! The register file: one dword per place of the register map, read and written by register type.
//!
//! Key types: [`RegisterFile`], [`Place`]. Neighbours: [`initial`] has the values after a reset; the units
//! of the model use the types of [`pmd_ixgbe::regs`], the dispatcher comes with offsets.

use std::sync::OnceLock;

use pmd_ixgbe::regs::Ixgbe;
use vfio_hal::regs::{AccessKind, Decoder, Register, RegisterInfo, RegisterMap};

use super::initial;
use crate::state::{Reader, State, StateError, Writer};

/// Bytes of BAR 0 (datasheet 9.3.6.1).
pub(crate) const BAR0_BYTES: u64 = 0x8_0000;
/// Dwords of the map.
const WORDS: usize = Ixgbe::SPAN as usize / 4;

/// A dword that belongs to a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) info: &'static RegisterInfo,
    /// The register's offset in the map, which is what names it: that of element 0.
    pub(crate) register: u64,
    /// The element of an array.
    pub(crate) element: usize,
    /// 1 for the upper dword of a 64-bit register.
    pub(crate) half: u32,
    /// Where its value is.
    word: usize,
}

fn decoder() -> &'static Decoder {
    static DECODER: OnceLock<Decoder> = OnceLock::new();
    DECODER.get_or_init(Decoder::of::<Ixgbe>)
}

/// The values of all registers.
pub(crate) struct RegisterFile {
    words: Box<[u32]>,
}

impl RegisterFile {
    /// Returns the state after power-on.
    pub(crate) fn new() -> RegisterFile {
        let mut file = RegisterFile { words: vec![0; WORDS].into_boxed_slice() };
        file.reset(|_| true);
        file
    }

    /// Puts the registers that `which` selects, by their offset in the map, back to their initial values.
    pub(crate) fn reset(&mut self, which: impl Fn(u64) -> bool) {
        for info in Ixgbe::REGISTERS.iter().filter(|info| which(u64::from(info.spans[0].offset))) {
            let value = initial::value(info);
            for place in Self::places(info) {
                self.words[place.word] = value;
            }
        }
    }

    /// Gives each dword that `which` selects a value, cut to what it can hold.
    pub(crate) fn fill(&mut self, which: impl Fn(u64) -> bool, mut value: impl FnMut() -> u32) {
        for info in Ixgbe::REGISTERS.iter().filter(|info| which(u64::from(info.spans[0].offset))) {
            for place in Self::places(info) {
                self.words[place.word] = value() & initial::mask(info, place.half);
            }
        }
    }

    /// All dwords of a register.
    fn places(info: &'static RegisterInfo) -> impl Iterator<Item = Place> {
        let halves = info.bits.bytes() as u32 / 4;
        (0..info.count()).flat_map(move |element| {
            let offset = info.offset(element).unwrap_or(0);
            let register = u64::from(info.spans[0].offset);
            (0..halves).map(move |half| Place {
                info,
                register,
                element,
                half,
                word: offset as usize / 4 + half as usize,
            })
        })
    }

    /// Returns what the dword at `offset` is; `None` where the 82599 has no register.
    pub(crate) fn decode(offset: u64) -> Option<Place> {
        let found = decoder().find(offset).filter(|found| initial::exists(found.info))?;
        let half = (found.byte / 4) as u32;
        let at = found.info.offset(found.index)?;
        Some(Place {
            info: found.info,
            register: u64::from(found.info.spans[0].offset),
            element: found.index,
            half,
            word: at as usize / 4 + half as usize,
        })
    }

    #[inline]
    fn word_of<R: Register<Map = Ixgbe>>(element: usize) -> usize {
        let place = const { R::INFO }.offset(element);
        debug_assert!(place.is_some(), "{} has no element {element}", R::NAME);
        place.unwrap_or(R::OFFSET) as usize / 4
    }

    /// Returns a register that is no array, or the first of an array.
    #[inline]
    pub(crate) fn get<R: Register<Map = Ixgbe>>(&self) -> R {
        self.at(0)
    }

    /// Returns one element of an array.
    #[inline]
    pub(crate) fn at<R: Register<Map = Ixgbe>>(&self, element: usize) -> R {
        let word = Self::word_of::<R>(element);
        let low = u64::from(self.words[word]);
        R::from_raw(if R::INFO.bits.bytes() == 8 { u64::from(self.words[word + 1]) << 32 | low } else { low })
    }

    /// Sets a register as the device does: no mask.
    #[inline]
    pub(crate) fn set<R: Register<Map = Ixgbe>>(&mut self, value: R) {
        self.set_at(0, value);
    }

    /// Sets one element of an array as the device does: no mask.
    #[inline]
    pub(crate) fn set_at<R: Register<Map = Ixgbe>>(&mut self, element: usize, value: R) {
        let word = Self::word_of::<R>(element);
        self.words[word] = value.to_raw() as u32;
        if R::INFO.bits.bytes() == 8 {
            self.words[word + 1] = (value.to_raw() >> 32) as u32;
        }
    }

    /// Counts one.
    #[inline]
    pub(crate) fn count<R: Register<Map = Ixgbe>>(&mut self) {
        self.count_at::<R>(0, 1);
    }

    /// Adds to one of several 32-bit counters, which stick at their end (8.2.3.23). `R` may also be the first of a row of
    /// counters of their own name.
    #[inline]
    pub(crate) fn count_at<R: Register<Map = Ixgbe>>(&mut self, element: usize, by: u32) {
        let word =
            if R::STRIDE == 0 { R::OFFSET as usize / 4 + element } else { Self::word_of::<R>(element) };
        self.words[word] = self.words[word].saturating_add(by);
    }

    /// Adds to a 36-bit counter of two dwords; sticks at its end.
    #[inline]
    pub(crate) fn count_bytes<R: Register<Map = Ixgbe>>(&mut self, element: usize, by: usize) {
        let sum = (self.at::<R>(element).to_raw() + by as u64).min((1 << 36) - 1);
        self.set_at(element, R::from_raw(sum));
    }

    /// The value at a place, without side effects.
    pub(crate) fn peek(&self, place: &Place) -> u32 {
        self.words[place.word]
    }

    /// What a read gives where no unit has a say.
    pub(crate) fn software_read(&mut self, place: &Place) -> u32 {
        let word = &mut self.words[place.word];
        match place.info.access {
            AccessKind::ReadClear | AccessKind::ReadOrWrite1Clear => std::mem::take(word),
            AccessKind::WriteOnly => 0,
            _ => *word,
        }
    }

    /// What a write does where no unit has a say.
    pub(crate) fn software_write(&mut self, place: &Place, value: u32) {
        let mask = initial::mask(place.info, place.half);
        let word = &mut self.words[place.word];
        match place.info.access {
            AccessKind::ReadWrite | AccessKind::BusAddress => *word = *word & !mask | value & mask,
            AccessKind::Write1Clear | AccessKind::ReadOrWrite1Clear => *word &= !value,
            AccessKind::ReadOnly | AccessKind::WriteOnly | AccessKind::ReadClear => {}
        }
    }
}

/// Runs of words that are not 0: the first word's place, and the words.
impl State for RegisterFile {
    fn save(&self, to: &mut Writer) {
        let mut runs: Vec<(u32, Vec<u32>)> = Vec::new();
        let mut end = 0;
        for (word, value) in self.words.iter().enumerate().filter(|(_, value)| **value != 0) {
            match runs.last_mut() {
                Some((_, run)) if end == word => run.push(*value),
                _ => runs.push((word as u32, vec![*value])),
            }
            end = word + 1;
        }
        runs.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<RegisterFile, StateError> {
        let mut words = vec![0; WORDS].into_boxed_slice();
        for (first, run) in Vec::<(u32, Vec<u32>)>::load(from)? {
            let place = words.get_mut(first as usize..).and_then(|rest| rest.get_mut(..run.len()));
            place.ok_or(StateError::Invalid { what: "a register behind the last" })?.copy_from_slice(&run);
        }
        Ok(RegisterFile { words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pmd_ixgbe::regs::*;

    fn at(offset: u64) -> (u64, usize, u32) {
        let place = RegisterFile::decode(offset).expect("a register");
        (place.register, place.element, place.half)
    }

    #[test]
    fn queues_from_64_on_are_in_their_own_block() {
        assert_eq!(at(0x1018), (RDT::OFFSET, 0, 0));
        assert_eq!(at(0x1FD8), (RDT::OFFSET, 63, 0));
        assert_eq!(at(0xD018), (RDT::OFFSET, 64, 0));
        assert_eq!(at(0xDFD8), (RDT::OFFSET, 127, 0));
        assert_eq!(at(0x1004), (RDBA::OFFSET, 0, 1));
        assert_eq!(at(0x12300), (EITR::OFFSET, 24, 0));
    }

    #[test]
    fn a_second_address_is_the_same_register() {
        let mut file = RegisterFile::new();
        for (alias, address) in
            [(0x2104, 0x1054), (0x2204, 0x104C), (0x5404, 0xA204), (0x5484, 0xEA04), (0x5818, 0xEC80)]
        {
            assert_eq!(at(alias), at(address));
            let [alias, address] = [alias, address].map(|offset| RegisterFile::decode(offset).unwrap());
            file.software_write(&alias, 0x0100_0102);
            assert_ne!(file.peek(&address), 0);
            assert_eq!(file.peek(&alias), file.peek(&address));
        }
    }

    #[test]
    fn what_came_later_is_not_there() {
        for offset in [0x10018, 0xEE80, 0xEE78, 0x15F5C] {
            assert!(RegisterFile::decode(offset).is_none(), "{offset:#x}");
        }
    }

    #[test]
    fn counters_stick_and_clear_on_read() {
        let mut file = RegisterFile::new();
        file.set(GPRC::new(u32::MAX - 1));
        file.count_at::<GPRC>(0, 5);
        let gprc = RegisterFile::decode(0x4074).unwrap();
        assert_eq!(file.software_read(&gprc), u32::MAX);
        assert_eq!(file.software_read(&gprc), 0);
        file.count_bytes::<GORC>(0, 0xF_FFFF_FFF0);
        file.count_bytes::<GORC>(0, 0x100);
        assert_eq!(file.get::<GORC>().bits(), 0xF_FFFF_FFFF);
        let [low, high] = [0x4088, 0x408C].map(|offset| RegisterFile::decode(offset).unwrap());
        assert_eq!((file.software_read(&low), file.software_read(&high)), (u32::MAX, 0xF));
    }

    #[test]
    fn the_size_counters_are_a_row() {
        let mut file = RegisterFile::new();
        file.count_at::<PRC64>(5, 1);
        file.count_at::<PTC64>(1, 1);
        assert_eq!((file.get::<PRC1522>().bits(), file.get::<PTC127>().bits()), (1, 1));
    }

    #[test]
    fn only_bits_that_are_there_stick() {
        let mut file = RegisterFile::new();
        for (offset, stored) in
            [(0x1000, 0xFFFF_FF80), (0x1004, u32::MAX), (0x6038, 0xFFFF_FFF1), (0x5088, 0x7000_FFFF)]
        {
            let place = RegisterFile::decode(offset).unwrap();
            file.software_write(&place, u32::MAX);
            assert_eq!(file.peek(&place), stored, "{offset:#x}");
        }
    }
}
