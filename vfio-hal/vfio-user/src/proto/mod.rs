//! The vfio-user protocol on the wire (QEMU, `docs/interop/vfio-user.rst`).
//!
//! - [`Header`] and the structures of [`wire`] are what messages are made of.
//! - [`Receiver`] and [`Outbox`] cut the stream into messages and carry file descriptors beside them; a [`Channel`] is
//!   a socket with both.
//! - [`feature`] has the structures of migration and of the log of written pages.
//! - [`Capabilities`] is what both sides agree on at the start.
//!
//! Everything is bounded by [`Limits`] and nothing here believes a length: the server and a client share it.

mod channel;
pub mod feature;
mod frame;
mod version;
pub mod wire;

pub use channel::Channel;
pub use frame::{Limits, Message, Outbox, Outgoing, Received, Receiver};
pub use version::{Capabilities, TwinSocket, VersionError};
pub use wire::{Command, Header};
