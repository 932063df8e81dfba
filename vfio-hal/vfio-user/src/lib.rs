//! vfio-user: devices that are programs.
//!
//! - [`DeviceModel`] is what a device model implements. It is called by the in-process backend of `vfio-hal`
//!   and by the vfio-user server alike.
//! - [`Context`] is what a model is given with each call: DMA, interrupts, doorbells, the time.
//! - [`Spec`] describes the PCI function: ids, BARs, interrupts, and which registers are doorbells.
//!
//! The crate knows nothing of `vfio-hal` and of drivers.
#![forbid(unsafe_code)]

mod model;
mod spec;

pub use model::{AccessError, Context, DeviceModel, DmaBus, DmaFault, Doorbells, IrqBus, ResetKind, Work};
pub use spec::{BarKind, BarSpec, Ids, Spec};
