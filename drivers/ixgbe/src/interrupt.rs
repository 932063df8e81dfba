//! Interrupts: MSI-X vector 0 for everything but queues, vectors 1 to 63 for receive queues (82599 datasheet 7.3).
//!
//! A queue's interrupt is armed for one packet at a time: the device masks the vector when it fires (EIAM), so that a
//! polling driver hears of the first packet and nothing more.

use alloc::sync::Arc;

use vfio_hal::irq::{IrqKind, IrqSink};
use vfio_hal::pmd::PortError;
use vfio_hal::{Device, DeviceError};

use crate::hw::Hw;
use crate::link::Events;
use crate::regs::{EIAC, EIAM, EIAM_EX, EIMC_EX, EIMS_EX, EITR, GPIE, IVAR, IVAR_MISC, View};

/// An MSI-X vector, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector(u32);

impl Vector {
    /// What is not a queue: link changes and errors.
    pub(crate) const OTHER: Vector = Vector(0);

    /// Returns the vector of receive queue `id`; queue 63 shares that of queue 0.
    pub(crate) fn of_queue(id: u16) -> Vector {
        Vector(u32::from(id) % 63 + 1)
    }

    pub(crate) fn unmask(self, view: &View) -> Result<(), PortError> {
        view.at::<EIMS_EX>(self.half())?.write(EIMS_EX::new(self.bit()));
        Ok(view.lost().check()?)
    }

    pub(crate) fn mask(self, view: &View) -> Result<(), PortError> {
        view.at::<EIMC_EX>(self.half())?.write(EIMC_EX::new(self.bit()));
        Ok(view.lost().check()?)
    }

    fn half(self) -> usize {
        (self.0 / 32) as usize
    }

    fn bit(self) -> u32 {
        1 << (self.0 % 32)
    }
}

/// Chooses MSI-X with automatic masking, and which vector each of `queues` receive queues fires. All stay masked.
pub(crate) fn setup(hw: &mut Hw, queues: u16, throttling: EITR) -> Result<(), PortError> {
    let gpie =
        GPIE::default().with_multiple_msix(true).with_pba_support(true).with_ocd(true).with_eiame(true);
    hw.regs.write(Events::pins(hw.model, gpie));
    // Queue causes clear and mask themselves when their message is sent.
    hw.regs.write(EIAC::default().with_rtx_queue(0xffff));
    hw.regs.write(EIAM::default().with_causes(0xffff));
    for half in 0..2 {
        hw.regs.at::<EIAM_EX>(half)?.write(EIAM_EX::new(u32::MAX));
    }
    for queue in 0..queues {
        let Vector(vector) = Vector::of_queue(queue);
        let mut ivar = hw.regs.at_mut::<IVAR>(usize::from(queue / 2))?;
        ivar.modify(|ivar| match queue % 2 {
            0 => ivar.with_rx0(vector).with_rx0_valid(true),
            _ => ivar.with_rx1(vector).with_rx1_valid(true),
        });
        // The vector fires once per arming, so for interrupts alone there need be none.
        hw.regs.at::<EITR>(vector as usize)?.write(throttling);
    }
    hw.regs.write(IVAR_MISC::default().with_other(Vector::OTHER.0).with_other_valid(true));
    Ok(())
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

/// Unmasks link changes, which fire vector 0.
pub(crate) fn unmask_link(hw: &Hw, on: bool) {
    let causes = Events::causes(hw.model);
    if on {
        hw.regs.write(causes);
    } else {
        hw.regs.write(crate::regs::EIMC::new(causes.bits()));
    }
}
