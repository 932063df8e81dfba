//! Copies between private memory and memory that is shared with a device.
//!
//! The other side may write at any moment, so shared bytes are only ever touched as relaxed atomics: whole
//! words in the middle, single bytes at the unaligned ends. What order the bytes become visible in is up to
//! an Acquire load or Release store of a descriptor word or doorbell around the copy, as with real DMA.
//!
//! [`Region`](super::Region) and the in-process backend share these; nothing here checks bounds.

use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

const WORD: usize = size_of::<usize>();
/// Words that are loaded before the first of them is stored, so that the loads overlap.
const BLOCK: usize = 4;

/// Copies shared memory at `from` into `to`.
///
/// # Safety
/// `from` must be valid for reads of `to.len()` bytes, and meanwhile nobody may access them other than
/// atomically, unless ordered against this copy.
#[inline]
pub(crate) unsafe fn copy_out(from: NonNull<u8>, to: &mut [u8]) {
    let (head, rest) = to.split_at_mut(unaligned(from).min(to.len()));
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    let (blocks, words) = words.as_chunks_mut::<BLOCK>();
    // SAFETY: the four parts follow each other and are `to.len()` bytes together, for which `from` is valid; so
    // is each pointer, at most one past the end. `head` leads to a multiple of `WORD`.
    unsafe {
        let mut at = read_bytes(from, head);
        for block in blocks {
            let loaded: [usize; BLOCK] =
                core::array::from_fn(|index| at.cast::<AtomicUsize>().add(index).as_ref().load(Relaxed));
            *block = loaded.map(usize::to_ne_bytes);
            at = at.add(BLOCK * WORD);
        }
        for word in words {
            *word = at.cast::<AtomicUsize>().as_ref().load(Relaxed).to_ne_bytes();
            at = at.add(WORD);
        }
        read_bytes(at, tail);
    }
}

/// Copies `from` into shared memory at `to`.
///
/// # Safety
/// `to` must be valid for writes of `from.len()` bytes, and meanwhile nobody may access them other than
/// atomically, unless ordered against this copy.
#[inline]
pub(crate) unsafe fn copy_in(from: &[u8], to: NonNull<u8>) {
    let (head, rest) = from.split_at(unaligned(to).min(from.len()));
    let (words, tail) = rest.as_chunks::<WORD>();
    // SAFETY: the three parts follow each other and are `from.len()` bytes together, for which `to` is valid; so
    // is each pointer, at most one past the end. `head` leads to a multiple of `WORD`.
    unsafe {
        let mut at = write_bytes(head, to);
        for word in words {
            at.cast::<AtomicUsize>().as_ref().store(usize::from_ne_bytes(*word), Relaxed);
            at = at.add(WORD);
        }
        write_bytes(tail, at);
    }
}

/// Returns how many bytes are left from `at` to the next word.
#[inline]
fn unaligned(at: NonNull<u8>) -> usize {
    at.as_ptr().addr().wrapping_neg() % WORD
}

/// Copies byte by byte, and returns where the range ends.
///
/// # Safety
/// As for [`copy_out`].
#[inline]
unsafe fn read_bytes(from: NonNull<u8>, to: &mut [u8]) -> NonNull<u8> {
    for (index, byte) in to.iter_mut().enumerate() {
        // SAFETY: inside of the range; a byte is always aligned.
        *byte = unsafe { from.add(index).cast::<AtomicU8>().as_ref() }.load(Relaxed);
    }
    // SAFETY: at most one past the end of the range.
    unsafe { from.add(to.len()) }
}

/// Copies byte by byte, and returns where the range ends.
///
/// # Safety
/// As for [`copy_in`].
#[inline]
unsafe fn write_bytes(from: &[u8], to: NonNull<u8>) -> NonNull<u8> {
    for (index, byte) in from.iter().enumerate() {
        // SAFETY: inside of the range; a byte is always aligned.
        unsafe { to.add(index).cast::<AtomicU8>().as_ref() }.store(*byte, Relaxed);
    }
    // SAFETY: at most one past the end of the range.
    unsafe { to.add(from.len()) }
}
