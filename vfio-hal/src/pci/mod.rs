//! PCI configuration space, typed.
//!
//! - [`Config`] is the configuration space of one device and its owner: reading needs `&`, everything that reads,
//!   changes and writes back needs `&mut`.
//! - [`Ids`], [`Class`], [`Command`], [`Status`], [`BarInfo`] are the header.
//! - [`Capabilities`] and [`ExtendedCapabilities`] walk the two lists; [`PowerManagement`], [`Msi`], [`MsiX`],
//!   [`Express`] are the entries a driver needs.
//!
//! - With `std`, `discovery` finds the machine's devices and gives them to drivers.
//!
//! Nothing in here trusts the device: a list that loops, a pointer out of bounds or an entry that ends beyond its
//! space is a [`ConfigError`], every walk is bounded, and no byte of configuration space can cause a panic.
//!
//! It works over any [`Device`](crate::Device). Section numbers are those of the PCI Local Bus Specification 3.0
//! ("PCI") and the PCI Express Base Specification 5.0 ("PCIe").
//!
//! ```
//! use std::sync::Arc;
//! use vfio_hal::pci::Config;
//! use vfio_hal::testing::FakeDevice;
//!
//! let mut bytes = vec![0; 256];
//! bytes[..4].copy_from_slice(&[0x86, 0x80, 0xfb, 0x10]); // an 82599
//! let mut config = Config::new(Arc::new(FakeDevice::new(0x1000).with_config(bytes)));
//!
//! assert_eq!(config.ids()?.to_string(), "8086:10fb");
//! config.modify_command(|command| command.with_memory(true).with_bus_master(true))?;
//! assert!(config.command()?.bus_master());
//! assert_eq!(config.capabilities()?.count(), 0);
//! # Ok::<(), vfio_hal::pci::ConfigError>(())
//! ```

mod capability;
mod config;
#[cfg(feature = "std")]
pub mod discovery;
mod error;
mod express;
mod header;
mod msi;
mod power;

pub use capability::{Capabilities, Capability, ExtendedCapabilities, ExtendedCapability, extended_id, id};
pub use config::Config;
pub use error::ConfigError;
pub use express::{Express, Link, PortType};
pub use header::{BarInfo, BarKind, Class, Command, Ids, Status};
pub use msi::{Msi, MsiX, MsiXWindow};
pub use power::{PowerManagement, PowerState};
