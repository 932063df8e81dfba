//! A polled-mode driver for the Intel 82599, X540 and X550.
//!
//! A port goes through three states, each a type: [`Probed`], [`Configured`], [`Running`]. Started, it gives out its
//! queues, [`RxQueue`] and [`TxQueue`], as values of their own that lcores own; [`Running`] keeps the registers that
//! all of them share.
//!
//! Read [`port`](Probed), then `init`, `rx`, `tx`; [`desc`] and [`regs`] are the datasheet's tables and are also what the
//! device model is made with. [`inplace`] is the fast path for run-to-completion forwarding.
//!
//! The driver knows no backend: it gets an `Arc<dyn Device>` and a clock, and runs over the kernel's VFIO, a
//! vfio-user socket, a model in the process, or bare metal.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod control;
pub mod desc;
mod eeprom;
mod filter;
mod flow;
mod flow_control;
mod hw;
mod init;
pub mod inplace;
mod inspect;
mod interrupt;
mod link;
mod lro;
mod mtu;
mod phy;
mod port;
pub mod regs;
pub mod rss;
mod running;
mod rx;
mod semaphore;
mod stats;
#[cfg(test)]
mod testing;
mod time;
mod tx;

pub use config::Config;
pub use eeprom::{NvmVersion, OptionRom};
pub use flow::FlowMemory;
pub use hw::{Chip, MODELS, Media, Model, VENDOR};
pub use inspect::Inspect;
pub use link::{LinkConfig, Speeds};
pub use phy::mdio::Negotiation;
pub use phy::{Identification, Module, ModuleKind, Text};
pub use port::{Configured, Failed, Probed, Started};
pub use running::{Running, StopFailed};
pub use rx::RxQueue;
pub use time::Stamp;
pub use tx::TxQueue;
