//! What can be behind a [`Device`](crate::Device).
//!
//! - [`local`]: a device model in this process.
//! - [`user`]: a device that another process serves on a socket.
//! - [`vfio`]: hardware behind the kernel's VFIO.
//!
//! Backends differ only in how they are opened. Drivers know none of them.

pub mod local;
pub mod user;
pub mod vfio;
