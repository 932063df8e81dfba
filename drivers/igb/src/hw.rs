//! What every part of the driver works with: one device's registers, its clock, and which chip it is.

use alloc::sync::Arc;
use core::time::Duration;

use vfio_hal::poll::Poll;
use vfio_hal::{Clock, Device, DeviceError};

use crate::regs::Regs;

/// Which chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// 82576: 16 queues, two ports.
    I82576,
    /// I350: 8 queues, up to four ports.
    I350,
}

impl Chip {
    /// Returns how many queues it has each way.
    pub const fn queues(self) -> u16 {
        match self {
            Chip::I82576 => 16,
            Chip::I350 => 8,
        }
    }
}

/// A device that the driver knows. All of them speak 10, 100 and 1000BASE-T.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// PCI device id; the vendor is Intel (8086h).
    pub id: u16,
    /// Its chip.
    pub chip: Chip,
    /// Its name.
    pub name: &'static str,
}

/// The devices that the driver knows. QEMU has a model of the 82576; the I350 is written from the facts and has been
/// tried by nobody yet.
pub const MODELS: [Model; 2] = [
    Model { id: 0x10c9, chip: Chip::I82576, name: "82576 Gigabit" },
    Model { id: 0x1521, chip: Chip::I350, name: "I350 Gigabit" },
];

/// Intel.
pub const VENDOR: u16 = 0x8086;

/// One device under the driver's control.
pub(crate) struct Hw {
    pub(crate) regs: Regs,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) model: &'static Model,
}

impl Hw {
    /// Returns a wait of at most `millis` for `what`, to be asked for a register or a condition.
    pub(crate) fn poll(&self, what: &'static str, millis: u64) -> Poll<'_> {
        Poll::new(&*self.clock, what, Duration::from_millis(millis))
    }

    pub(crate) fn wait_millis(&self, millis: u64) {
        self.clock.wait(Duration::from_millis(millis));
    }

    /// Returns [`DeviceError::Lost`] if the device is gone.
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        self.regs.lost().check()
    }
}
