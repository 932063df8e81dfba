//! An accelerator that is open.
//!
//! - [`Afu`] is the right to use one, alone or with others ([`Sharing`]). Its registers are reached through it, and not
//!   while its port is in reset: an access then would raise a port error, so it is refused before it happens.
//! - [`Registers`] is the same with typed registers, for drivers of accelerators.
//!
//! When the last handle of an accelerator is dropped, its port is reset, so that it makes no access to memory of whoever
//! had it.

use alloc::sync::Arc;
use core::ops::Deref;

use vfio_hal::bar::Width;
use vfio_hal::dma::{IovaSpace, Quiesced};
use vfio_hal::regs::{Block, RegisterMap};
use vfio_hal::{Bar, DeviceError};

use crate::AfuError;
use crate::card::Card;
use crate::dfl::Place;
use crate::events::Event;
use crate::gate::Pass;
use crate::guid::Uuid;
use crate::port::{Port, Slot};
use crate::properties::Properties;

/// Whether others may have the accelerator open at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Nobody else.
    Exclusive,
    /// Everybody who opens it shared too.
    Shared,
}

/// An accelerator that is open.
#[derive(Debug)]
pub struct Afu {
    card: Card,
    slot: Arc<Slot>,
    bar: Bar,
    place: Place,
    guid: Uuid,
    size: u64,
}

impl Afu {
    pub(crate) fn open(card: &Card, properties: &Properties, sharing: Sharing) -> Result<Afu, AfuError> {
        card.lost().check()?;
        let features = card.features();
        let feature = features.afus().find(|(_, feature)| feature.registers == Some(properties.place));
        let slot =
            feature.and_then(|(_, feature)| card.slot_of(&features, feature)).ok_or(AfuError::NoMatch)?;
        let guid = properties.guid.ok_or(AfuError::InReset { port: slot.number() })?;
        let bar = card.bar(properties.place.bar)?.clone();
        // Refused while the port is held in reset.
        drop(slot.gate.enter()?);
        slot.join(sharing)?;
        Ok(Afu { card: card.clone(), slot, bar, place: properties.place, guid, size: properties.mmio_size })
    }

    /// Returns its GUID.
    pub fn guid(&self) -> Uuid {
        self.guid
    }

    /// Returns its card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Returns its port; `None` where it is a function of its own.
    pub fn port(&self) -> Option<Port> {
        self.slot.is_port().then(|| Port { card: self.card.clone(), slot: self.slot.clone() })
    }

    /// Returns how many bytes of registers it has.
    pub fn mmio_size(&self) -> u64 {
        self.size
    }

    /// Returns the event of one of its interrupts.
    pub fn interrupt(&self, index: u32) -> Event {
        Event::User { port: self.slot.number(), index }
    }

    /// Returns how many interrupts it has.
    pub fn interrupts(&self) -> u32 {
        self.slot.user_interrupts().map_or(0, |(_, count)| count)
    }

    /// Resets its port, or without one the function. Its DMA has stopped; the answer proves it.
    pub fn reset(&self) -> Result<Quiesced, AfuError> {
        self.slot.reset(&**self.card.clock())
    }

    /// Returns whether it cannot be used now, because its port is in reset.
    pub fn is_in_reset(&self) -> bool {
        self.slot.gate.is_shut()
    }

    fn access(&self, offset: u64, width: Width) -> Result<(Pass<'_>, u64), AfuError> {
        if offset.checked_add(width.bytes()).is_none_or(|end| end > self.size) {
            let out = DeviceError::OutOfBar { index: self.place.bar, offset, width: width as u8 };
            return Err(out.into());
        }
        // The size was cut to the BAR's, so the sum exists.
        Ok((self.slot.gate.enter()?, self.place.offset + offset))
    }

    fn read(&self, offset: u64, width: Width) -> Result<u64, AfuError> {
        let (_pass, at) = self.access(offset, width)?;
        let value = self.bar.read(at, width)?;
        self.card.lost().check()?;
        Ok(value)
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Result<(), AfuError> {
        let (_pass, at) = self.access(offset, width)?;
        self.bar.write(at, width, value)?;
        Ok(self.card.lost().check()?)
    }

    /// Reads the 32-bit register `offset` bytes into the accelerator.
    pub fn read32(&self, offset: u64) -> Result<u32, AfuError> {
        Ok(self.read(offset, Width::W32)? as u32)
    }

    /// Reads the 64-bit register `offset` bytes into the accelerator.
    pub fn read64(&self, offset: u64) -> Result<u64, AfuError> {
        self.read(offset, Width::W64)
    }

    /// Writes the 32-bit register `offset` bytes into the accelerator.
    ///
    /// A number that the accelerator takes for an address lets it access what is mapped for the device there, and nothing
    /// else where there is an IOMMU.
    pub fn write32(&self, offset: u64, value: u32) -> Result<(), AfuError> {
        self.write(offset, Width::W32, value.into())
    }

    /// Writes the 64-bit register `offset` bytes into the accelerator; see [`write32`](Self::write32).
    pub fn write64(&self, offset: u64, value: u64) -> Result<(), AfuError> {
        self.write(offset, Width::W64, value)
    }

    /// Returns typed registers at the start of the accelerator, bound to `space` where they take addresses.
    pub fn registers<M: RegisterMap>(&self, space: Option<&IovaSpace>) -> Result<Registers<M>, AfuError> {
        if M::SPAN > self.size {
            let (index, len) = (self.place.bar, self.size);
            return Err(DeviceError::BarTooSmall { index, len, need: M::SPAN }.into());
        }
        let mut block = Block::at_offset(self.bar.clone(), self.place.offset)?;
        if let Some(space) = space {
            block.bind(space.id())?;
        }
        Ok(Registers { slot: self.slot.clone(), block })
    }
}

impl Drop for Afu {
    fn drop(&mut self) {
        // An accelerator without a port is not worth the reset of a whole function that others may use.
        if self.slot.leave() && self.slot.is_port() && !self.slot.gate.is_shut() {
            let reset = self.slot.reset(&**self.card.clock());
            if reset.is_err() && !self.card.lost().is_lost() {
                log::warn!("port {} was not reset when its accelerator was closed", self.slot.number());
            }
        }
    }
}

/// Typed registers of an accelerator, behind the gate of its port.
pub struct Registers<M> {
    slot: Arc<Slot>,
    block: Block<M>,
}

impl<M: RegisterMap> Registers<M> {
    /// Returns the registers for a few accesses. While the answer lives the port is not reset, so it is not to be kept over
    /// a wait.
    ///
    /// # Errors
    /// [`AfuError::InReset`] while the port is in reset.
    pub fn enter(&mut self) -> Result<Entered<'_, M>, AfuError> {
        Ok(Entered { _pass: self.slot.gate.enter()?, block: &mut self.block })
    }

    /// Returns the latch of the device.
    pub fn lost(&self) -> &vfio_hal::Lost {
        self.block.lost()
    }
}

/// Registers that may be accessed.
pub struct Entered<'a, M> {
    _pass: Pass<'a>,
    block: &'a mut Block<M>,
}

impl<M> Deref for Entered<'_, M> {
    type Target = Block<M>;

    fn deref(&self) -> &Block<M> {
        self.block
    }
}

impl<M> core::ops::DerefMut for Entered<'_, M> {
    fn deref_mut(&mut self) -> &mut Block<M> {
        self.block
    }
}

impl<M: RegisterMap> core::fmt::Debug for Registers<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Registers").field(&self.block).finish()
    }
}

impl<M: RegisterMap> core::fmt::Debug for Entered<'_, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Entered").field(&self.block).finish()
    }
}
