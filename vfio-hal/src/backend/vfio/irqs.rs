//! A device's interrupts, tied to eventfds by the kernel.
//!
//! vfio-pci masks and unmasks the pin only; a driver masks message interrupts in the device. Which vectors may be added
//! while others are enabled is the kernel's choice ([`IrqInfo::no_resize`]): where it is none, all vectors are allocated
//! with the first, so that each can be enabled and disabled without disturbing the others.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::core::Core;
use super::sys::{self, IrqAction};
use crate::device::DeviceError;
use crate::irq::{EventFd, IrqInfo, IrqKind, IrqSink, Irqs};

pub(super) struct Interrupts {
    core: Arc<Core>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By kind: which vectors have an eventfd.
    armed: [Vec<bool>; 5],
    /// By kind: how many vectors the kernel has allocated.
    allocated: [u32; 5],
}

/// The most vectors allocated ahead, of devices with 2,048.
const AHEAD: u32 = 64;

fn index(kind: IrqKind) -> u32 {
    match kind {
        IrqKind::IntX => abi::VFIO_PCI_INTX_IRQ_INDEX,
        IrqKind::Msi => abi::VFIO_PCI_MSI_IRQ_INDEX,
        IrqKind::MsiX => abi::VFIO_PCI_MSIX_IRQ_INDEX,
        IrqKind::Error => abi::VFIO_PCI_ERR_IRQ_INDEX,
        IrqKind::Request => abi::VFIO_PCI_REQ_IRQ_INDEX,
    }
}

fn name(kind: IrqKind) -> &'static str {
    match kind {
        IrqKind::IntX => "INTx pin",
        IrqKind::Msi => "MSI vector",
        IrqKind::MsiX => "MSI-X vector",
        IrqKind::Error => "error interrupt",
        IrqKind::Request => "request interrupt",
    }
}

/// The three ways to interrupt, of which a device uses one at a time.
const WAYS: [IrqKind; 3] = [IrqKind::IntX, IrqKind::Msi, IrqKind::MsiX];

