//! A polled-mode driver for the Intel 82576 and I350.
//!
//! A port goes through three states, each a type: [`Probed`], [`Configured`], [`Running`]. Started, it gives out its
//! queues, [`RxQueue`] and [`TxQueue`], as values of their own that lcores own; [`Running`] keeps the registers that
//! all of them share. Everything has the shape and the names of `pmd-ixgbe`.
//!
//! Read [`port`](Probed), then `init`, `rx`, `tx`; [`regs`] is the datasheet's tables. Descriptors, offloads and RSS settings
//! are those of the whole family, in `pmd-intel`. [`inplace`] is the fast path for run-to-completion forwarding.
//!
//! The driver knows no backend: it gets an `Arc<dyn Device>` and a clock, and runs over the kernel's VFIO, a
//! vfio-user socket, or bare metal.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod control;
pub mod desc;
mod filter;
mod flow_control;
mod hw;
mod init;
pub mod inplace;
mod inspect;
mod interrupt;
mod link;
mod mtu;
mod nvm;
mod phy;
mod port;
pub mod regs;
pub mod rss;
mod running;
mod rx;
mod semaphore;
mod stats;
mod tx;

pub use config::Config;
pub use hw::{Chip, MODELS, Model, VENDOR};
pub use inspect::Inspect;
pub use nvm::NvmVersion;
pub use phy::Negotiation;
pub use pmd_intel::{Failed, LinkConfig, Speeds};
pub use port::{Configured, Probed, Started};
pub use running::{Running, StopFailed};
pub use rx::RxQueue;
pub use tx::TxQueue;
