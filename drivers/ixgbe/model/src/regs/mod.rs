//! The registers as memory: which there are, what is in them, how accesses of any width reach them.
//!
//! - [`map`]: the table of registers.
//! - [`file`]: the values.
//! - [`access`]: 1, 2, 4 and 8-byte accesses, turned into dwords in one place.
//!
//! What a register *does* is in the module it belongs to (`link`, `irq`, `rx`, …); [`dispatch`](crate::dispatch)
//! connects the two.

pub(crate) mod access;
pub(crate) mod file;
pub(crate) mod map;

pub(crate) use file::RegisterFile;
pub(crate) use map::{Access, Reg};
