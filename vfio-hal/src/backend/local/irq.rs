//! The device's interrupts, from the model to the driver's sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spin::MutexGuard;
use vfio_user_kit::{DeviceModel, IrqBus, Messages, Signal, Spec};

use super::Core;
use super::lock::Lock;
use crate::device::DeviceError;
use crate::irq::{IrqInfo, IrqKind, IrqSink, Irqs};

type Sink = Option<Arc<dyn IrqSink>>;

/// Where interrupts go.
pub(super) struct Interrupts {
    state: Lock<State>,
    /// What the model last said of its pin, so that saying it again costs nothing.
    asserted: AtomicBool,
}

struct State {
    /// By kind and vector.
    sinks: [Box<[Sink]>; 5],
    /// The one kind of the three ways to interrupt that the driver uses.
    active: Option<IrqKind>,
    pin: bool,
    /// The pin fired, and does not again until it is unmasked.
    pin_masked: bool,
}

fn place(kind: IrqKind) -> usize {
    match kind {
        IrqKind::IntX => 0,
        IrqKind::Msi => 1,
        IrqKind::MsiX => 2,
        IrqKind::Error => 3,
        IrqKind::Request => 4,
    }
}

fn messages(kind: IrqKind) -> Option<Messages> {
    match kind {
        IrqKind::Msi => Some(Messages::Msi),
        IrqKind::MsiX => Some(Messages::MsiX),
        IrqKind::IntX | IrqKind::Error | IrqKind::Request => None,
    }
}

impl Interrupts {
    pub(super) fn new(spec: &Spec) -> Interrupts {
        let counts = [spec.intx.into(), spec.msi_vectors.into(), spec.msix_vectors, 1, 1];
        let sinks = counts.map(|count: u16| vec![None; count.into()].into_boxed_slice());
        let state = State { sinks, active: None, pin: false, pin_masked: false };
        Interrupts { state: Lock::new(state), asserted: AtomicBool::new(false) }
    }

    /// Calls what a vector was armed with, under no lock. Returns whether it was armed.
    pub(super) fn fire(&self, kind: IrqKind, vector: u32) -> bool {
        let sink = self.state().sink(kind, vector);
        sink.inspect(|sink| sink.fire()).is_some()
    }

    pub(super) fn deliver(&self, signal: Signal) {
        match signal {
            Signal::Msi(vector) => drop(self.fire(IrqKind::Msi, vector)),
            Signal::MsiX(vector) => drop(self.fire(IrqKind::MsiX, vector)),
            Signal::IntX(level) => {
                self.state().pin = level;
                self.settle_pin();
            }
        }
    }

    /// Fires the pin if it is asserted and not masked, and masks it until the driver has dealt with it.
    fn settle_pin(&self) {
        let sink = {
            let mut state = self.state();
            let sink = state.sink(IrqKind::IntX, 0).filter(|_| state.pin && !state.pin_masked);
            state.pin_masked |= sink.is_some();
            sink
        };
        if let Some(sink) = sink {
            sink.fire();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn sink(&self, kind: IrqKind, vector: u32) -> Sink {
        self.sinks[place(kind)].get(vector as usize)?.clone()
    }

    fn check(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        let (index, count) = (vector as usize, self.sinks[place(kind)].len());
        let register = match kind {
            IrqKind::IntX => "INTx pin",
            IrqKind::Msi => "MSI vector",
            IrqKind::MsiX => "MSI-X vector",
            IrqKind::Error => "error interrupt",
            IrqKind::Request => "request interrupt",
        };
        if count == 0 {
            return Err(DeviceError::Unsupported { what: register });
        }
        if index >= count {
            return Err(DeviceError::RegisterIndex { register, index, count });
        }
        Ok(())
    }
}

impl<M: DeviceModel> IrqBus for Core<M> {
    fn msi(&self, vector: u32) {
        if !self.armed.load(Ordering::Acquire) {
            return;
        }
        let signal = self.function().raise(vector);
        if let Some(signal) = signal {
            self.interrupts.deliver(signal);
        }
    }

    fn intx(&self, asserted: bool) {
        if self.interrupts.asserted.swap(asserted, Ordering::Relaxed) != asserted {
            let signal = self.function().set_intx(asserted);
            if let Some(signal) = signal {
                self.interrupts.deliver(signal);
            }
        }
    }
}

impl<M: DeviceModel> Irqs for Core<M> {
    fn info(&self, kind: IrqKind) -> IrqInfo {
        let count = self.interrupts.state().sinks[place(kind)].len() as u32;
        let there = count > 0;
        IrqInfo {
            count,
            eventfd: there,
            maskable: there && (messages(kind).is_some() || kind == IrqKind::IntX),
            automasked: there && kind == IrqKind::IntX,
            no_resize: false,
        }
    }

    fn enable(&self, kind: IrqKind, first: u32, sinks: &[Sink]) -> Result<(), DeviceError> {
        self.lost.check()?;
        let Some(last) = sinks.len().checked_sub(1) else { return Ok(()) };
        let last = u32::try_from(last).unwrap_or(u32::MAX).saturating_add(first);
        {
            let mut state = self.interrupts.state();
            state.check(kind, last)?;
            let exclusive = messages(kind).is_some() || kind == IrqKind::IntX;
            if exclusive && state.active.is_some_and(|active| active != kind) {
                return Err(DeviceError::Unsupported {
                    what: "way to use INTx, MSI and MSI-X at once: disable one before another is enabled",
                });
            }
            if exclusive {
                state.active = Some(kind);
            }
            // `check` found `last` inside.
            state.sinks[place(kind)][first as usize..=last as usize].clone_from_slice(sinks);
        }
        if let Some(messages) = messages(kind) {
            self.change(|function, signals| {
                function.set_messages(messages, true, signals);
                for (vector, sink) in (first..).zip(sinks) {
                    signals.extend(function.mask(messages, vector, sink.is_none()));
                }
            });
        } else if kind == IrqKind::IntX {
            self.interrupts.settle_pin();
        }
        Ok(())
    }

    fn disable(&self, kind: IrqKind) -> Result<(), DeviceError> {
        {
            let mut state = self.interrupts.state();
            state.sinks[place(kind)].fill(None);
            if state.active == Some(kind) {
                state.active = None;
            }
            if kind == IrqKind::IntX {
                state.pin_masked = false;
            }
        }
        if let Some(messages) = messages(kind) {
            self.change(|function, signals| function.set_messages(messages, false, signals));
        }
        Ok(())
    }

    fn mask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.set_mask(kind, vector, true)
    }

    fn unmask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.set_mask(kind, vector, false)
    }

    fn trigger(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.lost.check()?;
        self.interrupts.state().check(kind, vector)?;
        if self.interrupts.fire(kind, vector) {
            Ok(())
        } else {
            Err(DeviceError::Unsupported { what: "armed interrupt there: enable the vector first" })
        }
    }
}

impl<M: DeviceModel> Core<M> {
    fn set_mask(&self, kind: IrqKind, vector: u32, masked: bool) -> Result<(), DeviceError> {
        self.lost.check()?;
        self.interrupts.state().check(kind, vector)?;
        match (messages(kind), kind) {
            (Some(messages), _) => {
                self.change(|function, signals| signals.extend(function.mask(messages, vector, masked)));
            }
            (None, IrqKind::IntX) => {
                self.interrupts.state().pin_masked = masked;
                self.interrupts.settle_pin();
            }
            (None, _) => return Err(DeviceError::Unsupported { what: "mask for that interrupt" }),
        }
        Ok(())
    }
}
