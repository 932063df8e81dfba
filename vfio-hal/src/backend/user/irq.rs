//! The device's interrupts: eventfds that the server signals.
//!
//! Key type: [`Armed`]. It keeps what was armed and masked, so that a new connection can be told again.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use vfio_user_kit::client::{Client, ClientError, IrqAction};
use vfio_user_kit::proto::wire::{self, IRQ_AUTOMASKED, IRQ_EVENTFD, IRQ_MASKABLE, IRQ_NORESIZE};

use super::memory::lock;
use super::{Core, UserDevice};
use crate::device::DeviceError;
use crate::irq::{IrqInfo, IrqKind, IrqSink, Irqs};

type Sink = Option<Arc<dyn IrqSink>>;

const KINDS: usize = wire::PCI_IRQS as usize;

/// What is armed and masked, by kind and vector.
#[derive(Default)]
pub(super) struct Armed(Mutex<Vectors>);

type Vectors = [Vec<Vector>; KINDS];

#[derive(Clone, Default)]
struct Vector {
    sink: Sink,
    masked: bool,
}

impl Armed {
    fn get(&self) -> Vectors {
        lock(&self.0).clone()
    }

    fn set(&self, vectors: Vectors) {
        *lock(&self.0) = vectors;
    }

    fn arm(&self, kind: IrqKind, first: u32, sinks: &[Sink]) {
        let mut all = lock(&self.0);
        let vectors = &mut all[kind as usize];
        let end = first as usize + sinks.len();
        if vectors.len() < end {
            vectors.resize(end, Vector::default());
        }
        for (vector, sink) in vectors[first as usize..end].iter_mut().zip(sinks) {
            // Arming unmasks.
            *vector = Vector { sink: sink.clone(), masked: false };
        }
    }

    fn mask(&self, kind: IrqKind, vector: u32, masked: bool) {
        if let Some(vector) = lock(&self.0)[kind as usize].get_mut(vector as usize) {
            vector.masked = masked;
        }
    }

    fn disarm(&self, kind: IrqKind) {
        lock(&self.0)[kind as usize].clear();
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        lock(&self.0).iter_mut().for_each(Vec::clear);
    }

    /// Tells a new server of everything.
    pub(super) fn tell(&self, client: &Client) -> Result<(), ClientError> {
        let all = self.get();
        for (index, vectors) in (0..).zip(&all) {
            let sinks: Vec<_> = vectors.iter().map(|vector| vector.sink.as_ref().and_then(fd)).collect();
            if sinks.iter().all(Option::is_none) {
                continue;
            }
            client.irq_eventfds(index, 0, &sinks)?;
            for (number, _) in (0..).zip(vectors).filter(|(_, vector)| vector.masked) {
                client.irq_act(IrqAction::Mask, index, number, 1)?;
            }
        }
        Ok(())
    }
}

fn fd(sink: &Arc<dyn IrqSink>) -> Option<BorrowedFd<'_>> {
    sink.as_fd()
}

impl Irqs for UserDevice {
    fn info(&self, kind: IrqKind) -> IrqInfo {
        let wire::IrqInfo { flags, count, .. } = self.core.description().irqs[kind as usize];
        IrqInfo {
            count,
            eventfd: flags & IRQ_EVENTFD != 0,
            maskable: flags & IRQ_MASKABLE != 0,
            automasked: flags & IRQ_AUTOMASKED != 0,
            no_resize: flags & IRQ_NORESIZE != 0,
        }
    }

    fn enable(&self, kind: IrqKind, first: u32, sinks: &[Sink]) -> Result<(), DeviceError> {
        let Some(last) = sinks.len().checked_sub(1) else { return Ok(()) };
        self.core.check_vector(kind, u32::try_from(last).unwrap_or(u32::MAX).saturating_add(first))?;
        if sinks.iter().flatten().any(|sink| sink.as_fd().is_none()) {
            return Err(DeviceError::Unsupported {
                what: "way to another process but an eventfd: give it interrupt sinks that have one",
            });
        }
        let fds: Vec<_> = sinks.iter().map(|sink| sink.as_ref().and_then(fd)).collect();
        // Kept first: a connection that is made anew in between is told of them, and then hears it once more.
        let before = self.core.armed.get();
        self.core.armed.arm(kind, first, sinks);
        let result = self.core.link.ask(|client| client.irq_eventfds(kind as u32, first, &fds));
        Ok(result.inspect_err(|_| self.core.armed.set(before))?)
    }

    fn disable(&self, kind: IrqKind) -> Result<(), DeviceError> {
        self.core.armed.disarm(kind);
        Ok(self.core.link.ask(|client| client.irq_disable(kind as u32))?)
    }

    fn mask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.core.set_mask(kind, vector, true)
    }

    fn unmask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.core.set_mask(kind, vector, false)
    }

    fn trigger(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.core.check_vector(kind, vector)?;
        Ok(self.core.link.ask(|client| client.irq_act(IrqAction::Trigger, kind as u32, vector, 1))?)
    }
}

impl Core {
    fn set_mask(&self, kind: IrqKind, vector: u32, masked: bool) -> Result<(), DeviceError> {
        self.check_vector(kind, vector)?;
        if self.description().irqs[kind as usize].flags & IRQ_MASKABLE == 0 {
            return Err(DeviceError::Unsupported { what: "mask for that interrupt" });
        }
        let action = if masked { IrqAction::Mask } else { IrqAction::Unmask };
        self.armed.mask(kind, vector, masked);
        Ok(self.link.ask(|client| client.irq_act(action, kind as u32, vector, 1))?)
    }

    fn check_vector(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        let (index, count) = (vector as usize, self.description().irqs[kind as usize].count as usize);
        let register = match kind {
            IrqKind::IntX => "INTx pin",
            IrqKind::Msi => "MSI vector",
            IrqKind::MsiX => "MSI-X vector",
            IrqKind::Error => "error interrupt",
            IrqKind::Request => "request interrupt",
        };
        match count {
            0 => Err(DeviceError::Unsupported { what: register }),
            _ if index >= count => Err(DeviceError::RegisterIndex { register, index, count }),
            _ => Ok(()),
        }
    }
}
