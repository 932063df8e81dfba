//! A device of trapped registers that a test scripts.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;

use super::dma::FakeDma;
use super::irq::FakeIrqs;
use super::trap::FakeBar;
use crate::bar::Bar;
use crate::device::{Device, DeviceError, Lost};
use crate::dma::Dma;
use crate::irq::{IrqKind, Irqs};

/// A device that a test scripts: BAR 0 is a [`FakeBar`], memory a [`FakeDma`], configuration space plain bytes.
///
/// ```
/// use vfio_hal::bar::Width;
/// use vfio_hal::testing::FakeDevice;
/// use vfio_hal::{Device, DeviceError};
///
/// let device = FakeDevice::new(0x100);
/// device.registers().die_after(2);
/// let bar = device.bar(0)?;
/// bar.write(0x10, Width::W32, 7)?;
/// assert_eq!(bar.read(0x10, Width::W32)?, 7);
/// assert_eq!(bar.read(0x10, Width::W32)?, 0xffff_ffff);
/// assert_eq!(device.lost().check(), Err(DeviceError::Lost));
/// # Ok::<(), DeviceError>(())
/// ```
pub struct FakeDevice {
    name: String,
    lost: Lost,
    registers: FakeBar,
    memory: FakeDma,
    irqs: FakeIrqs,
    config: Mutex<Vec<u8>>,
    resets: AtomicU32,
}

impl FakeDevice {
    /// Returns a device with `len` bytes of trapped registers, 256 bytes of configuration space, all 0, and 8
    /// MSI-X vectors.
    pub fn new(len: u64) -> FakeDevice {
        FakeDevice {
            name: String::from("fake"),
            lost: Lost::new(),
            registers: FakeBar::new(len),
            memory: FakeDma::new(),
            irqs: FakeIrqs::new(IrqKind::MsiX, 8),
            config: Mutex::new(alloc::vec![0; 256]),
            resets: AtomicU32::new(0),
        }
    }

    /// Gives it a name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = String::from(name);
        self
    }

    /// Lets it see memory through `memory`.
    pub fn with_memory(mut self, memory: FakeDma) -> Self {
        self.memory = memory;
        self
    }

    /// Gives it other interrupts.
    pub fn with_irqs(mut self, irqs: FakeIrqs) -> Self {
        self.irqs = irqs;
        self
    }

    /// Gives it a configuration space: all bytes readable and writable.
    pub fn with_config(mut self, config: Vec<u8>) -> Self {
        self.config = Mutex::new(config);
        self
    }

    /// Returns BAR 0, as the device sees it.
    pub fn registers(&self) -> &FakeBar {
        &self.registers
    }

    /// Returns memory, as the device sees it.
    pub fn memory(&self) -> &FakeDma {
        &self.memory
    }

    /// Returns the interrupts, to fire them.
    pub fn interrupts(&self) -> &FakeIrqs {
        &self.irqs
    }

    /// Returns configuration space as it is now.
    pub fn config(&self) -> Vec<u8> {
        self.config.lock().clone()
    }

    /// Returns how often it was reset.
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }
}

impl Device for FakeDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn lost(&self) -> &Lost {
        &self.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        if index == 0 { self.registers.open(0, &self.lost) } else { Err(DeviceError::NoBar { index }) }
    }

    fn dma(&self) -> &dyn Dma {
        &self.memory
    }

    fn irqs(&self) -> Option<&dyn Irqs> {
        Some(&self.irqs)
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.lost.check()?;
        let config = self.config.lock();
        let range = usize::from(offset)..usize::from(offset) + data.len();
        data.copy_from_slice(config.get(range).ok_or_else(|| beyond(offset, data.len()))?);
        Ok(())
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        self.lost.check()?;
        let mut config = self.config.lock();
        let range = usize::from(offset)..usize::from(offset) + data.len();
        config.get_mut(range).ok_or_else(|| beyond(offset, data.len()))?.copy_from_slice(data);
        Ok(())
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.lost.check()?;
        self.resets.fetch_add(1, Ordering::Relaxed);
        let registers = self.registers.registers();
        for offset in (0..registers.len()).step_by(4) {
            registers.write32(offset, 0);
        }
        Ok(())
    }
}

fn beyond(offset: u16, len: usize) -> DeviceError {
    DeviceError::ConfigRange { offset, len: u16::try_from(len).unwrap_or(u16::MAX) }
}

impl fmt::Debug for FakeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDevice")
            .field("name", &self.name)
            .field("registers", &self.registers)
            .finish_non_exhaustive()
    }
}
