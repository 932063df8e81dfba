//! Registers as memory, seen from the device's side.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::bar::{Bar, Width};
use crate::device::{DeviceError, Lost};
use crate::regs::{Bits, Register};

/// The registers of a fake device, all 0 at first. Clones share them.
///
/// A driver reaches them through a [`Bar`], a test through [`get`](Self::get) and [`set`](Self::set) with the
/// driver's own register types, whatever their access kind: the test is the device.
#[derive(Clone)]
pub struct RegisterFile(Arc<Inner>);

struct Inner {
    words: Box<[Pair]>,
    len: u64,
}

/// Two 32-bit registers, aligned for one of 64 bits.
#[derive(Default)]
#[repr(C, align(8))]
struct Pair([AtomicU32; 2]);

impl RegisterFile {
    /// Returns `len` bytes of registers.
    pub fn new(len: u64) -> RegisterFile {
        let pairs = usize::try_from(len.div_ceil(8)).unwrap_or(usize::MAX);
        RegisterFile(Arc::new(Inner { words: (0..pairs).map(|_| Pair::default()).collect(), len }))
    }

    /// Returns the length in bytes.
    // A BAR of no bytes does not exist, so there is no `is_empty`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Returns entry `index` of a register, 0 for a single one.
    ///
    /// # Panics
    /// If there is no such entry: the test is wrong.
    #[track_caller]
    pub fn get<R: Register>(&self, index: usize) -> R {
        let offset = place::<R>(index);
        R::from_raw(if R::INFO.bits == Bits::u32x2 {
            u64::from(self.read32(offset + 4)) << 32 | u64::from(self.read32(offset))
        } else {
            self.read(offset, R::INFO.bits.access())
        })
    }

    /// Sets entry `index` of a register, 0 for a single one.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn set<R: Register>(&self, index: usize, value: R) {
        let (offset, raw) = (place::<R>(index), value.to_raw());
        if R::INFO.bits == Bits::u32x2 {
            self.write32(offset, raw as u32);
            self.write32(offset + 4, (raw >> 32) as u32);
        } else {
            self.write(offset, R::INFO.bits.access(), raw);
        }
    }

    /// Returns the 32-bit register at `offset`; all ones outside.
    pub fn read32(&self, offset: u64) -> u32 {
        self.word(offset).map_or(u32::MAX, |word| word.load(Ordering::Acquire))
    }

    /// Sets the 32-bit register at `offset`; nothing outside.
    pub fn write32(&self, offset: u64, value: u32) {
        if let Some(word) = self.word(offset) {
            word.store(value, Ordering::Release);
        }
    }

    /// Returns the register of any width at `offset`, which is a multiple of the width.
    pub fn read(&self, offset: u64, width: Width) -> u64 {
        if width == Width::W64 {
            return u64::from(self.read32(offset + 4)) << 32 | u64::from(self.read32(offset));
        }
        u64::from(self.read32(offset & !3)) >> (8 * (offset & 3)) & width.all_ones()
    }

    /// Sets the register of any width at `offset`, which is a multiple of the width.
    pub fn write(&self, offset: u64, width: Width, value: u64) {
        match width {
            Width::W64 => {
                self.write32(offset, value as u32);
                self.write32(offset + 4, (value >> 32) as u32);
            }
            Width::W32 => self.write32(offset, value as u32),
            Width::W8 | Width::W16 => {
                let (shift, mask) = (8 * (offset & 3), width.all_ones());
                let word = u64::from(self.read32(offset & !3));
                self.write32(offset & !3, (word & !(mask << shift) | (value & mask) << shift) as u32);
            }
        }
    }

    /// Returns a BAR whose one window is mapped onto these registers: an access is a load or a store.
    pub fn mapped_bar(&self, index: u8, lost: &Lost) -> Result<Bar, DeviceError> {
        let base = NonNull::from(&*self.0.words).cast::<u8>();
        let builder = Bar::builder(index, self.0.len, lost.clone()).keep_alive(self.0.clone());
        // SAFETY: 1. `Pair` is aligned to 8, the slice has at least `len` bytes and never moves, and the builder
        // keeps it alive; 2. everything in it is an atomic.
        unsafe { builder.mapped(0, base, self.0.len) }.build()
    }

    fn word(&self, offset: u64) -> Option<&AtomicU32> {
        let pair = self.0.words.get(usize::try_from(offset / 8).ok()?)?;
        // The index is 0 or 1.
        Some(&pair.0[usize::from(offset & 4 != 0)])
    }
}

#[track_caller]
fn place<R: Register>(index: usize) -> u64 {
    R::INFO
        .offset(index)
        .unwrap_or_else(|| panic!("{} has {} entries, there is no number {index}", R::NAME, R::COUNT))
}

impl fmt::Debug for RegisterFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterFile").field("len", &self.0.len).finish_non_exhaustive()
    }
}
