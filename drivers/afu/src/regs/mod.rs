//! The registers of a DFL card, one block per feature, each relative to where the feature's registers start.
//!
//! - [`dfh`]: what every feature starts with, and the list's links.
//! - [`fme`]: the management engine: header, errors, temperature, power, performance, partial reconfiguration.
//! - [`port`]: a port: header, errors, user interrupts, user clock.
//! - [`nlb0`], [`he`]: Intel's loopback accelerators; [`dummy`]: the one that registers are tried on.
//! - [`stream`]: the kit's own accelerator, with its descriptors.
//!
//! Names and places are those of Linux's `drivers/fpga/dfl*` and of OPAE's samples. The driver above and the device model
//! beside it work with this one map. In a version 1 list a feature's registers may lie away from its header; offsets are
//! the same there, and the block's first word is the header's.

pub mod dfh;
pub mod dummy;
pub mod fme;
pub mod he;
pub mod nlb0;
pub mod port;
pub mod stream;
