//! Interrupts: MSI-X vector 0 for everything but queues, vector n + 1 for receive queue n (82576 datasheet 7.3, 8.8).
//!
//! A queue's interrupt is armed for one packet at a time: the device masks the vector when it fires (EIAM), so that a
//! polling driver hears of the first packet and nothing more.

use alloc::sync::Arc;

use vfio_hal::irq::{IrqKind, IrqSink};
use vfio_hal::pmd::PortError;
use vfio_hal::{Device, DeviceError};

use crate::hw::{Chip, Hw};
use crate::regs::{EIAC, EIAM, EIMC, EIMS, EITR, GPIE, ICR, IMC, IMS, IVAR, IVAR_MISC, View};

/// An MSI-X vector, 0 to 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector(u32);

impl Vector {
    /// What is not a queue: link changes.
    pub(crate) const OTHER: Vector = Vector(0);

    /// Returns the vector of receive queue `id`, 0 to 15.
    pub(crate) fn of_queue(id: u16) -> Vector {
        Vector(u32::from(id) + 1)
    }

    pub(crate) fn unmask(self, view: &View) -> Result<(), PortError> {
        view.write(EIMS::default().with_vectors(self.bit()));
        Ok(view.lost().check()?)
    }

    pub(crate) fn mask(self, view: &View) -> Result<(), PortError> {
        view.write(EIMC::default().with_vectors(self.bit()));
        Ok(view.lost().check()?)
    }

    fn bit(self) -> u32 {
        1 << self.0
    }
}

/// Chooses MSI-X with automatic masking, and which vector each of `queues` receive queues fires. All stay masked.
pub(crate) fn setup(hw: &mut Hw, queues: u16) -> Result<(), PortError> {
    // First of all: EIAC and EIAM mean vectors only with several of them.
    hw.regs.write(GPIE::default().with_multiple_msix(true).with_pba(true).with_eiame(true).with_nsicr(true));
    let rx = (0..queues).fold(0, |bits, queue| bits | Vector::of_queue(queue).bit());
    // All causes clear when their message is sent; those of queues are masked by it too.
    hw.regs.write(EIAC::default().with_vectors(rx | Vector::OTHER.bit()));
    hw.regs.write(EIAM::default().with_vectors(rx));
    for index in 0..8 {
        hw.regs.at::<IVAR>(index)?.write(IVAR::default());
    }
    for queue in 0..queues {
        let Vector(vector) = Vector::of_queue(queue);
        let (index, high) = match hw.model.chip {
            Chip::I82576 => (queue % 8, queue >= 8),
            Chip::I350 => (queue / 2, queue % 2 == 1),
        };
        hw.regs.at_mut::<IVAR>(index.into())?.modify(|ivar| {
            if high {
                ivar.with_rx_high(vector).with_rx_high_valid(true)
            } else {
                ivar.with_rx_low(vector).with_rx_low_valid(true)
            }
        });
        // No throttling: the vector fires once per arming anyway.
        hw.regs.at::<EITR>(vector as usize)?.write(EITR::default());
    }
    hw.regs.write(IVAR_MISC::default().with_other(Vector::OTHER.0).with_other_valid(true));
    Ok(hw.check()?)
}

/// Delivers `vector` to `sink`, or nowhere.
pub(crate) fn route(
    device: &dyn Device,
    vector: Vector,
    sink: Option<Arc<dyn IrqSink>>,
) -> Result<(), PortError> {
    let irqs = device.irqs().ok_or(DeviceError::Unsupported { what: "interrupts" })?;
    if irqs.info(IrqKind::MsiX).count <= vector.0 {
        return Err(PortError::Unsupported { what: "an MSI-X vector for that queue" });
    }
    irqs.enable(IrqKind::MsiX, vector.0, &[sink])?;
    Ok(())
}

/// Delivers nothing any more, and lets go of all sinks.
pub(crate) fn release(device: &dyn Device) {
    if let Some(irqs) = device.irqs() {
        // Of a device that is gone nothing is delivered anyway.
        let _ = irqs.disable(IrqKind::MsiX);
    }
}

/// Unmasks link changes, which fire vector 0, or masks them.
pub(crate) fn unmask_link(hw: &mut Hw, on: bool) -> Result<(), PortError> {
    if on {
        // An event that is pending does not fire again.
        let _ = hw.regs.take::<ICR>();
        hw.regs.write(IMS::default().with_lsc(true));
        Vector::OTHER.unmask(&hw.regs)
    } else {
        hw.regs.write(IMC::default().with_lsc(true));
        Vector::OTHER.mask(&hw.regs)
    }
}
