//! The register file: one value per register, found by name in constant time and by offset through a shared index.
//!
//! Key types: [`RegisterFile`]. Neighbours: [`map`](super::map) says what exists; the units of the model read and
//! write by [`Reg`], the dispatcher by offset.

use std::sync::OnceLock;

use super::map::{Access, ENTRIES, Entry, Reg};

/// Bytes of BAR 0 (datasheet 9.3.6.1).
pub(crate) const BAR0_BYTES: u64 = 0x8_0000;
/// A slot of the index that no register takes.
const NONE: u32 = u32::MAX;

/// Maps a dword of BAR 0 to its register and element.
struct Index {
    /// Per dword: the register in bits 31:16, the element in 15:0.
    slots: Box<[u32]>,
    /// Per register: where its elements start in the file's words.
    first: Box<[u32]>,
    words: usize,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut slots = vec![NONE; BAR0_BYTES as usize / 4].into_boxed_slice();
        let mut first = Vec::with_capacity(ENTRIES.len());
        let mut words = 0u32;
        for entry in ENTRIES {
            let mut claim = |offset: u32, element: u32| {
                let slot = &mut slots[offset as usize / 4];
                debug_assert_eq!(*slot, NONE, "{} overlaps another register at {offset:#x}", entry.name);
                *slot = u32::from(entry.reg as u16) << 16 | element;
            };
            for element in 0..entry.count {
                claim(entry.offset_of(element), element);
            }
            if let Some((offset, stride, count)) = entry.alias {
                (0..count).for_each(|element| claim(offset + element * stride, element));
            }
            first.push(words);
            words += entry.count;
        }
        Index { slots, first: first.into_boxed_slice(), words: words as usize }
    })
}

/// The values of all registers.
pub(crate) struct RegisterFile {
    index: &'static Index,
    words: Box<[u32]>,
}

impl RegisterFile {
    /// Returns the state after power-on.
    pub(crate) fn new() -> RegisterFile {
        let index = index();
        let mut file = RegisterFile { index, words: vec![0; index.words].into_boxed_slice() };
        file.reset(|_| true);
        file
    }

    /// Puts the registers that `which` selects back to their reset values.
    pub(crate) fn reset(&mut self, which: impl Fn(Reg) -> bool) {
        for entry in ENTRIES.iter().filter(|entry| which(entry.reg)) {
            let first = self.index.first[entry.reg as usize] as usize;
            self.words[first..first + entry.count as usize].fill(entry.reset);
        }
    }

    /// Returns the register that the dword at `offset` belongs to and the element in its array.
    pub(crate) fn decode(&self, offset: u64) -> Option<(Reg, usize)> {
        let slot = *self.index.slots.get(usize::try_from(offset / 4).ok()?)?;
        if slot == NONE {
            return None;
        }
        Some((ENTRIES[(slot >> 16) as usize].reg, (slot & 0xFFFF) as usize))
    }

