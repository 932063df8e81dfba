//! vfio-user: devices that are programs.
//!
//! - [`DeviceModel`] is what a device model implements. It is called by the in-process backend of `vfio-hal`
//!   and by the vfio-user server alike.
//! - [`Context`] is what a model is given with each call: DMA, interrupts, doorbells, its configuration space, the time.
//! - [`Spec`] describes the PCI function: ids, BARs, ROM, interrupts, capabilities ([`CapabilitySpec`]), and which registers
//!   are doorbells.
//! - [`Segment`] is client memory that a model holds for longer than a call, [`SharedRegisters`] are registers that a client
//!   maps.
//! - [`Function`] emulates what every such function has: configuration space ([`Config`]) and the MSI-X table
//!   ([`Msix`]). Whoever plays a device keeps one.
//!
//! - [`server`] serves a model on a socket, to QEMU or to any other vfio-user client; [`client`] uses what any server has.
//! - [`proto`] is the protocol itself: messages, framing, negotiation.
//!
//! The crate knows nothing of `vfio-hal` and of drivers.
#![deny(unsafe_code)]

mod capability;
mod check;
pub mod client;
pub mod config;
mod context;
mod function;
mod memory;
mod model;
mod msix;
pub mod proto;
mod segment;
pub mod server;
mod shared;
mod spec;

pub use capability::{CapabilityAccess, CapabilityId, CapabilitySpec};
pub use check::SpecError;
pub use config::Config;
pub use context::{ConfigBus, Context, DmaBus, DmaFault, DmaRange, Doorbells, IrqBus, IrqKind, NoConfig};
pub use function::{Function, Messages, RestoreError, Signal};
pub use model::{
    AccessError, DeviceModel, FeatureError, FeatureRequest, Migration, MigrationError, NotifyArea, ResetKind,
    SharedArea, Work,
};
pub use msix::Msix;
pub use segment::{DmaRight, Segment, SegmentError, SegmentMemory};
pub use shared::{SharedError, SharedRegisters};
pub use spec::{BarKind, BarSpec, ConfigCallback, Ids, OneWay, PciType, Spec};
