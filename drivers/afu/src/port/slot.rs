//! What all handles of one port share: its registers, who has it open, and its way through reset.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use spin::Mutex;
use vfio_hal::dma::Quiesced;
use vfio_hal::poll::{self, Poll};
use vfio_hal::regs::Block;
use vfio_hal::{Bar, Clock, Device};

use super::userclk::ClockBlock;
use crate::AfuError;
use crate::afu::Sharing;
use crate::card::block;
use crate::dfl::{Feature, Features, Place};
use crate::gate::Gate;
use crate::ids;
use crate::regs::port::error::PortErrorBlock;
use crate::regs::port::header::{CAP, CTRL, PortHeader};
use crate::regs::port::uint::{UINT_CAP, UserInterrupts};

/// How long each acknowledgement of a reset may take. Linux waits 1 ms; a device at the other end of a socket is slower.
const RESET_LIMIT: Duration = Duration::from_millis(100);

/// One port, or one function that is an accelerator without a port.
pub(crate) struct Slot {
    number: u8,
    place: Place,
    device: Arc<dyn Device>,
    port: Option<Mutex<Blocks>>,
    /// First MSI-X vector and number of the user interrupts.
    user_interrupts: Option<(u32, u32)>,
    pub(crate) gate: Gate,
    users: Mutex<Users>,
}

/// The registers of a port.
pub(crate) struct Blocks {
    pub(crate) revision: u8,
    pub(crate) header: Block<PortHeader>,
    pub(crate) errors: Option<(u8, Block<PortErrorBlock>)>,
    pub(crate) clock: Option<ClockBlock>,
    held: bool,
}

#[derive(Debug, Default)]
struct Users {
    count: u32,
    exclusive: bool,
}

impl Slot {
    /// Makes the slots of all ports, and of accelerators that have none.
    pub(crate) fn of_all(
        device: &Arc<dyn Device>,
        features: &Features,
        bars: &[Option<Bar>; 6],
    ) -> Result<Vec<Arc<Slot>>, AfuError> {
        let mut slots = Vec::new();
        for (index, feature) in features.ports() {
            slots.push(Arc::new(Slot::of_port(device, features, index, feature, bars)?));
        }
        for (_, feature) in features.afus() {
            let port = feature.parent.and_then(|parent| features.all().get(parent));
            if port.is_none() {
                slots.push(Arc::new(Slot {
                    number: u8::try_from(slots.len()).unwrap_or(u8::MAX),
                    place: feature.header,
                    device: device.clone(),
                    port: None,
                    user_interrupts: feature.msix.map(|msix| (msix.start, msix.count)),
                    gate: Gate::new(0, false),
                    users: Mutex::default(),
                }));
            }
        }
        Ok(slots)
    }

    fn of_port(
        device: &Arc<dyn Device>,
        features: &Features,
        index: usize,
        feature: &Feature,
        bars: &[Option<Bar>; 6],
    ) -> Result<Slot, AfuError> {
        let missing = AfuError::Missing { what: "port registers at an address of this BAR" };
        let header = block::<PortHeader>(bars, feature)?.ok_or(missing)?;
        let number = header.read::<CAP>().number() as u8;
        let ctrl = header.read::<CTRL>();
        let private = |id| features.private(index, id);
        let errors = match private(ids::PORT_ERROR) {
            Some(feature) => block(bars, feature)?.map(|block| (feature.revision, block)),
            None => None,
        };
        let clock = ClockBlock::of(&header, feature, private(ids::PORT_USERCLK), bars)?;
        let user_interrupts = match private(ids::PORT_UINT) {
            Some(Feature { msix: Some(msix), .. }) => Some((msix.start, msix.count)),
            Some(feature) => block::<UserInterrupts>(bars, feature)?.map(|block| {
                let cap = block.read::<UINT_CAP>();
                (cap.first_vector() as u32, cap.count() as u32)
            }),
            None => None,
        };
        device.lost().check()?;
        Ok(Slot {
            number,
            place: feature.header,
            device: device.clone(),
            port: Some(Mutex::new(Blocks { revision: feature.revision, header, errors, clock, held: false })),
            user_interrupts,
            gate: Gate::new(number, ctrl.sftrst() || ctrl.sftrst_ack()),
            users: Mutex::default(),
        })
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn is_port(&self) -> bool {
        self.port.is_some()
    }

    /// Returns whether it is the slot of the accelerator at `afu`, whose port's header is at `port`.
    pub(crate) fn holds(&self, port: Option<Place>, afu: Place) -> bool {
        self.place == port.unwrap_or(afu)
    }

    pub(crate) fn user_interrupts(&self) -> Option<(u32, u32)> {
        self.user_interrupts
    }

    pub(crate) fn mmio_size(&self) -> Option<u64> {
        let size = self.port.as_ref()?.lock().header.read::<CAP>().mmio_size() << 10;
        (size != 0).then_some(size)
    }

    /// Does something with the port's registers.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Blocks) -> T) -> Result<T, AfuError> {
        let port =
            self.port.as_ref().ok_or(AfuError::Missing { what: "port: the function is the accelerator" })?;
        Ok(f(&mut port.lock()))
    }

