//! QEMU's `edu` device (docs/specs/edu.rst): a factorial, a DMA engine with 4 KiB of memory, an interrupt.

use std::sync::Arc;

use vfio_hal::backend::vfio::VfioDevice;
use vfio_hal::bar::{Bar, Width};
use vfio_hal::{Device, Iova};

use crate::kit;

/// Where the engine sees its own memory.
const BUFFER: u64 = 0x40000;
const RUN: u64 = 1;
/// From the device to memory.
const TO_MEMORY: u64 = 2;
const INTERRUPT: u64 = 4;

pub(crate) struct Edu {
    pub(crate) device: Arc<VfioDevice>,
    pub(crate) bar: Bar,
}

impl Edu {
    pub(crate) fn open(name: &str) -> Edu {
        Edu::new(kit::open(name))
    }

    pub(crate) fn new(device: Arc<VfioDevice>) -> Edu {
        let bar = device.bar(0).expect("BAR 0");
        Edu { device, bar }
    }

    pub(crate) fn read(&self, offset: u64) -> u32 {
        self.bar.read(offset, Width::W32).expect("a register") as u32
    }

    pub(crate) fn write(&self, offset: u64, value: u32) {
        self.bar.write(offset, Width::W32, value.into()).expect("a register");
    }

    pub(crate) fn factorial(&self, of: u32) -> u32 {
        self.write(0x08, of);
        kit::wait("the factorial", || self.read(0x20) & 1 == 0);
        self.read(0x08)
    }

    fn transfer(&self, source: u64, target: u64, len: u64, command: u64) {
        for (offset, value) in [(0x80, source), (0x88, target), (0x90, len), (0x98, command | RUN)] {
            self.bar.write(offset, Width::W64, value).expect("a register");
        }
    }

    fn finish(&self) {
        kit::wait("the DMA engine", || self.bar.read(0x98, Width::W64).expect("a register") & RUN == 0);
    }

    /// Reads `len` bytes of memory into the device.
    pub(crate) fn take(&self, from: Iova, len: u64) {
        self.transfer(from.0, BUFFER, len, 0);
        self.finish();
    }

    /// Writes `len` bytes of the device to memory.
    pub(crate) fn give(&self, to: Iova, len: u64) {
        self.transfer(BUFFER, to.0, len, TO_MEMORY);
        self.finish();
    }

    /// Writes to memory and interrupts when that is done, without waiting.
    pub(crate) fn give_and_interrupt(&self, to: Iova, len: u64) {
        self.transfer(BUFFER, to.0, len, TO_MEMORY | INTERRUPT);
    }

    /// Interrupts now.
    pub(crate) fn raise(&self, value: u32) {
        self.write(0x60, value);
    }

    pub(crate) fn acknowledge(&self) {
        let pending = self.read(0x24);
        self.write(0x64, pending);
    }
}
