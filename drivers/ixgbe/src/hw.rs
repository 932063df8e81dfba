//! What every part of the driver works with: one device's registers, its clock, and which chip it is.

use alloc::sync::Arc;
use core::time::Duration;

use vfio_hal::poll::Poll;
use vfio_hal::{Clock, Device, DeviceError};

use crate::regs::Regs;

/// Which chip of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// 82599: fibre and backplane.
    I82599,
    /// X540: 10GBASE-T.
    X540,
    /// X550: 10GBASE-T, a larger RSS table.
    X550,
}

/// How the port reaches its link partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// An SFP+ cage.
    SfpPlus,
    /// KX4 or KR over a backplane.
    Backplane,
    /// Twisted pair.
    Copper,
}

/// A device that the driver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// PCI device id; the vendor is Intel (8086h).
    pub id: u16,
    /// Its chip.
    pub chip: Chip,
    /// Its media.
    pub media: Media,
    /// Its name.
    pub name: &'static str,
}

/// The devices that the driver knows. X540 and X550 are written from the same facts and have been tried by nobody yet.
pub const MODELS: [Model; 4] = [
    Model { id: 0x10fb, chip: Chip::I82599, media: Media::SfpPlus, name: "82599ES 10-Gigabit SFI/SFP+" },
    Model { id: 0x10f7, chip: Chip::I82599, media: Media::Backplane, name: "82599EB 10-Gigabit KX4" },
    Model { id: 0x1528, chip: Chip::X540, media: Media::Copper, name: "X540-AT2 10GBASE-T" },
    Model { id: 0x1563, chip: Chip::X550, media: Media::Copper, name: "X550T 10GBASE-T" },
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

    pub(crate) fn wait_micros(&self, micros: u64) {
        self.clock.wait(Duration::from_micros(micros));
    }

    pub(crate) fn wait_millis(&self, millis: u64) {
        self.clock.wait(Duration::from_millis(millis));
    }

    /// Returns [`DeviceError::Lost`] if the device is gone.
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        self.regs.lost().check()
    }
}
