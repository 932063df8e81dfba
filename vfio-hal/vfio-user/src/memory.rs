//! Memory shared with a client, mapped into this process: the crate's only unsafe code.
//!
//! - [`View`] is a mapping of a part of a file, which the client sent or was given. It is never given out as a reference: the
//!   client may write at any moment, so bytes are copied as relaxed atomics, and words that order others are
//!   loaded with Acquire and stored with Release.
//!
//! Whoever makes a view sees to it that the file cannot shrink under it (see `server::dma`): touching a page
//! that is gone would end the process.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const WORD: usize = size_of::<u64>();

/// A shared mapping of a part of a file.
#[derive(Debug)]
pub(crate) struct View {
    /// Where the mapping starts.
    base: NonNull<u8>,
    /// Bytes of the mapping.
    mapped: usize,
    /// Where the part starts, from the base.
    skew: usize,
    /// Bytes of the part.
    len: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to this value alone and lives as long as it; every access to it is atomic.
unsafe impl Send for View {}
// SAFETY: as for Send.
unsafe impl Sync for View {}

impl View {
    /// Maps `len` bytes at `offset` of a file whose pages have `page` bytes, a power of two.
    ///
    /// # Errors
    /// What mmap says, and `EINVAL` for a range that no file can have.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        page: u64,
        writable: bool,
    ) -> Result<View, Errno> {
        let start = offset & !(page - 1);
        let skew = offset - start;
        let mapped = skew.checked_add(len).and_then(|bytes| bytes.checked_next_multiple_of(page));
        let mapped = mapped.and_then(|bytes| usize::try_from(bytes).ok()).ok_or(Errno::INVAL)?;
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: 1. no address is asked for, so the kernel takes one where nothing is; 2. no reference to the
        // memory is ever made, so others may write it.
        let base = unsafe { mmap(std::ptr::null_mut(), mapped, protection, MapFlags::SHARED, file, start) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        // Both fit: they are not above `mapped`.
        Ok(View { base, mapped, skew: skew as usize, len: len as usize, writable })
    }

    /// Copies `to.len()` bytes from `at`. False if they are not all inside.
    #[inline]
    pub(crate) fn read(&self, at: u64, to: &mut [u8]) -> bool {
        let Some(from) = self.inside(at, to.len()) else { return false };
        let (head, rest) = to.split_at_mut(unaligned(from).min(to.len()));
        let (words, tail) = rest.as_chunks_mut::<WORD>();
        // SAFETY: the three parts follow each other and are `to.len()` bytes together, which `inside` found in
        // the mapping; behind `head`, words are aligned. Atomics may race with whoever else writes.
        unsafe {
            let mut at = from;
            for byte in head {
                *byte = at.cast::<AtomicU8>().as_ref().load(Ordering::Relaxed);
                at = at.add(1);
            }
            for word in words {
                *word = at.cast::<AtomicU64>().as_ref().load(Ordering::Relaxed).to_ne_bytes();
                at = at.add(WORD);
            }
            for byte in tail {
                *byte = at.cast::<AtomicU8>().as_ref().load(Ordering::Relaxed);
                at = at.add(1);
            }
        }
        true
    }

    /// Copies `from` to `at`. False if it does not fit, or the mapping is not for writing.
    #[inline]
    pub(crate) fn write(&self, at: u64, from: &[u8]) -> bool {
        let Some(to) = self.inside(at, from.len()).filter(|_| self.writable) else { return false };
        let (head, rest) = from.split_at(unaligned(to).min(from.len()));
        let (words, tail) = rest.as_chunks::<WORD>();
        // SAFETY: as in `read`; the mapping is writable.
        unsafe {
            let mut at = to;
            for byte in head {
                at.cast::<AtomicU8>().as_ref().store(*byte, Ordering::Relaxed);
                at = at.add(1);
            }
            for word in words {
                at.cast::<AtomicU64>().as_ref().store(u64::from_ne_bytes(*word), Ordering::Relaxed);
                at = at.add(WORD);
            }
            for byte in tail {
                at.cast::<AtomicU8>().as_ref().store(*byte, Ordering::Relaxed);
                at = at.add(1);
            }
        }
        true
    }

    /// Loads an aligned word with Acquire order.
    #[inline]
    pub(crate) fn load(&self, at: u64) -> Option<u64> {
        let word = self.inside(at, WORD).filter(|word| unaligned(*word) == 0)?;
        // SAFETY: inside of the mapping, and aligned.
        Some(unsafe { word.cast::<AtomicU64>().as_ref() }.load(Ordering::Acquire))
    }

    /// Stores an aligned word with Release order. False if it cannot be.
    #[inline]
    pub(crate) fn store(&self, at: u64, value: u64) -> bool {
        let word = self.inside(at, WORD).filter(|word| self.writable && unaligned(*word) == 0);
        let Some(word) = word else { return false };
        // SAFETY: inside of the mapping, aligned, and the mapping is writable.
        unsafe { word.cast::<AtomicU64>().as_ref() }.store(value, Ordering::Release);
        true
    }

    /// Loads an aligned 32-bit word with Acquire order.
    #[inline]
    pub(crate) fn load32(&self, at: u64) -> Option<u32> {
        let word = self.inside(at, size_of::<u32>())?;
        let word = Some(word).filter(|word| word.as_ptr().addr().is_multiple_of(size_of::<u32>()))?;
        // SAFETY: inside of the mapping, and aligned.
        Some(unsafe { word.cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire))
    }

    /// Stores an aligned 32-bit word with Release order. False if it cannot be.
    #[inline]
    pub(crate) fn store32(&self, at: u64, value: u32) -> bool {
        let word = self.inside(at, size_of::<u32>());
        let aligned = word.filter(|word| self.writable && word.as_ptr().addr().is_multiple_of(4));
        let Some(word) = aligned else { return false };
        // SAFETY: inside of the mapping, aligned, and the mapping is writable.
        unsafe { word.cast::<AtomicU32>().as_ref() }.store(value, Ordering::Release);
        true
    }

    /// Returns where `len` bytes at `at` of the part are, if all of them are in it.
    #[inline]
    fn inside(&self, at: u64, len: usize) -> Option<NonNull<u8>> {
        let at = usize::try_from(at).ok()?;
        let end = at.checked_add(len)?;
        // SAFETY: `skew + len` is at most `mapped`, and `at` at most `len`: the pointer stays in the mapping, or
        // is one past its end for an empty range.
        (end <= self.len).then(|| unsafe { self.base.add(self.skew + at) })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and nothing points into it any more: pointers never left the
        // functions above.
        let result = unsafe { munmap(self.base.as_ptr().cast(), self.mapped) };
        if let Err(error) = result {
            log::error!("cannot unmap client memory: {error}");
        }
    }
}

/// Returns how many bytes are left from `at` to the next word.
#[inline]
fn unaligned(at: NonNull<u8>) -> usize {
    at.as_ptr().addr().wrapping_neg() % WORD
}