    pub(crate) fn users(&self) -> u32 {
        self.users.lock().count
    }

    /// Notes one more who has it open.
    pub(crate) fn join(&self, sharing: Sharing) -> Result<(), AfuError> {
        let mut users = self.users.lock();
        if users.exclusive || (sharing == Sharing::Exclusive && users.count != 0) {
            return Err(AfuError::InUse { port: self.number, users: users.count });
        }
        users.count += 1;
        users.exclusive = sharing == Sharing::Exclusive;
        Ok(())
    }

    /// Notes one less; returns whether nobody is left.
    pub(crate) fn leave(&self) -> bool {
        let mut users = self.users.lock();
        users.count = users.count.saturating_sub(1);
        users.exclusive = false;
        users.count == 0
    }

    /// Puts the port into reset, and waits until all that its accelerator had requested is done.
    pub(crate) fn hold(&self, clock: &dyn Clock) -> Result<Quiesced, AfuError> {
        let in_reset = AfuError::InReset { port: self.number };
        self.with(|port| {
            if port.held {
                return Err(in_reset);
            }
            // From here on the gate stays shut, until a release is acknowledged.
            self.gate.shut(clock)?;
            port.header.modify(|ctrl: CTRL| ctrl.with_sftrst(true));
            let quiesced = poll::quiesced(clock, RESET_LIMIT, port.header.single::<CTRL>())?;
            port.held = true;
            Ok(quiesced)
        })?
    }

    /// Takes the port out of reset, and waits for the acknowledgement.
    pub(crate) fn release(&self, clock: &dyn Clock) -> Result<(), AfuError> {
        self.with(|port| {
            port.held = false;
            port.header.modify(|ctrl: CTRL| ctrl.with_sftrst(false));
            Poll::new(clock, "port reset: released", RESET_LIMIT)
                .register(port.header.single(), |ctrl: CTRL| !ctrl.sftrst() && !ctrl.sftrst_ack())?;
            self.gate.open();
            Ok(())
        })?
    }

    /// Releases a port that is in reset since power-on or a reset of the function; nothing for an accelerator without one.
    pub(crate) fn release_at_start(&self, clock: &dyn Clock) -> Result<(), AfuError> {
        if self.port.is_none() {
            self.gate.open();
            return Ok(());
        }
        if self.gate.is_shut() { self.release(clock) } else { Ok(()) }
    }

    /// Resets port and accelerator; of an accelerator without a port, the function.
    pub(crate) fn reset(&self, clock: &dyn Clock) -> Result<Quiesced, AfuError> {
        if self.port.is_some() {
            let quiesced = self.hold(clock)?;
            self.release(clock)?;
            return Ok(quiesced);
        }
        self.gate.shut(clock)?;
        let quiesced = poll::reset(&*self.device);
        self.gate.open();
        Ok(quiesced?)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("number", &self.number)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
