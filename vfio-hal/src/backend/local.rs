//! A device model in this process.
//!
//! - [`LocalDevice`] is a [`Device`] that is played by a [`DeviceModel`]: its BARs are trapped windows, its
//!   DMA copies, its interrupts are calls.
//! - [`Stepper`] lets the model work: in steps that a test takes one by one, or on a thread of its own
//!   ([`ModelThread`]).
//! - [`LocalOptions`] says which addresses its DMA takes, and what time it is.
//!
//! A register access locks the model, like a device that answers one request at a time. The registers that the
//! model's [`Spec`] names as doorbells are atomics instead: writing one neither locks nor waits. The model never
//! gets a reference to memory that the driver may write; it copies.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use spin::MutexGuard;
use vfio_user_kit::config::{ConfigError, Part, WriteError};
use vfio_user_kit::{ConfigBus, Context, DeviceModel, Function, ResetKind, Signal, Spec, SpecError, Work};

use crate::addr::{Iova, IovaRange};
use crate::bar::Bar;
use crate::clock::{Clock, MonotonicClock};
use crate::device::{Device, DeviceError, Lost};
use crate::dma::Dma;
use crate::irq::{IrqKind, Irqs};

mod bus;
mod irq;
mod lock;
mod registers;
mod stepper;

use bus::Mapper;
use irq::Interrupts;
use lock::Lock;
use registers::{Access, Bells, Window};
use stepper::Waker;

pub use stepper::{Idle, ModelPanicked, ModelThread, Ran, Stepper};

/// How a [`LocalDevice`] appears to its driver.
#[derive(Clone)]
pub struct LocalOptions {
    clock: Arc<dyn Clock>,
    ranges: Vec<IovaRange>,
    page_sizes: u64,
    max_mappings: Option<u32>,
}

impl Default for LocalOptions {
    /// The operating system's clock; 4 KiB pages and everything larger, as many as fit; all addresses but those
    /// of interrupt messages, which an x86 IOMMU does not translate either.
    fn default() -> Self {
        let messages = (0xfee0_0000, 0xfeef_ffff);
        let below = IovaRange { first: Iova(0), last: Iova(messages.0 - 1) };
        let above = IovaRange { first: Iova(messages.1 + 1), last: Iova(u64::MAX) };
        LocalOptions {
            clock: Arc::new(MonotonicClock::new()),
            ranges: vec![below, above],
            page_sizes: u64::MAX << 12,
            max_mappings: None,
        }
    }
}

impl LocalOptions {
    /// Tells the model the time of `clock`, from zero when the device is made.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes mappings in these ranges only: sorted, disjoint.
    pub fn ranges(mut self, ranges: &[IovaRange]) -> Self {
        self.ranges = ranges.to_vec();
        self
    }

    /// Takes mappings aligned to 2^n bytes for every bit n, from 12 up.
    pub fn page_sizes(mut self, sizes: u64) -> Self {
        self.page_sizes = sizes & (u64::MAX << 12);
        self
    }

    /// Takes at most `limit` mappings.
    pub fn max_mappings(mut self, limit: u32) -> Self {
        self.max_mappings = Some(limit);
        self
    }
}

/// A device that a model in this process plays.
pub struct LocalDevice<M> {
    name: String,
    core: Arc<Core<M>>,
}

/// What the device, its BARs and its steppers share.
struct Core<M> {
    spec: Spec,
    lost: Lost,
    /// Locked for a call of the model; before `function`, and never the other way round.
    model: Lock<M>,
    function: Lock<Function>,
    access: Access,
    bells: Bells,
    mapper: Mapper,
    interrupts: Interrupts,
    clock: Arc<dyn Clock>,
    start: Duration,
    /// Register accesses that the model did not answer.
    refused: AtomicU64,
    /// Interrupts by message are switched on: without, the model's calls end here.
    armed: AtomicBool,
    /// A write of the model's to its configuration space asked for a reset.
    reset_due: AtomicBool,
    /// A call of the model did not return, so it is not called again.
    broken: AtomicBool,
    waker: Waker,
}

