//! The kernel's VFIO, driven in a guest: `scripts/guest/guest run vfio`.
//!
//! Each test is named after a row of what the host side can do. They need devices that are bound to vfio-pci, named in
//! the environment, so an ordinary test run only builds them:
//!
//! - `KIT_VFIO_API`: iommufd, type1 or noiommu
//! - `KIT_EDU`, `KIT_EDU2`: two of QEMU's `edu` devices; `KIT_EDU3`, `KIT_EDU4`: two more in one IOMMU group
//! - `KIT_IGB`: QEMU's 82576, behind a root port

mod access;
mod dma;
mod edu;
mod errors;
mod features;
mod iova;
mod irqs;
mod kit;
mod migration;
mod open;
mod removal;
mod reset;
mod shared;
