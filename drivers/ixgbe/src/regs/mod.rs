//! The registers of the 82599, and of the X540 and X550 where they are the same.
//!
//! Every register has its own type under the datasheet's name ("82599 10 GbE Controller Datasheet", 331520
//! rev. 3.4, chapter 8.2); where Linux and DPDK call it otherwise the documentation says so. [`Regs`] is all of
//! them on one device.
//!
//! The files follow the datasheet's chapters. The driver above and the device model beside it both work with
//! this one map, and the tracer reads names and fields from it. The order in which registers must be written
//! is the driver's business; what a value does is the model's.
//!
//! Two things to know about aliases: queues 64 to 127 lie apart from the first 64, which a register's index
//! hides; and the 82599 answers at some of its predecessor's addresses too (SRRCTL, DCA_RXCTRL, RAL, RAH,
//! PSRTYPE, MRQC), which other drivers use and a model must serve.

pub mod dcb;
pub mod fdir;
pub mod filter;
pub mod flow;
pub mod general;
pub mod interrupt;
pub mod link;
pub mod nvm;
pub mod pcie;
pub mod rx;
pub mod security;
pub mod stats;
pub mod time;
pub mod tx;
pub mod virt;
pub mod wake;

#[cfg(test)]
mod tests;

pub use dcb::*;
pub use fdir::*;
pub use filter::*;
pub use flow::*;
pub use general::*;
pub use interrupt::*;
pub use link::*;
pub use nvm::*;
pub use pcie::*;
pub use rx::*;
pub use security::*;
pub use stats::*;
pub use time::*;
pub use tx::*;
pub use virt::*;
pub use wake::*;

vfio_hal::registers! {
    /// The registers in BAR 0 of an 82599.
    pub block Ixgbe[0x20000] = general, nvm, flow, pcie, interrupt, rx, filter, tx, dcb, security, fdir, link, stats,
        wake, time, virt;
}

/// The registers of one device.
pub type Regs = vfio_hal::regs::Block<Ixgbe>;

/// A share of the registers, for queues.
pub type View = vfio_hal::regs::View<Ixgbe>;
