//! The registers as memory: which there are, what is in them, how accesses of any width reach them.
//!
//! - [`file`](mod@file): the values, under the names of the driver's register map ([`pmd_ixgbe::regs`]).
//! - [`initial`]: what a reset leaves, and which bits software can change.
//! - [`access`]: 1, 2, 4 and 8-byte accesses, turned into dwords in one place.
//!
//! What a register *does* is in the module it belongs to (`link`, `irq`, `rx`, …); [`dispatch`](crate::dispatch)
//! connects the two.

pub(crate) mod access;
pub(crate) mod file;
mod initial;

pub(crate) use file::RegisterFile;
