//! Interrupts as events.
//!
//! A card tells of errors, of heat and of an accelerator's completion by MSI-X vectors; which ones is in the feature's
//! capability register, or in the parameters of a version 1 header. [`Events`] delivers them to sinks: with an operating
//! system to an [`EventFd`](vfio_hal::irq::EventFd), which can be polled with other files.
//!
//! A thermal event has no vector of its own: a threshold that is reached is an error that is not fatal, and interrupts as
//! such. Whoever waits for it looks at [`Fme::thermal`](crate::Fme::thermal) when woken.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use spin::Mutex;
use vfio_hal::irq::{IrqKind, IrqSink};
use vfio_hal::{Bar, Device};

use crate::AfuError;
use crate::card::block;
use crate::dfl::{Feature, Features, Kind};
use crate::ids;
use crate::regs::fme::error::{FME_ERROR_CAP, FmeErrorBlock};
use crate::regs::port::error::{PORT_ERROR_CAP, PortErrorBlock};
use crate::regs::port::header::{CAP, PortHeader};
use crate::regs::port::uint::{UINT_CAP, UserInterrupts};

/// Something a card interrupts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// An error of the card.
    FmeError,
    /// A temperature threshold is reached; comes as an error of the card.
    Thermal,
    /// An error of a port.
    PortError {
        /// Which port.
        port: u8,
    },
    /// An interrupt of an accelerator.
    User {
        /// Which port.
        port: u8,
        /// Which of the port's user interrupts.
        index: u32,
    },
}

/// The events of a card.
pub struct Events {
    device: Arc<dyn Device>,
    fme_error: Option<u32>,
    /// By port number: the vector of errors, and first vector and number of user interrupts.
    ports: BTreeMap<u8, PortVectors>,
    sinks: Mutex<BTreeMap<u32, Arc<dyn IrqSink>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PortVectors {
    error: Option<u32>,
    user: Option<(u32, u32)>,
}

impl Events {
    pub(crate) fn of(
        device: &Arc<dyn Device>,
        features: &Features,
        bars: &[Option<Bar>; 6],
    ) -> Result<Events, AfuError> {
        let mut ports = BTreeMap::new();
        for (index, feature) in features.ports() {
            let Some(header) = block::<PortHeader>(bars, feature)? else { continue };
            let number = header.read::<CAP>().number() as u8;
            let error = features.private(index, ids::PORT_ERROR);
            let error = vector(error, |feature| {
                Ok(block::<PortErrorBlock>(bars, feature)?.map(|block| {
                    let cap = block.read::<PORT_ERROR_CAP>();
                    (cap.vector() as u32, cap.supported().into())
                }))
            })?;
            let user = features.private(index, ids::PORT_UINT);
            let user = vector(user, |feature| {
                Ok(block::<UserInterrupts>(bars, feature)?.map(|block| {
                    let cap = block.read::<UINT_CAP>();
                    (cap.first_vector() as u32, cap.count() as u32)
                }))
            })?;
            ports.insert(number, PortVectors { error: error.map(|(vector, _)| vector), user });
        }
        let fme = features.fme().and_then(|(index, _)| features.private(index, ids::FME_ERROR));
        let fme_error = vector(fme, |feature| {
            Ok(block::<FmeErrorBlock>(bars, feature)?.map(|block| {
                let cap = block.read::<FME_ERROR_CAP>();
                (cap.vector() as u32, cap.supported().into())
            }))
        })?;
        let bare = features.afus().find(|(_, feature)| feature.parent.is_none());
        if let (true, Some((_, Feature { kind: Kind::Afu, msix: Some(msix), .. }))) = (ports.is_empty(), bare)
        {
            ports.insert(0, PortVectors { error: None, user: Some((msix.start, msix.count)) });
        }
        let fme_error = fme_error.map(|(vector, _)| vector);
        Ok(Events { device: device.clone(), fme_error, ports, sinks: Mutex::default() })
    }

    /// Returns every event that the card can deliver.
    pub fn available(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.fme_error.is_some() {
            events.extend([Event::FmeError, Event::Thermal]);
        }
        for (&port, vectors) in &self.ports {
            events.extend(vectors.error.map(|_| Event::PortError { port }));
            let count = vectors.user.map_or(0, |(_, count)| count);
            events.extend((0..count).map(|index| Event::User { port, index }));
        }
        events
    }

    /// Returns the MSI-X vector of an event.
    pub fn vector(&self, event: Event) -> Result<u32, AfuError> {
        let missing = AfuError::Missing { what: "interrupt for that event" };
        match event {
            Event::FmeError | Event::Thermal => self.fme_error.ok_or(missing),
            Event::PortError { port } => self.ports.get(&port).and_then(|port| port.error).ok_or(missing),
            Event::User { port, index } => {
                let (first, count) = self.ports.get(&port).and_then(|port| port.user).ok_or(missing)?;
                if index >= count {
                    return Err(missing);
                }
                first.checked_add(index).ok_or(missing)
            }
        }
    }

    /// Delivers an event to `sink` from now on, instead of where it went before. Events that share a vector
    /// ([`FmeError`](Event::FmeError) and [`Thermal`](Event::Thermal)) go to the same sink.
    pub fn deliver(&self, event: Event, sink: Arc<dyn IrqSink>) -> Result<(), AfuError> {
        let vector = self.vector(event)?;
        let irqs = self.device.irqs().ok_or(AfuError::Missing { what: "interrupts" })?;
        irqs.enable(IrqKind::MsiX, vector, &[Some(sink.clone())])?;
        self.sinks.lock().insert(vector, sink);
        Ok(())
    }

    /// Stops delivering an event.
    pub fn stop(&self, event: Event) -> Result<(), AfuError> {
        let vector = self.vector(event)?;
        let irqs = self.device.irqs().ok_or(AfuError::Missing { what: "interrupts" })?;
        irqs.enable(IrqKind::MsiX, vector, &[None])?;
        self.sinks.lock().remove(&vector);
        Ok(())
    }

    /// Returns an eventfd that is signalled for the event from now on.
    #[cfg(feature = "std")]
    pub fn subscribe(&self, event: Event) -> Result<Arc<vfio_hal::irq::EventFd>, AfuError> {
        let fd = Arc::new(vfio_hal::irq::EventFd::new()?);
        self.deliver(event, fd.clone())?;
        Ok(fd)
    }
}

/// Returns first vector and number: from the header's parameters, or from the capability register.
fn vector(
    feature: Option<&Feature>,
    capability: impl FnOnce(&Feature) -> Result<Option<(u32, u32)>, AfuError>,
) -> Result<Option<(u32, u32)>, AfuError> {
    let found = match feature {
        None => None,
        Some(Feature { msix: Some(msix), .. }) => Some((msix.start, msix.count)),
        // A version 1 header says it in its parameters or not at all (Linux, `parse_feature_irqs`).
        Some(Feature { version: 1, .. }) => None,
        Some(feature) => capability(feature)?,
    };
    Ok(found.filter(|&(_, count)| count != 0))
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("fme_error", &self.fme_error)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}
