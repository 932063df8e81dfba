//! What Intel's server NICs have in common: the 82599 and its successors, the 82576 and the I350.
//!
//! - [`desc`]: advanced and legacy descriptors, and how a packet's offloads become descriptors.
//! - [`rss`]: what is asked of RSS: key, hash types, redirection table.
//! - [`inplace`]: how the in-place forwarder is put together.
//! - [`filter`]: the tables of receive filters.
//! - [`LinkConfig`] and [`pause`]: what is asked of a link, and what its two sides agree on.
//! - [`Failed`] and [`PortKey`]: what the type states of a port need.
//! - [`Rings`] and [`Name`]: statistics of queues, and their names.
//!
//! Registers are each driver's own: what looks the same often lies elsewhere, or has another bit. The drivers above are
//! `pmd-ixgbe` and `pmd-igb`; below is `vfio-hal`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod desc;
pub mod filter;
pub mod inplace;
mod link;
mod names;
pub mod pause;
mod port;
mod rings;
pub mod rss;

pub use link::{LinkConfig, Speeds};
pub use names::Name;
pub use port::{Failed, PortKey};
pub use rings::{Count, Rings};
