//! The copper PHY, by MDIO clause 22 (82576 datasheet 3.5.2, 8.2.4; IEEE 802.3 clauses 22, 28 and 40).
//!
//! [`Phy`] is the port's PHY: what it advertises, and what came out. Below are `semaphore` and MDIC; above are `link` and
//! `flow_control`.

use pmd_intel::Speeds;
use pmd_intel::pause::Offer;
use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;

use crate::hw::Hw;
use crate::regs::MDIC;
use crate::semaphore::Held;

/// Registers.
mod at {
    /// Control (22.2.4.1).
    pub(super) const CONTROL: u32 = 0;
    /// Status (22.2.4.2).
    pub(super) const STATUS: u32 = 1;
    /// Advertisement (28.2.4.1.3).
    pub(super) const ADVERTISEMENT: u32 = 4;
    /// The partner's ability (28.2.4.1.4).
    pub(super) const PARTNER: u32 = 5;
    /// 1000BASE-T control (40.5.1.1).
    pub(super) const CONTROL_1000: u32 = 9;
}

/// Bits of the control register.
mod control {
    pub(super) const SPEED_100: u16 = 1 << 13;
    pub(super) const NEGOTIATE: u16 = 1 << 12;
    pub(super) const RESTART: u16 = 1 << 9;
    pub(super) const FULL_DUPLEX: u16 = 1 << 8;
    pub(super) const SPEED_1000: u16 = 1 << 6;
}

/// Status: negotiation is complete.
const COMPLETE: u16 = 1 << 5;
/// Status: the link is up. Latches a loss.
const LINK: u16 = 1 << 2;
/// Advertisement: the standard is IEEE 802.3.
const SELECTOR: u16 = 1;

/// Where the PHY sits on its MDIO bus (8.2.4); the I350 does not look at it.
const ADDRESS: u32 = 1;

/// MDIC's commands.
const WRITE: u32 = 1;
const READ: u32 = 2;

/// The port's PHY.
pub(crate) struct Phy<'a>(&'a Hw);

/// What the PHY says of its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiation {
    /// It is over.
    pub complete: bool,
    /// The PHY has a link.
    pub link: bool,
}

impl<'a> Phy<'a> {
    pub(crate) fn new(hw: &'a Hw) -> Phy<'a> {
        Phy(hw)
    }

    /// Advertises `speeds`, full duplex, and pause frames, and starts negotiating.
    pub(crate) fn negotiate(&self, speeds: Speeds, pause: Offer) -> Result<(), PortError> {
        let bit = |speed, bit: u16| if speeds.contains(speed) { 1 << bit } else { 0 };
        let page = SELECTOR | bit(Speeds::MB10, 6) | bit(Speeds::MB100, 8) | pause.page();
        self.write(at::ADVERTISEMENT, page)?;
        self.write(at::CONTROL_1000, bit(Speeds::GB1, 9))?;
        use control::{FULL_DUPLEX, NEGOTIATE, RESTART, SPEED_1000};
        self.write(at::CONTROL, NEGOTIATE | RESTART | FULL_DUPLEX | SPEED_1000)
    }

    /// Forces a speed, full duplex: 10 or 100 Mb/s, for 1000BASE-T cannot do without negotiation (40.5.1).
    pub(crate) fn force(&self, speed: Speeds) -> Result<(), PortError> {
        let speed = if speed.contains(Speeds::MB100) { control::SPEED_100 } else { 0 };
        self.write(at::CONTROL, control::FULL_DUPLEX | speed)
    }

    /// Returns what the PHY says of its link.
    pub(crate) fn negotiation(&self) -> Result<Negotiation, PortError> {
        // The link bit latches a loss: the first read is of the past.
        self.read(at::STATUS)?;
        let status = self.read(at::STATUS)?;
        Ok(Negotiation { complete: status & COMPLETE != 0, link: status & LINK != 0 })
    }

    /// Returns what both sides offered; `None` where they did not negotiate, or have not yet.
    pub(crate) fn offers(&self) -> Result<Option<(Offer, Offer)>, PortError> {
        if self.read(at::CONTROL)? & control::NEGOTIATE == 0 || !self.negotiation()?.complete {
            return Ok(None);
        }
        let (own, partner) = (self.read(at::ADVERTISEMENT)?, self.read(at::PARTNER)?);
        Ok(Some((Offer::of_page(own), Offer::of_page(partner))))
    }

    fn read(&self, register: u32) -> Result<u16, PortError> {
        Ok(self.command(MDIC::default().with_op(READ).with_regadd(register))?.data() as u16)
    }

    fn write(&self, register: u32, value: u16) -> Result<(), PortError> {
        self.command(MDIC::default().with_op(WRITE).with_regadd(register).with_data(value.into()))?;
        Ok(())
    }

    fn command(&self, command: MDIC) -> Result<MDIC, DeviceError> {
        let hw = self.0;
        let _held = Held::take_phy(hw)?;
        hw.regs.write(command.with_phyadd(ADDRESS));
        // 64 bits at 2.5 MHz take 26 µs; Linux allows 10 ms.
        let mdic =
            hw.poll("MDIO command (MDIC.READY)", 10).register(hw.regs.single(), |mdic: MDIC| mdic.ready())?;
        if mdic.error() {
            return Err(DeviceError::Unsupported { what: "copper PHY that answers on its MDIO bus" });
        }
        Ok(mdic)
    }
}
