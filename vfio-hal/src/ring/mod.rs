//! Rings: between a driver and its device, and between threads.
//!
//! - [`Descriptors`] is the memory of a descriptor ring and owns its ordering: Acquire loads of what the
//!   device wrote back, Release stores of what it is given, barriers before a doorbell.
//! - [`RxRing`] and [`TxRing`] put packet buffers on such rings, [`InPlace`] lets one receive ring and several
//!   transmit rings share descriptors and buffers. A driver says with a [`RxFormat`] and a [`TxFormat`] how its
//!   descriptors look; loops, ownership and counters are here, once for all drivers.
//! - [`WorkRing`] gives an accelerator work from such a ring, and takes its answers.
//! - [`mpmc::Mpmc`], [`spsc::Producer`] and [`spsc::Consumer`] join threads.
//!
//! Buffers on a ring are remembered in a shadow array, so that nothing a device wrote is ever used as an index
//! or a pointer.

mod coherence;
mod descriptors;
mod inplace;
pub mod mpmc;
mod rx;
pub mod spsc;
mod tx;
mod work;

use core::sync::atomic::{AtomicU64, Ordering};

pub use descriptors::{Descriptors, RingError, RingMemory, WriteBack};
pub use inplace::{InPlace, InPlaceFormat, InPlaceStats, Output, Outputs};
pub use rx::{RxError, RxFormat, RxRing, RxStats};
pub use tx::{TxError, TxFormat, TxPlan, TxRing, TxStats};
pub use work::{Completed, Work, WorkError, WorkFormat, WorkRing, WorkStats};

/// Adds to a counter that only its owner writes: no locked instruction.
#[inline]
fn count(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
