//! The host side of a user-space driver kit. See the modules in this order: [`device`], [`bar`], [`regs`],
//! [`dma`], [`ring`], [`pmd`].
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod addr;
#[cfg(feature = "std")]
pub mod backend;
pub mod bar;
pub mod barrier;
pub mod clock;
pub mod device;
pub mod dma;
pub mod irq;
mod mmio;
pub mod pmd;
pub mod pci;
pub mod poll;
pub mod regs;
pub mod ring;
mod sync;
pub mod testing;
pub mod wrap;

pub use addr::{Bdf, BusAddr, Iova, IovaRange};
pub use bar::Bar;
pub use clock::Clock;
pub use device::{Device, DeviceError, Lost};
