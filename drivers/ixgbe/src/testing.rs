//! A device of registers for the tests of this crate's parts.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfio_hal::Device;
use vfio_hal::regs::{AccessKind, Register};
use vfio_hal::testing::{Access, FakeDevice, VirtualClock};

use crate::hw::{Hw, MODELS};
use crate::regs::Regs;

/// The PCI id of an 82599, an X540 and an X550.
pub(crate) const SFP: u16 = 0x10fb;
pub(crate) const X540: u16 = 0x1528;
pub(crate) const X550: u16 = 0x1563;

/// Returns a device with this PCI id whose registers read what was written last, and what a test sees of it.
pub(crate) fn bench(id: u16) -> (Hw, Arc<FakeDevice>) {
    let device = Arc::new(FakeDevice::new(0x2_0000));
    let regs = Regs::new(device.bar(0).expect("BAR 0")).expect("all registers");
    let model = MODELS.iter().find(|model| model.id == id).expect("a known device");
    (Hw { regs, device: device.clone(), clock: Arc::new(VirtualClock::new()), model }, device)
}

/// Lets counters clear when they are read.
pub(crate) fn clear_on_read(device: &FakeDevice) {
    let counters = Regs::REGISTERS.iter().filter(|info| info.access == AccessKind::ReadClear);
    let words = counters.flat_map(|info| {
        let words = 0..info.bits.bytes() / 4;
        info.places().flat_map(move |(_, at)| words.clone().map(move |word| at + 4 * word))
    });
    let offsets: Vec<u64> = words.collect();
    device.registers().react(move |access, registers| {
        if let Access::Read { offset, .. } = access
            && offsets.contains(&offset)
        {
            registers.write32(offset, 0);
        }
    });
}

/// Returns what was written to a register since the log was last taken, in order, as (entry, value).
pub(crate) fn written<R: Register>(log: &[Access]) -> Vec<(usize, R)> {
    let entry = |offset| (0..R::COUNT).find(|index| R::INFO.offset(*index) == Some(offset));
    log.iter()
        .filter_map(|access| match access {
            Access::Write { offset, value, .. } => Some((entry(*offset)?, R::from_raw(*value))),
            Access::Read { .. } => None,
        })
        .collect()
}
