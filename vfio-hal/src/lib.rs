//! The host side of a driver kit: what a user-space driver is made of.
//!
//! # One packet through the layers
//!
//! A [`Device`] is anything that can be driven: hardware behind the kernel's VFIO, a device that another process serves, a
//! model in this process, a pointer on bare metal. It has [`Bar`]s, and over a BAR a driver declares typed
//! [registers](regs).
//!
//! Memory that the device shall reach is a [`Region`](dma::Region) of an [`IovaSpace`](dma::IovaSpace), which maps it at the same
//! address for every device in it. A [`Pool`](dma::pool::Pool) cuts a region into packet buffers, and a
//! [descriptor ring](ring) is cut from another. The driver writes the ring's address into a register that takes
//! nothing else, enables the queue, and rings the [doorbell](bar::Doorbell): the device owns the buffers now.
//!
//! A packet arrives. The device writes it into the buffer and sets the descriptor's done bit.
//! [`RxRing::burst`](ring::RxRing::burst) sees the bit with an Acquire load, takes a fresh buffer from the lcore's
//! [`Cache`](dma::pool::Cache), puts it on the descriptor, and hands the full one to the application as a
//! [`Buf`](dma::pool::Buf): one owner, with [metadata](dma::pool::Packet) in memory that no device can reach. What the device
//! wrote is masked or checked, and never used as an index.
//!
//! The application looks at the bytes and gives the `Buf` to [`TxRing::burst`](ring::TxRing::burst), which moves it: nobody
//! can touch it any more. One doorbell later the device sends it; the report for 32 packets brings their buffers back to the
//! cache they came from. In steady state no atomic instruction and no allocation happened on the way.
//!
//! When the queue stops, its register is polled until it says so. That is the [`Quiesced`](dma::Quiesced) proof, and only with it do
//! buffers on the ring return to the pool. What a device was not seen to let go of is leaked and counted.
//!
//! # The modules, bottom up
//!
//! [`device`], [`bar`], [`regs`], [`poll`], [`pci`]; [`dma`], [`ring`]; [`pmd`] is the contract of a driver; [`irq`] and
//! [`clock`] serve all of them. `backend` opens devices; [`testing`] has fakes and [`wrap`] tracer and fault injector.
//!
//! The crate is `no_std` with `alloc` without its `std` feature; allocation happens at set-up only.
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
pub mod pci;
pub mod pmd;
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
