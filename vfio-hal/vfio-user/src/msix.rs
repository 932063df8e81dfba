//! The MSI-X table and its pending bits, which live in a BAR (PCI 3.0, 6.8.2).
//!
//! Key type: [`Msix`]. It belongs to one function beside its [`Config`](crate::Config), whose control register
//! it follows through [`Msix::set_control`]. It decides which vectors go out; delivering them is up to whoever
//! plays the device.

use crate::model::AccessError;
use crate::spec::Spec;

/// Bytes of one table entry.
const ENTRY: u64 = 16;
/// An entry's last word: vector control.
const CONTROL: usize = 12;
const MASKED: u8 = 1;

/// A function's MSI-X vectors.
#[derive(Clone, Debug)]
pub struct Msix {
    bar: u8,
    pending_offset: u64,
    /// Message address, message data, vector control, as in the BAR.
    table: Box<[[u8; ENTRY as usize]]>,
    pending: Box<[u64]>,
    enabled: bool,
    masked: bool,
}

impl Msix {
    /// Returns the vectors of a function, all masked; `None` if it has none.
    pub fn new(spec: &Spec) -> Option<Msix> {
        if spec.msix_vectors == 0 {
            return None;
        }
        let count = usize::from(spec.msix_vectors);
        let mut msix = Msix {
            bar: spec.msix_bar,
            pending_offset: spec.pending_offset(),
            table: vec![[0; ENTRY as usize]; count].into_boxed_slice(),
            pending: vec![0; count.div_ceil(64)].into_boxed_slice(),
            enabled: false,
            masked: false,
        };
        msix.reset();
        Some(msix)
    }

    /// Puts everything back as after power-on: off, all vectors masked, none pending.
    pub fn reset(&mut self) {
        self.table.fill([0; ENTRY as usize]);
        for entry in &mut self.table {
            entry[CONTROL] = MASKED;
        }
        self.pending.fill(0);
        (self.enabled, self.masked) = (false, false);
    }

    pub(crate) fn save(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.table.iter().flatten());
        bytes.extend(self.pending.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Takes the table and the pending bits over, from as many bytes as they have.
    pub(crate) fn restore(&mut self, bytes: &[u8], enabled: bool, masked: bool) {
        let (table, pending) = bytes.split_at((self.table.len() * ENTRY as usize).min(bytes.len()));
        let (entries, _) = table.as_chunks::<{ ENTRY as usize }>();
        self.table.iter_mut().zip(entries).for_each(|(to, from)| *to = *from);
        let (words, _) = pending.as_chunks::<8>();
        self.pending.iter_mut().zip(words).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
        (self.enabled, self.masked) = (enabled, masked);
    }

    /// Returns the number of vectors.
    pub fn vectors(&self) -> u32 {
        self.table.len() as u32
    }

    /// Returns whether an access to a BAR is one to the table or the pending bits.
    pub fn covers(&self, bar: u8, offset: u64) -> bool {
        bar == self.bar && (offset < self.table_bytes() || self.pending_at(offset).is_some())
    }

    /// Reads from the table or the pending bits: 4 or 8 bytes, aligned.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), AccessError> {
        self.check(offset, data.len())?;
        if let Some(at) = self.pending_at(offset) {
            let bytes = self.pending.iter().flat_map(|word| word.to_le_bytes());
            data.iter_mut().zip(bytes.skip(at)).for_each(|(to, from)| *to = from);
            return Ok(());
        }
        let (entry, at) = split(offset);
        let entry = self.table.get(entry).ok_or(AccessError::OutOfRange { bar: self.bar, offset })?;
        data.iter_mut().zip(&entry[at..]).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// Writes to the table: 4 or 8 bytes, aligned. Writes to pending bits do nothing. Returns a vector that
    /// pended and goes out now.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<Option<u32>, AccessError> {
        self.check(offset, data.len())?;
        if self.pending_at(offset).is_some() {
            return Ok(None);
        }
        let (index, at) = split(offset);
        let entry = self.table.get_mut(index).ok_or(AccessError::OutOfRange { bar: self.bar, offset })?;
        entry[at..].iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        // Reserved, read as 0: the lowest two address bits and all of vector control but the mask.
        entry[0] &= !0b11;
        entry[CONTROL] &= MASKED;
        entry[CONTROL + 1..].fill(0);
        let vector = index as u32;
        Ok(self.take_due(vector).then_some(vector))
    }

    /// Follows the control register. Returns the vectors that pended and go out now.
    pub fn set_control(&mut self, enabled: bool, masked: bool) -> Vec<u32> {
        (self.enabled, self.masked) = (enabled, masked);
        (0..self.vectors()).filter(|&vector| self.take_due(vector)).collect()
    }

    /// Masks or unmasks a vector, as a write to its entry does. Returns whether it pended and goes out now.
    pub fn mask(&mut self, vector: u32, masked: bool) -> bool {
        match self.table.get_mut(vector as usize) {
            Some(entry) => entry[CONTROL] = if masked { MASKED } else { 0 },
            None => return false,
        }
        self.take_due(vector)
    }

    /// Raises a vector. Returns whether its message goes out now; a masked one pends until it is unmasked.
    /// Without MSI-X switched on, nothing happens.
    pub fn raise(&mut self, vector: u32) -> bool {
        if !self.enabled || vector >= self.vectors() {
            return false;
        }
        if self.is_masked(vector) {
            self.set_pending(vector, true);
            return false;
        }
        true
    }

    /// Returns whether a vector is masked, by itself or with all others; `true` for one that does not exist.
    pub fn is_masked(&self, vector: u32) -> bool {
        self.masked || self.table.get(vector as usize).is_none_or(|entry| entry[CONTROL] & MASKED != 0)
    }

    /// Returns whether a vector pends.
    pub fn is_pending(&self, vector: u32) -> bool {
        self.pending.get(vector as usize / 64).is_some_and(|word| word & (1 << (vector % 64)) != 0)
    }

    /// Returns the message of a vector: address and data.
    pub fn message(&self, vector: u32) -> Option<(u64, u32)> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *self.table.get(vector as usize)?;
        Some((u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l])))
    }

    fn take_due(&mut self, vector: u32) -> bool {
        let due = self.enabled && !self.is_masked(vector) && self.is_pending(vector);
        if due {
            self.set_pending(vector, false);
        }
        due
    }

    fn set_pending(&mut self, vector: u32, pending: bool) {
        if let Some(word) = self.pending.get_mut(vector as usize / 64) {
            let bit = 1 << (vector % 64);
            *word = if pending { *word | bit } else { *word & !bit };
        }
    }

    fn table_bytes(&self) -> u64 {
        self.table.len() as u64 * ENTRY
    }

    /// Returns how far into the pending bits `offset` is, in bytes.
    fn pending_at(&self, offset: u64) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.pending_offset)?).ok()?;
        (at < self.pending.len() * 8).then_some(at)
    }

    /// PCI 3.0, 6.8.2: software may only use aligned accesses of one or two words.
    fn check(&self, offset: u64, width: usize) -> Result<(), AccessError> {
        if !matches!(width, 4 | 8) || !offset.is_multiple_of(width as u64) {
            return Err(AccessError::Width { offset, width });
        }
        if !self.covers(self.bar, offset) {
            return Err(AccessError::OutOfRange { bar: self.bar, offset });
        }
        Ok(())
    }
}

fn split(offset: u64) -> (usize, usize) {
    ((offset / ENTRY) as usize, (offset % ENTRY) as usize)
}
