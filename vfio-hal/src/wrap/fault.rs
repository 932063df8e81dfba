//! A good device made bad, the same way each time.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;

use spin::Mutex;

use super::wrapped;
use crate::addr::Iova;
use crate::bar::{Bar, Trap, Width};
use crate::device::{Device, DeviceError, Lost};
use crate::dma::{Dma, DmaCaps, DmaError, DmaMapping, Unmapped};
use crate::irq::Irqs;

/// What goes wrong. Nothing by default; all of it can be combined.
///
/// Everything is counted, nothing is random or timed, so a failing test fails again.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    life: Option<u64>,
    stuck: BTreeMap<(u8, u64), Stuck>,
    delayed: BTreeMap<(u8, u64), Delayed>,
    maps: Option<(u32, DmaError)>,
    unmap: Option<DmaError>,
    reset: Option<DeviceError>,
    config: Option<DeviceError>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stuck {
    mask: u64,
    value: u64,
}

#[derive(Clone, Copy, Debug)]
struct Delayed {
    mask: u64,
    reads: u32,
    /// What reads show: the value before the change.
    shown: Option<u64>,
    /// Reads since the change.
    since: u32,
}

impl Faults {
    /// Returns no fault.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// The device vanishes after `accesses` register accesses, of all BARs together.
    pub fn die_after(mut self, accesses: u64) -> Faults {
        self.life = Some(accesses);
        self
    }

    /// The bits of `mask` in the register at `offset` of BAR `bar` read as in `value`, whatever is written.
    pub fn stuck(mut self, bar: u8, offset: u64, mask: u64, value: u64) -> Faults {
        let stuck = self.stuck.entry((bar, offset)).or_default();
        *stuck = Stuck { mask: stuck.mask | mask, value: stuck.value & !mask | value & mask };
        self
    }

    /// A change of the bits of `mask` in the register at `offset` of BAR `bar` shows only after `reads` reads.
    pub fn delayed(mut self, bar: u8, offset: u64, mask: u64, reads: u32) -> Faults {
        self.delayed.insert((bar, offset), Delayed { mask, reads, shown: None, since: 0 });
        self
    }

    /// Mapping memory works `good` times, then fails with `error`.
    pub fn fail_map(mut self, good: u32, error: DmaError) -> Faults {
        self.maps = Some((good, error));
        self
    }

    /// Unmapping memory fails with `error`; the device keeps it.
    pub fn fail_unmap(mut self, error: DmaError) -> Faults {
        self.unmap = Some(error);
        self
    }

    /// A reset fails with `error`.
    pub fn fail_reset(mut self, error: DeviceError) -> Faults {
        self.reset = Some(error);
        self
    }

    /// Every configuration space access fails with `error`.
    pub fn fail_config(mut self, error: DeviceError) -> Faults {
        self.config = Some(error);
        self
    }
}

/// A device with [`Faults`].
///
/// ```
/// use std::sync::Arc;
/// use vfio_hal::bar::Width;
/// use vfio_hal::testing::RamDevice;
/// use vfio_hal::wrap::{FaultInjector, Faults};
/// use vfio_hal::{Device, DeviceError};
///
/// // Bit 3 never becomes 1, and the device is unplugged at its third access.
/// let faults = Faults::new().stuck(0, 0x10, 1 << 3, 0).die_after(2);
/// let device = FaultInjector::new(Arc::new(RamDevice::new(0x100)), faults);
/// let bar = device.bar(0)?;
/// bar.write(0x10, Width::W32, 0xff)?;
/// assert_eq!(bar.read(0x10, Width::W32)?, 0xf7);
/// assert_eq!(bar.read(0x10, Width::W32)?, 0xffff_ffff);
/// assert!(device.lost().is_lost());
/// # Ok::<(), DeviceError>(())
/// ```
pub struct FaultInjector {
    inner: Arc<dyn Device>,
    faults: Arc<Mutex<Faults>>,
}

impl FaultInjector {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Device>, faults: Faults) -> FaultInjector {
        FaultInjector { inner, faults: Arc::new(Mutex::new(faults)) }
    }

    /// Replaces all faults; counts start again. A device that has died stays dead.
    pub fn set(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    fn config_fault(&self) -> Result<(), DeviceError> {
        self.inner.lost().check()?;
        self.faults.lock().config.map_or(Ok(()), Err)
    }
}

impl Device for FaultInjector {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn lost(&self) -> &Lost {
        self.inner.lost()
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        let bar = self.inner.bar(index)?;
        wrapped(&bar, Arc::new(FaultyBar { bar: bar.clone(), faults: self.faults.clone() }))
    }

    fn dma(&self) -> &dyn Dma {
        self
    }

    fn irqs(&self) -> Option<&dyn Irqs> {
        self.inner.irqs()
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.config_fault()?;
        self.inner.config_read(offset, data)
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        self.config_fault()?;
        self.inner.config_write(offset, data)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.inner.lost().check()?;
        let fault = self.faults.lock().reset;
        fault.map_or_else(|| self.inner.reset(), Err)
    }
}

impl Dma for FaultInjector {
    fn caps(&self) -> DmaCaps {
        self.inner.dma().caps()
    }

    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        let fault = match &mut self.faults.lock().maps {
            Some((0, error)) => Some(*error),
            Some((good, _)) => {
                *good -= 1;
                None
            }
            None => None,
        };
        fault.map_or_else(|| self.inner.dma().map(mapping), Err)
    }

    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError> {
        let fault = self.faults.lock().unmap;
        fault.map_or_else(|| self.inner.dma().unmap(iova, len), Err)
    }

    fn physical(&self, ptr: NonNull<u8>, len: u64) -> Option<Iova> {
        self.inner.dma().physical(ptr, len)
    }

    fn sync_for_cpu(&self, iova: Iova, len: u64) {
        self.inner.dma().sync_for_cpu(iova, len);
    }

    fn sync_for_device(&self, iova: Iova, len: u64) {
        self.inner.dma().sync_for_device(iova, len);
    }
}

struct FaultyBar {
    bar: Bar,
    faults: Arc<Mutex<Faults>>,
}

impl FaultyBar {
    /// Counts an access; `None` if the device has vanished by now, which closes the latch.
    fn alive(&self) -> Option<()> {
        if let Some(life) = &mut self.faults.lock().life {
            *life = life.checked_sub(1)?;
        }
        Some(())
    }
}

impl Trap for FaultyBar {
    fn read(&self, offset: u64, width: Width) -> Option<u64> {
        self.alive()?;
        let mut value = self.bar.read(offset, width).ok()?;
        if self.bar.lost().is_lost() {
            return Some(value);
        }
        let mut faults = self.faults.lock();
        let key = (self.bar.index(), offset);
        if let Some(delayed) = faults.delayed.get_mut(&key) {
            value = delayed.pass(value);
        }
        if let Some(stuck) = faults.stuck.get(&key) {
            value = value & !stuck.mask | stuck.value;
        }
        Some(value & width.all_ones())
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        self.alive()?;
        self.bar.write(offset, width, value).ok()
    }
}

impl Delayed {
    fn pass(&mut self, value: u64) -> u64 {
        let now = value & self.mask;
        // Before the first read the bits are taken for 0, as after a reset.
        let shown = self.shown.unwrap_or(0);
        if now == shown || self.since >= self.reads {
            self.since = 0;
            self.shown = Some(now);
            return value;
        }
        self.since += 1;
        value & !self.mask | shown
    }
}

impl fmt::Debug for FaultInjector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultInjector").field("device", &self.inner.name()).finish_non_exhaustive()
    }
}
