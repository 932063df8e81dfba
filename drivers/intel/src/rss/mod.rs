//! What an application asks of RSS, and what the device is told of it (82599 datasheet 7.1.2.8; 82576 datasheet 7.1.1.7).
//!
//! The device hashes addresses and ports with Toeplitz' function and a 40-byte key; the low bits of the hash select an
//! entry of the redirection table, and that says the queue.
//!
//! Key types: [`RssConfig`] is what is asked: an [`RssKey`], the [`HashTypes`], the [`Redirection`]. [`Table`] is a
//! redirection table that has been checked. The drivers write them to their registers.

mod config;
mod table;
mod types;

pub use config::{Redirection, RssConfig, RssKey};
pub use table::Table;
pub use types::HashTypes;