impl<M: DeviceModel + 'static> LocalDevice<M> {
    /// Switches a device on, under the name that users know it by. Memory access is enabled and bus mastering
    /// is not, as the kernel's VFIO hands a device over.
    pub fn new(
        name: impl Into<String>,
        model: M,
        options: LocalOptions,
    ) -> Result<Arc<LocalDevice<M>>, SpecError> {
        let spec = model.spec();
        let mut function = Function::new(&spec)?;
        function.set_access(true);
        let core = Core {
            lost: Lost::new(),
            model: Lock::new(model),
            access: Access::new(function.config()),
            function: Lock::new(function),
            bells: Bells::new(spec.doorbells.len()),
            mapper: Mapper::new(options.ranges, options.page_sizes, options.max_mappings),
            interrupts: Interrupts::new(&spec),
            start: options.clock.now(),
            clock: options.clock,
            refused: AtomicU64::new(0),
            armed: AtomicBool::new(false),
            reset_due: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            waker: Waker::new(),
            spec,
        };
        Ok(Arc::new(LocalDevice { name: name.into(), core: Arc::new(core) }))
    }

    /// Returns what lets the model work. There may be several; one works at a time.
    pub fn stepper(&self) -> Stepper<M> {
        Stepper::new(self.core.clone())
    }

    /// Calls `look` with the model, between two of its steps. `None` if the model panicked before.
    pub fn with_model<R>(&self, look: impl FnOnce(&mut M) -> R) -> Option<R> {
        let mut model = self.core.model.lock();
        (!self.core.is_broken()).then(|| look(&mut model))
    }

    /// Pulls the device out: registers read all ones, DMA and interrupts stop, unmapping fails, and the latch
    /// of lost devices closes. It does not come back.
    pub fn kill(&self) {
        self.core.mapper.stop_for_good();
        self.core.lost.latch();
    }

    /// Asks the driver to give the device back, through the interrupt that it armed for that.
    pub fn request_removal(&self) {
        self.core.interrupts.fire(IrqKind::Request, 0);
    }

    /// Returns how many register accesses the model refused. A driver's reads got all ones for them.
    pub fn refused_accesses(&self) -> u64 {
        self.core.refused.load(Ordering::Relaxed)
    }
}

impl<M: DeviceModel> Core<M> {
    /// Calls the model, with the mappings held as they are for the time of the call.
    fn call<R>(&self, model: &mut M, call: impl FnOnce(&mut M, &mut Context<'_>) -> R) -> R {
        let bus = self.mapper.bus();
        let mut context =
            Context { dma: &bus, irq: self, doorbells: &self.bells, config: self, now: self.now() };
        let alarm = Alarm { broken: &self.broken, lost: &self.lost };
        let result = call(model, &mut context);
        core::mem::forget(alarm);
        result
    }

    /// Returns the time that the model is told.
    fn now(&self) -> Duration {
        self.clock.now().saturating_sub(self.start)
    }

    /// Calls the model on behalf of the driver. A model that panics, now or before, is a lost device.
    fn guarded<R>(&self, call: impl FnOnce(&mut M, &mut Context<'_>) -> R) -> Result<R, DeviceError> {
        self.lost.check()?;
        let mut model = self.model.lock();
        if self.is_broken() {
            return Err(DeviceError::Lost);
        }
        // A model that panicked is not looked at again.
        let result = catch_unwind(AssertUnwindSafe(|| self.call(&mut model, call)));
        drop(model);
        let result = result.map_err(|_| DeviceError::Lost)?;
        self.follow_reset()?;
        Ok(result)
    }

    fn step(&self) -> Work {
        let work = {
            let mut model = self.model.lock_last();
            if self.lost.is_lost() || self.is_broken() {
                return Work::Idle;
            }
            self.call(&mut model, |model, context| model.step(context))
        };
        // A driver has no part in this, so a device that is lost by it shows by its latch.
        let _ = self.follow_reset();
        work
    }

    /// Returns how long the model can be left alone, at most `limit`.
    fn pause(&self, limit: Duration) -> Duration {
        let model = self.model.lock();
        if self.is_broken() {
            return limit;
        }
        model.next_deadline().map_or(limit, |at| at.saturating_sub(self.now()).min(limit))
    }

    /// Resets the device if the model's own write to configuration space asked for it.
    fn follow_reset(&self) -> Result<(), DeviceError> {
        // The flag is set within calls of the model only, so a look is enough as a rule.
        let due = self.reset_due.load(Ordering::Relaxed) && self.reset_due.swap(false, Ordering::Relaxed);
        if due { self.reset() } else { Ok(()) }
    }

    /// Accesses configuration space piece by piece, each by who answers for it.
    fn config_parts(
        &self,
        offset: u16,
        len: usize,
        write: bool,
        mut access: impl FnMut(u16, Range<usize>, bool) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        self.lost.check()?;
        let parts = match self.function().config().parts(offset, len, write) {
            Ok(parts) => parts,
            Err(WriteError::Range(_)) => return Err(config_range(offset, len)),
            // A bus drops a write that nothing takes.
            Err(_) => return Ok(()),
        };
        for Part { range, model } in parts {
            access(offset + range.start as u16, range, model)?;
        }
        Ok(())
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Resets the model, and the function as far as the kernel's VFIO does not put it back: bus mastering is
    /// off, addresses and interrupts are as they were. The caller holds no lock.
    fn reset(&self) -> Result<(), DeviceError> {
        self.guarded(|model, context| {
            self.mapper.set_master(false);
            self.function().set_bus_master(false);
            model.reset(context, ResetKind::Function);
        })
    }

    fn function(&self) -> MutexGuard<'_, Function> {
        self.function.lock()
    }

    /// Changes the function, takes over what it switched on, and delivers what it sends, without its lock.
    fn change<R>(&self, change: impl FnOnce(&mut Function, &mut Vec<Signal>) -> R) -> R {
        let mut signals = Vec::new();
        let result = {
            let mut function = self.function();
            let result = change(&mut function, &mut signals);
            self.access.follow(function.config());
            self.mapper.set_master(function.config().bus_master());
            self.armed.store(function.messages_enabled(), Ordering::Release);
            result
        };
        for signal in signals {
            self.interrupts.deliver(signal);
        }
        result
    }
}

impl<M: DeviceModel + 'static> Device for LocalDevice<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn lost(&self) -> &Lost {
        &self.core.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        let spec = self.core.spec.bar(index).ok_or(DeviceError::NoBar { index })?;
        let window = Window::new(self.core.clone(), index, spec.kind);
        Bar::builder(index, spec.size, self.core.lost.clone()).trapped(0, spec.size, Arc::new(window)).build()
    }

