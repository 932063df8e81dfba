//! What the benches share: [`Platform`], a device of plain memory that a bench steps by itself, and [`rig`], ports on it.
//!
//! [`Platform`] is also the example of bringing one's own platform: everything that the kit needs of a machine without an
//! operating system is there, in a page.
#![forbid(unsafe_code)]

pub mod platform;
pub mod rig;

pub use platform::Platform;
