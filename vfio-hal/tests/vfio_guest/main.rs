//! The kernel's VFIO, driven in a guest: `scripts/guest/guest run vfio`.
//!
//! Each test is named after a row of the capabilities of the host side. They need devices that are bound to vfio-pci,
//! named in the environment, so an ordinary test run only builds them:
//!
//! - `KIT_VFIO_API`: iommufd, type1 or noiommu
//! - `KIT_EDU`, `KIT_EDU2`: two of QEMU's `edu` devices
//! - `KIT_IGB`: QEMU's 82576

mod dma;
mod edu;
mod irqs;
mod kit;
mod open;