    /// Returns the map's line for `reg`.
    pub(crate) fn entry(reg: Reg) -> &'static Entry {
        &ENTRIES[reg as usize]
    }

    #[inline]
    fn place(&self, reg: Reg, element: usize) -> usize {
        self.index.first[reg as usize] as usize + element
    }

    /// Returns a register that is no array, or the first of an array.
    #[inline]
    pub(crate) fn get(&self, reg: Reg) -> u32 {
        self.words[self.place(reg, 0)]
    }

    /// Returns one element of an array.
    #[inline]
    pub(crate) fn get_at(&self, reg: Reg, element: usize) -> u32 {
        self.words[self.place(reg, element)]
    }

    /// Returns all elements of an array.
    pub(crate) fn all(&self, reg: Reg) -> &[u32] {
        let first = self.place(reg, 0);
        &self.words[first..first + ENTRIES[reg as usize].count as usize]
    }

    /// Sets a register as the device does: no mask.
    #[inline]
    pub(crate) fn set(&mut self, reg: Reg, value: u32) {
        self.set_at(reg, 0, value);
    }

    /// Sets one element of an array as the device does: no mask.
    #[inline]
    pub(crate) fn set_at(&mut self, reg: Reg, element: usize, value: u32) {
        let place = self.place(reg, element);
        self.words[place] = value;
    }

    /// Whether all of `bits` are set.
    #[inline]
    pub(crate) fn has(&self, reg: Reg, bits: u32) -> bool {
        self.get(reg) & bits == bits
    }

    /// Adds to a 32-bit counter, which sticks at its end (8.2.3.23: the statistics do not wrap).
    #[inline]
    pub(crate) fn count(&mut self, reg: Reg, element: usize, by: u32) {
        let place = self.place(reg, element);
        self.words[place] = self.words[place].saturating_add(by);
    }

    /// Adds to a 36-bit byte counter of two registers, the high one holding bits 35:32; sticks at its end.
    #[inline]
    pub(crate) fn count_bytes(&mut self, low: Reg, high: Reg, element: usize, by: u64) {
        let (low, high) = (self.place(low, element), self.place(high, element));
        let sum = (u64::from(self.words[high]) << 32 | u64::from(self.words[low])) + by;
        let sum = sum.min((1 << 36) - 1);
        self.words[low] = sum as u32;
        self.words[high] = (sum >> 32) as u32;
    }

    /// What a read gives where no unit has a say.
    pub(crate) fn software_read(&mut self, reg: Reg, element: usize) -> u32 {
        let place = self.place(reg, element);
        match ENTRIES[reg as usize].access {
            Access::Rw | Access::Ro => self.words[place],
            Access::Rc => std::mem::take(&mut self.words[place]),
            Access::Wo => 0,
        }
    }

    /// What a write does where no unit has a say; returns the new value.
    pub(crate) fn software_write(&mut self, reg: Reg, element: usize, value: u32) -> u32 {
        let place = self.place(reg, element);
        let entry = &ENTRIES[reg as usize];
        if entry.access == Access::Rw {
            self.words[place] = self.words[place] & !entry.mask | value & entry.mask;
        }
        self.words[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_registers_share_an_address() {
        let mut seen = std::collections::HashMap::new();
        for entry in ENTRIES {
            let alias = entry.alias.into_iter().flat_map(|(o, s, n)| (0..n).map(move |i| o + i * s));
            for offset in (0..entry.count).map(|i| entry.offset_of(i)).chain(alias) {
                assert_eq!(offset % 4, 0, "{}", entry.name);
                if let Some(other) = seen.insert(offset, entry.name) {
                    panic!("{other} and {} are both at {offset:#x}", entry.name);
                }
            }
        }
    }

    #[test]
    fn queues_from_64_on_are_in_their_own_block() {
        let file = RegisterFile::new();
        assert_eq!(file.decode(0x1018), Some((Reg::Rdt, 0)));
        assert_eq!(file.decode(0x1FD8), Some((Reg::Rdt, 63)));
        assert_eq!(file.decode(0xD018), Some((Reg::Rdt, 64)));
        assert_eq!(file.decode(0xDFD8), Some((Reg::Rdt, 127)));
        assert_eq!(file.decode(0x12300), Some((Reg::Eitr, 24)));
    }

    #[test]
    fn the_short_address_of_srrctl_is_the_long_one() {
        let file = RegisterFile::new();
        assert_eq!(file.decode(0x2104), file.decode(0x1054));
        assert_eq!(file.decode(0x5404), file.decode(0xA204));
    }

    #[test]
    fn counters_stick_and_clear_on_read() {
        let mut file = RegisterFile::new();
        file.set(Reg::Gprc, u32::MAX - 1);
        file.count(Reg::Gprc, 0, 5);
        assert_eq!(file.software_read(Reg::Gprc, 0), u32::MAX);
        assert_eq!(file.software_read(Reg::Gprc, 0), 0);
        file.count_bytes(Reg::Gorcl, Reg::Gorch, 0, 0xF_FFFF_FFF0);
        file.count_bytes(Reg::Gorcl, Reg::Gorch, 0, 0x100);
        assert_eq!((file.get(Reg::Gorcl), file.get(Reg::Gorch)), (u32::MAX, 0xF));
    }
}