    fn dma(&self) -> &dyn Dma {
        &self.core.mapper
    }

    fn irqs(&self) -> Option<&dyn Irqs> {
        Some(&*self.core)
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        let core = &self.core;
        core.config_parts(offset, data.len(), false, |at, range, by_model| {
            let part = &mut data[range];
            let outside = config_range(at, part.len());
            if by_model {
                return core.guarded(|model, cx| model.config_read(cx, at, part))?.map_err(|_| outside);
            }
            core.function().config_read(at, part).map_err(|_| outside)
        })
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        let core = &self.core;
        core.config_parts(offset, data.len(), true, |at, range, by_model| {
            let part = &data[range];
            let outside = config_range(at, part.len());
            if by_model {
                return core.guarded(|model, cx| model.config_write(cx, at, part))?.map_err(|_| outside);
            }
            let changed = core.change(|function, signals| function.config_write(at, part, signals));
            let changed = changed.map_err(|_| outside)?;
            if changed.access {
                // When bus mastering is off, no transaction is under way any more.
                core.mapper.settle();
            }
            if changed.reset {
                core.reset()?;
            }
            Ok(())
        })
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.core.reset()
    }
}

impl<M> core::fmt::Debug for LocalDevice<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LocalDevice").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<M: DeviceModel> ConfigBus for Core<M> {
    fn read(&self, offset: u16, data: &mut [u8]) -> Result<(), ConfigError> {
        self.function().config_read(offset, data)
    }

    fn set(&self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        self.function().config_set(offset, data)
    }

    fn write(&self, offset: u16, data: &[u8]) -> Result<(), WriteError> {
        let changed = self.change(|function, signals| function.config_write(offset, data, signals))?;
        if changed.reset {
            self.reset_due.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn config_range(offset: u16, len: usize) -> DeviceError {
    DeviceError::ConfigRange { offset, len: u16::try_from(len).unwrap_or(u16::MAX) }
}

/// Is dropped only by a panic of the model: the device is lost then.
struct Alarm<'a> {
    broken: &'a AtomicBool,
    lost: &'a Lost,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.broken.store(true, Ordering::Relaxed);
        self.lost.latch();
    }
}
