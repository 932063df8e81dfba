//! The registers of the 82576, and of the I350 where they are the same.
//!
//! Every register has its own type under the datasheet's name ("Intel 82576EB Gigabit Ethernet Controller Datasheet",
//! rev. 2.87, chapter 8; "Intel Ethernet Controller I350 Datasheet", rev. 2.6, chapter 8); where Linux and DPDK call it
//! otherwise the documentation says so. [`Regs`] is all of them on one device. The files follow the 82576 datasheet's
//! sections, and so do the sections cited without another datasheet's name.
//!
//! Queues 0 to 3 answer at the addresses of the 82575 too, which nothing here uses.

pub mod filter;
pub mod flow;
pub mod general;
pub mod interrupt;
pub mod nvm;
pub mod rx;
pub mod stats;
pub mod tx;
pub mod virt;

pub use filter::*;
pub use flow::*;
pub use general::*;
pub use interrupt::*;
pub use nvm::*;
pub use rx::*;
pub use stats::*;
pub use tx::*;
pub use virt::*;

vfio_hal::registers! {
    /// The registers in BAR 0 of an 82576.
    pub block Igb[0x20000] = general, nvm, flow, interrupt, rx, filter, tx, stats, virt;
}

/// The registers of one device.
pub type Regs = vfio_hal::regs::Block<Igb>;

/// A share of the registers, for queues.
pub type View = vfio_hal::regs::View<Igb>;
