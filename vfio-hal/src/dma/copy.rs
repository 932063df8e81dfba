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

/// Copies shared memory at `from` into `to`.
///
/// # Safety
/// `from` must be valid for reads of `to.len()` bytes, and meanwhile nobody may access them other than
/// atomically, unless ordered against this copy.
pub(crate) unsafe fn copy_out(from: NonNull<u8>, to: &mut [u8]) {
    let head = from.as_ptr().align_offset(WORD).min(to.len());
    let (head, rest) = to.split_at_mut(head);
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    let mut at = from;
    for byte in head {
        // SAFETY: 1. `at` has moved by fewer than `to.len()` bytes; 2. a byte is always aligned.
        *byte = unsafe { at.cast::<AtomicU8>().as_ref() }.load(Relaxed);
        // SAFETY: at most one past the end of the range.
        at = unsafe { at.add(1) };
    }
    for word in words {
        // SAFETY: 1. a whole word is left of `to.len()` bytes; 2. `head` ended at a multiple of `WORD`.
        *word = unsafe { at.cast::<AtomicUsize>().as_ref() }.load(Relaxed).to_ne_bytes();
        // SAFETY: at most one past the end of the range.
        at = unsafe { at.add(WORD) };
    }
    for byte in tail {
        // SAFETY: as for the head.
        *byte = unsafe { at.cast::<AtomicU8>().as_ref() }.load(Relaxed);
        // SAFETY: at most one past the end of the range.
        at = unsafe { at.add(1) };
    }
}

/// Copies `from` into shared memory at `to`.
///
/// # Safety
/// `to` must be valid for writes of `from.len()` bytes, and meanwhile nobody may access them other than
/// atomically, unless ordered against this copy.
pub(crate) unsafe fn copy_in(from: &[u8], to: NonNull<u8>) {
    let head = to.as_ptr().align_offset(WORD).min(from.len());
    let (head, rest) = from.split_at(head);
    let (words, tail) = rest.as_chunks::<WORD>();
    let mut at = to;
    for byte in head {
        // SAFETY: 1. `at` has moved by fewer than `from.len()` bytes; 2. a byte is always aligned.
        unsafe { at.cast::<AtomicU8>().as_ref() }.store(*byte, Relaxed);
        // SAFETY: at most one past the end of the range.
        at = unsafe { at.add(1) };
    }
    for word in words {
        // SAFETY: 1. a whole word is left of `from.len()` bytes; 2. `head` ended at a multiple of `WORD`.
        unsafe { at.cast::<AtomicUsize>().as_ref() }.store(usize::from_ne_bytes(*word), Relaxed);
        // SAFETY: at most one past the end of the range.
        at = unsafe { at.add(WORD) };
    }
    for byte in tail {
        // SAFETY: as for the head.
        unsafe { at.cast::<AtomicU8>().as_ref() }.store(*byte, Relaxed);
        // SAFETY: at most one past the end of the range.
        at = unsafe { at.add(1) };
    }
}
