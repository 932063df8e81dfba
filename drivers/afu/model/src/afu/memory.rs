//! Memory on the card, of which only pages that were written take memory of the host.
//!
//! Key types: [`Memory`]. Neighbours: the host exerciser with local memory has one.

use std::collections::BTreeMap;

const PAGE: u64 = 4096;

/// Memory of a power of two bytes, from 4 KiB up. Addresses wrap at its end, as a decoder does that looks at too few bits.
pub(crate) struct Memory {
    bytes: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Memory {
        Memory { bytes, pages: BTreeMap::new() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads; what was never written is 0.
    pub(crate) fn read(&self, address: u64, data: &mut [u8]) {
        self.pieces(address, data.len(), |page, within, piece| {
            let data = &mut data[piece];
            match self.pages.get(&page) {
                Some(bytes) => data.copy_from_slice(&bytes[within..within + data.len()]),
                None => data.fill(0),
            }
        });
    }

    /// Writes.
    pub(crate) fn write(&mut self, address: u64, data: &[u8]) {
        let mut pages = std::mem::take(&mut self.pages);
        self.pieces(address, data.len(), |page, within, piece| {
            let data = &data[piece];
            let bytes = pages.entry(page).or_insert_with(|| Box::new([0; PAGE as usize]));
            bytes[within..within + data.len()].copy_from_slice(data);
        });
        self.pages = pages;
    }

    /// Calls with page, offset in it, and range of the data for each page.
    fn pieces(&self, address: u64, len: usize, mut each: impl FnMut(u64, usize, core::ops::Range<usize>)) {
        let mut at = address & (self.bytes - 1);
        let mut done = 0;
        while done < len {
            let within = at % PAGE;
            let piece = (len - done).min((PAGE - within) as usize);
            each(at / PAGE, within as usize, done..done + piece);
            done += piece;
            at = (at + piece as u64) & (self.bytes - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_takes_memory() {
        let mut memory = Memory::new(1 << 40);
        let mut data = [0xFF; 100];
        memory.read(1 << 39, &mut data);
        assert_eq!((data, memory.pages.len()), ([0; 100], 0));
        memory.write((1 << 39) + 4090, &[7; 12]);
        memory.read((1 << 39) + 4088, &mut data[..16]);
        assert_eq!(data[..16], [0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0]);
        assert_eq!(memory.pages.len(), 2);
    }

    #[test]
    fn addresses_wrap() {
        let mut memory = Memory::new(4096);
        memory.write(4094, &[1, 2, 3, 4]);
        let mut data = [0; 2];
        memory.read(0, &mut data);
        assert_eq!(data, [3, 4]);
        memory.read(u64::MAX - 1, &mut data);
        assert_eq!(data, [1, 2]);
        assert_eq!(memory.pages.len(), 1);
    }
}
