//! What has to hold between values that came from outside.
//!
//! A checksum says that bytes arrived as they were sent, not who sent them. Each unit checks here what its code relies on:
//! indices, lengths, sums.

use super::StateError;

/// `Ok` if `holds`.
pub(crate) fn check(holds: bool, what: &'static str) -> Result<(), StateError> {
    if holds { Ok(()) } else { Err(StateError::Invalid { what }) }
}

/// Whether an index is inside of a ring of `len` descriptors; a ring that was never started has none, and its index is 0.
pub(crate) fn within(index: u32, len: u32) -> bool {
    index < len || index == 0 && len == 0
}