impl Interrupts {
    pub(super) fn new(core: Arc<Core>) -> Interrupts {
        Interrupts { core, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, kind: IrqKind, vector: u32) -> Result<IrqInfo, DeviceError> {
        self.core.lost.check()?;
        let info = self.info(kind);
        if info.count == 0 {
            return Err(DeviceError::Unsupported { what: name(kind) });
        }
        if vector >= info.count {
            let (index, count) = (vector as usize, info.count as usize);
            return Err(DeviceError::RegisterIndex { register: name(kind), index, count });
        }
        Ok(info)
    }

    fn now(&self, kind: IrqKind, vector: u32, action: IrqAction) -> Result<(), DeviceError> {
        self.check(kind, vector)?;
        sys::irqs_now(self.core.fd(), index(kind), vector, 1, action).map_err(|error| match (error, action) {
            (Errno::NOTTY, _) => DeviceError::Unsupported {
                what: "mask for that interrupt in the kernel: mask it in the device",
            },
            (Errno::INVAL, _) => {
                DeviceError::Unsupported { what: "armed interrupt there: enable the vector first" }
            }
            (error, _) => self.core.error("VFIO_DEVICE_SET_IRQS", error),
        })
    }

    /// Lets `eventfd` unmask the pin when it is signalled (a resample eventfd), or nothing any more.
    pub(super) fn unmask_by(&self, eventfd: Option<&EventFd>) -> Result<(), DeviceError> {
        self.check(IrqKind::IntX, 0)?;
        let file = eventfd.map(std::os::fd::AsFd::as_fd);
        sys::irqs_by_eventfd(self.core.fd(), index(IrqKind::IntX), 0, &[file], IrqAction::Unmask).map_err(
            |error| match error {
                Errno::INVAL => DeviceError::Unsupported { what: "enabled INTx pin: enable it first" },
                error => self.core.error("VFIO_DEVICE_SET_IRQS", error),
            },
        )
    }

    /// Ties vectors to files, allocating more than asked for the first time where that is the only chance.
    fn tie(
        &self,
        kind: IrqKind,
        first: u32,
        files: &[Option<BorrowedFd<'_>>],
        state: &mut State,
    ) -> Result<(), DeviceError> {
        let (info, place) = (self.info(kind), index(kind) as usize);
        let end = first + files.len() as u32;
        let tie = |start: u32, files: &[Option<BorrowedFd<'_>>]| {
            sys::irqs_by_eventfd(self.core.fd(), index(kind), start, files, IrqAction::Trigger)
        };
        if info.no_resize && state.allocated[place] == 0 {
            let all = info.count.min(AHEAD).max(end);
            let mut padded = vec![None; all as usize];
            padded[first as usize..end as usize].copy_from_slice(files);
            if tie(0, &padded).is_ok() {
                state.allocated[place] = all;
                return Ok(());
            }
        } else if info.no_resize && end > state.allocated[place] {
            return Err(DeviceError::Unsupported {
                what: "way to add vectors while others are enabled: disable them all first",
            });
        }
        tie(first, files).map_err(|error| match error {
            Errno::NOSPC | Errno::BUSY | Errno::NOMEM => {
                DeviceError::Unsupported { what: "that many interrupt vectors left in this system" }
            }
            error => self.core.error("VFIO_DEVICE_SET_IRQS", error),
        })?;
        state.allocated[place] = state.allocated[place].max(end);
        Ok(())
    }
}

impl Irqs for Interrupts {
    fn info(&self, kind: IrqKind) -> IrqInfo {
        if index(kind) >= self.core.info.irqs {
            return IrqInfo::default();
        }
        // An index that this device lacks is an error to some drivers, and none to others.
        let (flags, count) = sys::irq_info(self.core.fd(), index(kind)).unwrap_or_default();
        IrqInfo {
            count,
            eventfd: flags & abi::VFIO_IRQ_INFO_EVENTFD != 0,
            maskable: flags & abi::VFIO_IRQ_INFO_MASKABLE != 0,
            automasked: flags & abi::VFIO_IRQ_INFO_AUTOMASKED != 0,
            no_resize: flags & abi::VFIO_IRQ_INFO_NORESIZE != 0,
        }
    }

    fn enable(
        &self,
        kind: IrqKind,
        first: u32,
        sinks: &[Option<Arc<dyn IrqSink>>],
    ) -> Result<(), DeviceError> {
        let Some(last) = sinks.len().checked_sub(1) else { return Ok(()) };
        let last = u32::try_from(last).unwrap_or(u32::MAX).saturating_add(first);
        let info = self.check(kind, last)?;
        let mut files = Vec::with_capacity(sinks.len());
        for sink in sinks {
            files.push(match sink {
                Some(sink) => Some(sink.as_fd().ok_or(DeviceError::Unsupported {
                    what: "way to call such a sink from the kernel: use an EventFd",
                })?),
                None => None,
            });
        }
        let mut state = self.state();
        let place = index(kind) as usize;
        let other = WAYS.iter().find(|&&way| way != kind && state.allocated[index(way) as usize] > 0);
        if WAYS.contains(&kind) && other.is_some() {
            return Err(DeviceError::Unsupported {
                what: "way to use INTx, MSI and MSI-X at once: disable one before another is enabled",
            });
        }
        if files.iter().all(Option::is_none) && state.allocated[place] == 0 {
            return Ok(());
        }
        self.tie(kind, first, &files, &mut state)?;
        let armed = &mut state.armed[place];
        armed.resize(info.count as usize, false);
        for (armed, file) in armed.iter_mut().skip(first as usize).zip(&files) {
            *armed = file.is_some();
        }
        Ok(())
    }

    fn disable(&self, kind: IrqKind) -> Result<(), DeviceError> {
        let mut state = self.state();
        let place = index(kind) as usize;
        if state.allocated[place] == 0 {
            return Ok(());
        }
        sys::irqs_now(self.core.fd(), index(kind), 0, 0, IrqAction::Trigger)
            .map_err(|error| self.core.error("VFIO_DEVICE_SET_IRQS", error))?;
        state.allocated[place] = 0;
        state.armed[place].clear();
        Ok(())
    }

    fn mask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.now(kind, vector, IrqAction::Mask)
    }

    fn unmask(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.now(kind, vector, IrqAction::Unmask)
    }

    fn trigger(&self, kind: IrqKind, vector: u32) -> Result<(), DeviceError> {
        self.check(kind, vector)?;
        let armed = self.state().armed[index(kind) as usize].get(vector as usize).copied();
        if armed != Some(true) {
            // The kernel would say nothing and do nothing.
            return Err(DeviceError::Unsupported { what: "armed interrupt there: enable the vector first" });
        }
        self.now(kind, vector, IrqAction::Trigger)
    }
}
