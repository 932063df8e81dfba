//! A model of an FPGA card with a device feature list (DFL): management engine, ports, accelerators that do their work.
//!
//! [`AfuModel`] is a [`DeviceModel`](vfio_user_kit::DeviceModel), written from Linux's `dfl` drivers and OPAE's and OFS'
//! sources: a backend brings register accesses, memory, interrupts and time. Register writes only latch; accelerators
//! touch memory in `step`. [`Control`] is the user's hand on the card: temperature, power, faults.
//!
//! Where things are, in the order a newcomer meets them:
//!
//! - `words`: accesses become reads and writes of 64-bit words. `list`: which feature is where.
//! - `fme`: identity, climate, counters, errors, reconfiguration. `port`: reset, errors, interrupts, user clock.
//! - `afu`: the accelerators, and their way to the host's memory.
//! - [`Config`], [`Control`], [`bitstream`]: the outside of the model. [`hostile`]: cards that lie.
#![forbid(unsafe_code)]

mod afu;
pub mod bitstream;
mod config;
mod control;
mod fme;
pub mod hostile;
mod list;
mod model;
mod port;
mod vectors;
mod words;

pub use config::{AfuKind, Config, Counters, Discovery, Headers, MAX_PORTS, NoSuchAfu, Timing};
pub use control::{Control, ErrorRegister, Faults, command};
pub use model::AfuModel;
