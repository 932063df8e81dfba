//! A port: where an accelerator sits, and what resets it.
//!
//! - [`Port`] is a handle of one: what it is, its power state, [reset](Port::reset), [errors](Port::errors),
//!   [user clock](Port::user_clock).
//! - [`Held`] is a port that is held in reset. Its accelerator's registers cannot be reached meanwhile.
//! - `Slot` is what the handles of one port share; an accelerator without a port (a virtual function of its own) has one
//!   too, whose reset is that of the function.
//!
//! [`Afu`](crate::Afu) is the accelerator in a port.

mod errors;
mod held;
mod slot;
mod userclk;

use alloc::sync::Arc;

use vfio_hal::dma::Quiesced;

use crate::AfuError;
use crate::card::Card;
use crate::regs::port::header::{CAP, CTRL, STS};

pub use errors::PortErrors;
pub use held::Held;
pub(crate) use slot::Slot;
pub use userclk::{Frequencies, UserClock};

/// One port of a card.
#[derive(Clone, Debug)]
pub struct Port {
    pub(crate) card: Card,
    pub(crate) slot: Arc<Slot>,
}

/// What a port says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its number.
    pub number: u8,
    /// Revision of its header.
    pub revision: u8,
    /// Bytes of the accelerator's registers.
    pub mmio_size: u64,
    /// Interrupts it supports.
    pub interrupts: u8,
    /// User interrupts, and the MSI-X vector of the first.
    pub user_interrupts: Option<(u32, u32)>,
    /// It reports latency tolerance.
    pub ltr: bool,
    /// It is in reset.
    pub in_reset: bool,
    /// How far it is throttled.
    pub power: PowerState,
    /// It was throttled by 50 % (AP1) since the event was cleared.
    pub ap1_event: bool,
    /// It was throttled by 90 % (AP2) since the event was cleared.
    pub ap2_event: bool,
}

/// How far a port is throttled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// Not at all.
    Normal,
    /// By 50 %.
    Ap1,
    /// By 90 %.
    Ap2,
    /// It is stopped.
    Ap6,
    /// A state that is not defined.
    Unknown(u8),
}

impl PowerState {
    fn of(state: u64) -> PowerState {
        match state {
            0 => PowerState::Normal,
            1 => PowerState::Ap1,
            2 => PowerState::Ap2,
            6 => PowerState::Ap6,
            // Four bits.
            other => PowerState::Unknown(other as u8),
        }
    }
}

impl core::fmt::Display for PowerState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PowerState::Normal => f.write_str("normal"),
            PowerState::Ap1 => f.write_str("AP1 (50 % throttled)"),
            PowerState::Ap2 => f.write_str("AP2 (90 % throttled)"),
            PowerState::Ap6 => f.write_str("AP6 (stopped)"),
            PowerState::Unknown(state) => write!(f, "unknown ({state})"),
        }
    }
}

impl Port {
    /// Returns its number.
    pub fn number(&self) -> u8 {
        self.slot.number()
    }

    /// Returns the card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Returns what it says of itself.
    pub fn info(&self) -> Result<PortInfo, AfuError> {
        let info = self.slot.with(|port| {
            let (cap, ctrl, sts) =
                (port.header.read::<CAP>(), port.header.read::<CTRL>(), port.header.read::<STS>());
            PortInfo {
                number: self.slot.number(),
                revision: port.revision,
                mmio_size: cap.mmio_size() << 10,
                interrupts: cap.interrupts() as u8,
                user_interrupts: self.slot.user_interrupts().map(|(first, count)| (count, first)),
                ltr: ctrl.ltr(),
                in_reset: ctrl.sftrst() || ctrl.sftrst_ack(),
                power: PowerState::of(sts.power_state()),
                ap1_event: sts.ap1_event(),
                ap2_event: sts.ap2_event(),
            }
        })?;
        self.card.lost().check()?;
        Ok(info)
    }

    /// Clears the events of throttling that are set.
    pub fn clear_power_events(&self) -> Result<(), AfuError> {
        self.slot.with(|port| {
            port.header.write(STS::default().with_ap1_event(true).with_ap2_event(true));
        })?;
        Ok(self.card.lost().check()?)
    }

    /// Reports a latency tolerance of 40 µs and more, or less.
    pub fn set_ltr(&self, ltr: bool) -> Result<(), AfuError> {
        self.slot.with(|port| port.header.modify(|ctrl: CTRL| ctrl.with_ltr(ltr)))?;
        Ok(self.card.lost().check()?)
    }

    /// Resets the port and its accelerator, and waits for both acknowledgements. The accelerator's DMA has stopped; the
    /// answer proves it.
    ///
    /// # Errors
    /// [`Timeout`](vfio_hal::DeviceError::Timeout) if the port does not acknowledge; its accelerator cannot be used until
    /// a later reset succeeds. [`AfuError::Busy`] if accesses to the accelerator do not end.
    pub fn reset(&self) -> Result<Quiesced, AfuError> {
        self.slot.reset(&*self.card.0.clock)
    }

    /// Puts the port into reset and leaves it there.
    pub fn hold(&self) -> Result<Held, AfuError> {
        let quiesced = self.slot.hold(&*self.card.0.clock)?;
        Ok(Held::new(self.clone(), quiesced))
    }

    /// Returns whether its accelerator cannot be used now.
    pub fn is_in_reset(&self) -> bool {
        self.slot.gate.is_shut()
    }
}
