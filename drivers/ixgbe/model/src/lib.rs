//! A model of the Intel 82599 10 GbE controller, written from its datasheet.
//!
//! [`Model82599`] is a [`DeviceModel`](vfio_user_kit::DeviceModel): a backend brings register accesses, memory,
//! interrupts and time; a [`Link`](pmd_links::Link) is the wire. Register writes only latch, all work is in `step`.
//!
//! Where things are, in the order a newcomer meets them:
//!
//! - `regs`: the registers as memory. `dispatch`: which of them do something, and who does it.
//! - `reset`, `nvm`, `semaphore`, `mdio`, `sfp`, `link`: what a driver needs until the link is up.
//! - `rx`, `tx`: the data path, each in the order a packet goes. `flow_control`: PAUSE, between the two.
//!   `classes`: traffic classes and pools.
//! - `irq`: causes and vectors. `clock`: IEEE 1588. `timer`: the TCP timer.
//! - `state`: all of it as bytes, for migration.
//! - [`Config`], [`inspect`], [`hostile`]: the outside of the model.
#![forbid(unsafe_code)]

mod checksum;
mod classes;
mod clock;
mod config;
mod deadline;
mod dispatch;
mod events;
mod flow_control;
pub mod hostile;
pub mod inspect;
mod irq;
mod link;
mod mdio;
mod model;
mod nvm;
mod packet;
mod regs;
mod reset;
mod rx;
mod semaphore;
mod sfp;
mod shared;
mod state;
mod timer;
mod tx;
mod wire;

pub use config::{Config, Module, Overrun, Part, ShortFrames, Signals, Timing};
pub use model::Model82599;
pub use state::StateError;
