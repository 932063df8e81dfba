//! A device made of memory: the smallest thing a driver can drive.
//!
//! A bare-metal platform looks the same: a pointer to a BAR instead of a [`RegisterFile`], and its own way to
//! memory instead of [`FakeDma`].

use alloc::boxed::Box;
use core::fmt;

use spin::Mutex;

use super::dma::FakeDma;
use super::registers::RegisterFile;
use crate::bar::Bar;
use crate::device::{Device, DeviceError, Lost};
use crate::dma::Dma;

/// A device whose BAR 0 is plain memory, mapped: a driver's register access is a load or a store.
///
/// Nothing happens by itself. A test or bench is the device: it looks at [`registers`](Self::registers) and at
/// memory through [`memory`](Self::memory), in the same thread as the driver, for instance from a
/// [`VirtualClock`](super::VirtualClock)'s hook.
pub struct RamDevice {
    lost: Lost,
    registers: RegisterFile,
    memory: FakeDma,
    step: Mutex<Option<Step>>,
}

type Step = Box<dyn FnMut(&RegisterFile, &FakeDma) + Send>;

impl RamDevice {
    /// Returns a device with `len` bytes of registers, all 0, that translates addresses.
    pub fn new(len: u64) -> RamDevice {
        RamDevice::with_memory(len, FakeDma::new())
    }

    /// Returns a device that sees memory through `memory`, for instance [`FakeDma::physical`].
    pub fn with_memory(len: u64, memory: FakeDma) -> RamDevice {
        RamDevice { lost: Lost::new(), registers: RegisterFile::new(len), memory, step: Mutex::new(None) }
    }

    /// Says what [`step`](Self::step) does.
    pub fn on_step(&self, step: impl FnMut(&RegisterFile, &FakeDma) + Send + 'static) {
        *self.step.lock() = Some(Box::new(step));
    }

    /// Lets the device do its work once. Does nothing from within a step.
    pub fn step(&self) {
        if let Some(mut step) = self.step.try_lock()
            && let Some(step) = step.as_mut()
        {
            step(&self.registers, &self.memory);
        }
    }

    /// Returns the registers, as the device sees them.
    pub fn registers(&self) -> &RegisterFile {
        &self.registers
    }

    /// Returns memory, as the device sees it.
    pub fn memory(&self) -> &FakeDma {
        &self.memory
    }
}

impl Device for RamDevice {
    fn name(&self) -> &str {
        "ram"
    }

    fn lost(&self) -> &Lost {
        &self.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        if index != 0 {
            return Err(DeviceError::NoBar { index });
        }
        self.registers.mapped_bar(0, &self.lost)
    }

    fn dma(&self) -> &dyn Dma {
        &self.memory
    }

    fn reset(&self) -> Result<(), DeviceError> {
        // It makes accesses only while it is stepped.
        for offset in (0..self.registers.len()).step_by(4) {
            self.registers.write32(offset, 0);
        }
        Ok(())
    }
}

impl fmt::Debug for RamDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RamDevice")
            .field("registers", &self.registers)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
