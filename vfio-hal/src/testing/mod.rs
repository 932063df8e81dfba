//! Fakes to test drivers and the kit with: devices without hardware, an operating system or a model.
//!
//! - [`RamDevice`]: registers are plain memory and the test plays the device. Its source is also the example of
//!   how little a platform of one's own needs.
//! - [`FakeDevice`]: registers are trapped, every access is [logged](Access), answers are scripted, and the
//!   device can die in the middle of whatever the driver does.
//! - [`RegisterFile`]: what both keep their registers in, and the test's view of them.
//! - [`FakeDma`]: what both see memory through: translated, physical, or a [bouncing](FakeDma::bouncing) mapper
//!   that copies, so that a missing `sync_for_cpu` or `sync_for_device` shows.
//! - [`FakeIrqs`]: interrupts that a test fires.
//! - [`VirtualClock`]: time that moves when a driver waits, with a hook that steps the device meanwhile.
//!
//! They implement the same traits as the real backends, so the [wrappers](crate::wrap) compose around them, and
//! all of them work without `std`. A device with behaviour of its own is a model, see the `vfio-user-kit` crate.
//!
//! A driver's test in one piece: the clock's hook plays a device that needs two looks to reset.
//!
//! ```
//! use core::time::Duration;
//! use std::sync::Arc;
//! use vfio_hal::poll::Poll;
//! use vfio_hal::regs::Block;
//! use vfio_hal::testing::{RamDevice, VirtualClock};
//! use vfio_hal::{Device, registers};
//!
//! registers! {
//!     /// An example.
//!     pub block Example[0x100];
//!     /// Control.
//!     pub CTRL @ 0x00 RW { rst: 26 }
//! }
//!
//! # fn main() -> Result<(), vfio_hal::DeviceError> {
//! let device = Arc::new(RamDevice::new(0x100));
//! let clock = VirtualClock::new();
//! clock.hook({
//!     let device = device.clone();
//!     move |now| {
//!         if now >= Duration::from_micros(20) {
//!             device.registers().set(0, CTRL::default());
//!         }
//!     }
//! });
//!
//! let regs = Block::<Example>::new(device.bar(0)?)?;
//! regs.write(CTRL::default().with_rst(true));
//! Poll::new(&clock, "reset", Duration::from_millis(1)).register(regs.single(), |ctrl: CTRL| !ctrl.rst())?;
//! # Ok(())
//! # }
//! ```

mod clock;
mod device;
mod dma;
mod irq;
mod ram;
mod registers;
mod trap;

pub use clock::VirtualClock;
pub use device::FakeDevice;
pub use dma::FakeDma;
pub use irq::FakeIrqs;
pub use ram::RamDevice;
pub use registers::RegisterFile;
pub use trap::{Access, FakeBar};
