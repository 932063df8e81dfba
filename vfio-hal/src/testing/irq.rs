//! Interrupts that a test fires.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;

use spin::Mutex;

use crate::device::DeviceError;
use crate::irq::{IrqInfo, IrqKind, IrqSink, Irqs};

/// Interrupt vectors of one kind, delivered in the thread that fires. Clones share them.
#[derive(Clone)]
pub struct FakeIrqs(Arc<Inner>);

struct Inner {
    kind: IrqKind,
    count: u32,
    vectors: Mutex<BTreeMap<u32, Vector>>,
}

#[derive(Default)]
struct Vector {
    sink: Option<Arc<dyn IrqSink>>,
    masked: bool,
    /// Fired while masked.
    pending: bool,
}

impl FakeIrqs {
    /// Returns `count` vectors of `kind`, and none of any other.
    pub fn new(kind: IrqKind, count: u32) -> FakeIrqs {
        FakeIrqs(Arc::new(Inner { kind, count, vectors: Mutex::default() }))
    }

    /// Fires a vector as the device. Returns whether it was delivered: it is enabled and not masked.
    pub fn fire(&self, vector: u32) -> bool {
        let sink = match self.0.vectors.lock().get_mut(&vector) {
            Some(Vector { masked: true, pending, sink: Some(_) }) => {
                *pending = true;
                None
            }
            Some(vector) => vector.sink.clone(),
            None => None,
        };
        // Not under the lock: the sink may come back here.
        sink.inspect(|sink| sink.fire()).is_some()
    }

    /// Returns how many vectors are enabled.
    pub fn enabled(&self) -> usize {
        self.0.vectors.lock().values().filter(|vector| vector.sink.is_some()).count()
    }

    fn check(&self, kind: IrqKind, first: u32, count: usize) -> Result<(), DeviceError> {
        let end = u64::from(first) + count as u64;
        if kind == self.0.kind && end <= self.0.count.into() {
            Ok(())
        } else {
            Err(DeviceError::Unsupported { what: "interrupt vector of that kind and number" })
        }
    }

    fn set_mask(&self, kind: IrqKind, vector: u32, masked: bool) -> Result<(), DeviceError> {
        self.check(kind, vector, 1)?;
        let fire = {
            let mut vectors = self.0.vectors.lock();
            let entry = vectors.entry(vector).or_default();
            entry.masked = masked;
            !masked && core::mem::take(&mut entry.pending)
        };
        if fire {
            self.fire(vector);
        }
        Ok(())
    }
}

impl Irqs for FakeIrqs {
    fn info(&self, kind: IrqKind) -> IrqInfo {
        if kind != self.0.kind {
            return IrqInfo::default();
        }
        IrqInfo { count: self.0.count, eventfd: true, maskable: true, automasked: false, no_resize: false }
    }

    fn enable(
        &self,
        kind: IrqKind,
        first: u32,
        sinks: &[Option<Arc<dyn IrqSink>>],
    ) -> Result<(), DeviceError> {
        self.check(kind, first, sinks.len())?;
        let mut vectors = self.0.vectors.lock();
        for (number, sink) in (first..).zip(sinks) {
            vectors.entry(number).or_default().sink = sink.clone();
        }
        Ok(())
    }

    fn disable(&self, kind: IrqKind) -> Result<(), DeviceError> {
        self.check(kind, 0, 0)?;
        self.0.vectors.lock().clear();
        Ok(())
    }

    fn mask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.set_mask(kind, vector, true)
    }

    fn unmask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.set_mask(kind, vector, false)
    }

    fn trigger(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.check(kind, vector, 1)?;
        self.fire(vector);
        Ok(())
    }
}

impl fmt::Debug for FakeIrqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeIrqs")
            .field("kind", &self.0.kind)
            .field("count", &self.0.count)
            .finish_non_exhaustive()
    }
}
