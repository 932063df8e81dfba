//! Every register access of a driver, by name and field.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::wrapped;
use crate::bar::{Bar, Trap, Width};
use crate::clock::Clock;
use crate::device::{Device, DeviceError, Lost};
use crate::dma::Dma;
use crate::irq::Irqs;
use crate::regs::{Decoded, Decoder, RegisterMap, Value};

/// A device that shows what a driver does to the device within.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use vfio_hal::regs::Block;
/// use vfio_hal::testing::{FakeDevice, VirtualClock};
/// use vfio_hal::wrap::{TraceEvent, Tracer};
/// use vfio_hal::{Device, registers};
///
/// registers! {
///     /// An example.
///     pub block Example[0x100];
///     /// Queue control.
///     pub RXDCTL @ 0x28 + 0x40 * [2] RW { enable: 25, vme: 30 }
/// }
///
/// # fn main() -> Result<(), vfio_hal::DeviceError> {
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let sink = { let lines = lines.clone(); move |event: &TraceEvent<'_>| lines.lock().unwrap().push(event.to_string()) };
/// let device: Arc<dyn Device> = Arc::new(FakeDevice::new(0x100).named("0000:01:00.0"));
/// let device = Tracer::new(device, Arc::new(VirtualClock::new()), sink).decode::<Example>(0);
///
/// let mut regs = Block::<Example>::new(device.bar(0)?)?;
/// regs.at_mut::<RXDCTL>(1)?.modify(|queue| queue.with_enable(true));
/// assert_eq!(*lines.lock().unwrap(), [
///     "0.000000 0000:01:00.0 R RXDCTL[1] 0x0",
///     "0.000000 0000:01:00.0 W RXDCTL[1] 0x2000000 enable=0x1",
/// ]);
/// # Ok(())
/// # }
/// ```
pub struct Tracer {
    inner: Arc<dyn Device>,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn TraceSink>,
    decoders: BTreeMap<u8, Arc<Decoder>>,
}

/// What takes the events. Called from every thread that accesses a register, in the order of its accesses.
pub trait TraceSink: Send + Sync {
    /// Takes one access, after it was made.
    fn event(&self, event: &TraceEvent<'_>);
}

impl<F: Fn(&TraceEvent<'_>) + Send + Sync> TraceSink for F {
    fn event(&self, event: &TraceEvent<'_>) {
        self(event);
    }
}

/// Which way a register access went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The driver read.
    Read,
    /// The driver wrote.
    Write,
}

/// One register access.
#[derive(Clone, Copy, Debug)]
pub struct TraceEvent<'a> {
    /// When it was done, by the tracer's clock.
    pub time: Duration,
    /// The device's name.
    pub device: &'a str,
    /// The BAR's number.
    pub bar: u8,
    /// Which way.
    pub direction: Direction,
    /// In bytes from the start of the BAR.
    pub offset: u64,
    /// How wide.
    pub width: Width,
    /// What was read or written.
    pub value: u64,
    /// Which register it is, if the BAR has a map that knows it.
    pub register: Option<Decoded>,
    /// The device was gone: the value read is made up, the value written went nowhere.
    pub lost: bool,
}

impl fmt::Display for TraceEvent<'_> {
    /// Writes one line: seconds, device, `R` or `W`, register, value, the fields that are not 0. A register that
    /// no map knows is written as BAR, offset and width in bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.direction == Direction::Read { 'R' } else { 'W' };
        write!(f, "{}.{:06} {} {way} ", self.time.as_secs(), self.time.subsec_micros(), self.device)?;
        match &self.register {
            Some(register) => {
                write!(f, "{register} {}", Value::access(register, self.width.bytes(), self.value))?
            }
            None => write!(
                f,
                "bar{}+{:#07x}/{} {:#x}",
                self.bar,
                self.offset,
                8 * self.width.bytes(),
                self.value
            )?,
        }
        if self.lost { f.write_str(" lost") } else { Ok(()) }
    }
}

impl Tracer {
    /// Wraps `inner`. Accesses go to `sink` with the time of `clock`.
    pub fn new(inner: Arc<dyn Device>, clock: Arc<dyn Clock>, sink: impl TraceSink + 'static) -> Tracer {
        Tracer { inner, clock, sink: Arc::new(sink), decoders: BTreeMap::new() }
    }

    /// Names the registers of BAR `bar` by the map `M`.
    pub fn decode<M: RegisterMap>(self, bar: u8) -> Tracer {
        self.decode_with(bar, Decoder::of::<M>())
    }

    /// Names the registers of BAR `bar` by `decoder`.
    pub fn decode_with(mut self, bar: u8, decoder: Decoder) -> Tracer {
        self.decoders.insert(bar, Arc::new(decoder));
        self
    }
}

impl Device for Tracer {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn lost(&self) -> &Lost {
        self.inner.lost()
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        let inner = self.inner.bar(index)?;
        let trap = TracedBar {
            bar: inner.clone(),
            device: self.inner.clone(),
            clock: self.clock.clone(),
            sink: self.sink.clone(),
            decoder: self.decoders.get(&index).cloned(),
        };
        wrapped(&inner, Arc::new(trap))
    }

    fn dma(&self) -> &dyn Dma {
        self.inner.dma()
    }

    fn irqs(&self) -> Option<&dyn Irqs> {
        self.inner.irqs()
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.inner.config_read(offset, data)
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        self.inner.config_write(offset, data)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.inner.reset()
    }
}

struct TracedBar {
    bar: Bar,
    device: Arc<dyn Device>,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn TraceSink>,
    decoder: Option<Arc<Decoder>>,
}

impl TracedBar {
    fn event(&self, direction: Direction, offset: u64, width: Width, value: u64) {
        self.sink.event(&TraceEvent {
            time: self.clock.now(),
            device: self.device.name(),
            bar: self.bar.index(),
            direction,
            offset,
            width,
            value,
            register: self.decoder.as_ref().and_then(|decoder| decoder.find(offset)),
            lost: self.bar.lost().is_lost(),
        });
    }
}

impl Trap for TracedBar {
    fn read(&self, offset: u64, width: Width) -> Option<u64> {
        let value = self.bar.read(offset, width).ok()?;
        self.event(Direction::Read, offset, width, value);
        Some(value)
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        self.bar.write(offset, width, value).ok()?;
        self.event(Direction::Write, offset, width, value);
        Some(())
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("device", &self.inner.name()).finish_non_exhaustive()
    }
}
