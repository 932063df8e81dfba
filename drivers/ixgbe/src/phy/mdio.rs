//! The copper PHY's registers, by MDIO clause 45 (82599 datasheet 8.2.3.22.11; IEEE 802.3 clause 45).
//!
//! [`Phy`] is the PHY of an X540 or X550 at the address it was found at: what it can do, what it advertises, and what
//! it has negotiated. Written from the same facts as the rest and tried by nobody yet. Below are `semaphore` and
//! MSCA; above is `link`.

use vfio_hal::DeviceError;
use vfio_hal::pmd::PortError;

use crate::hw::{Chip, Hw};
use crate::link::Speeds;
use crate::regs::{MSCA, MSRWD};
use crate::semaphore::{Held, Resource};

/// A register: the MMD (clause 45's device) and the number in it.
type Place = (u32, u32);

/// PMA/PMD identifier, its upper half (1.2).
const IDENTIFIER: Place = (1, 2);
/// What the PMA/PMD can do (1.4).
const SPEED_ABILITY: Place = (1, 4);
/// Auto-negotiation control (7.0).
const AN_CONTROL: Place = (7, 0);
/// Auto-negotiation status (7.1).
const AN_STATUS: Place = (7, 1);
/// Auto-negotiation advertisement (7.16).
const AN_ADVERTISEMENT: Place = (7, 0x10);
/// 10GBASE-T control (7.32).
const AN_10G: Place = (7, 0x20);
/// What else is advertised: the vendor's register (7.C400h).
const AN_VENDOR: Place = (7, 0xc400);
/// The result: the vendor's register (7.C800h).
const AN_RESULT: Place = (7, 0xc800);

/// A copper PHY.
pub(crate) struct Phy<'a> {
    hw: &'a Hw,
    address: u32,
}

/// What a copper PHY's auto-negotiation has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiation {
    /// It is over.
    pub complete: bool,
    /// The PHY has a link.
    pub link: bool,
    /// In Mbit/s, 0 without a link.
    pub speed_mbps: u32,
    /// Both ways at once.
    pub full_duplex: bool,
}

impl<'a> Phy<'a> {
    /// Looks for the PHY at all 32 addresses.
    pub(crate) fn find(hw: &'a Hw) -> Result<Phy<'a>, PortError> {
        for address in 0..32 {
            let phy = Phy { hw, address };
            // Nobody drives the bus where nobody is: all ones, or all zeros on boards that pull it down.
            if !matches!(phy.read(IDENTIFIER)?, 0 | 0xffff) {
                return Ok(phy);
            }
        }
        Err(DeviceError::Unsupported { what: "copper PHY that answers on its MDIO bus" }.into())
    }

    /// Returns the speeds it can do.
    pub(crate) fn speeds(&self) -> Result<Speeds, PortError> {
        let ability = self.read(SPEED_ABILITY)?;
        let mut speeds = Speeds::NONE;
        for (bit, speed) in [(0, Speeds::GB10), (4, Speeds::GB1), (5, Speeds::MB100)] {
            if ability >> bit & 1 == 1 {
                speeds |= speed;
            }
        }
        if self.hw.model.chip == Chip::X550 {
            // Its PHY has no standard bits for these.
            speeds |= Speeds::GB2_5 | Speeds::GB5;
        }
        Ok(speeds)
    }

    /// Advertises `speeds`, full duplex, and starts negotiating.
    pub(crate) fn negotiate(&self, speeds: Speeds) -> Result<(), PortError> {
        let bit = |speed, bit: u16| if speeds.contains(speed) { 1 << bit } else { 0 };
        self.modify(AN_10G, 1 << 12, bit(Speeds::GB10, 12))?;
        let (mut mask, mut vendor) = (1 << 15, bit(Speeds::GB1, 15));
        if self.hw.model.chip == Chip::X550 {
            mask |= 1 << 11 | 1 << 10;
            vendor |= bit(Speeds::GB5, 11) | bit(Speeds::GB2_5, 10);
        }
        self.modify(AN_VENDOR, mask, vendor)?;
        // Bit 7 would be 100 Mb/s in half duplex, which the MAC cannot do.
        self.modify(AN_ADVERTISEMENT, 1 << 8 | 1 << 7, bit(Speeds::MB100, 8))?;
        const RESTART: u16 = 1 << 9;
        self.modify(AN_CONTROL, RESTART, RESTART)
    }

    /// Returns what negotiation has come to.
    pub(crate) fn negotiation(&self) -> Result<Negotiation, PortError> {
        // The link bit latches a loss: the first read is of the past.
        self.read(AN_STATUS)?;
        let status = self.read(AN_STATUS)?;
        let link = status & 1 << 2 != 0;
        let result = self.read(AN_RESULT)?;
        let speed_mbps = match result >> 1 & 3 {
            _ if !link => 0,
            0 => 10,
            1 => 100,
            2 => 1_000,
            _ => 10_000,
        };
        Ok(Negotiation {
            complete: status & 1 << 5 != 0,
            link,
            speed_mbps,
            full_duplex: link && result & 1 == 1,
        })
    }

    fn modify(&self, place: Place, mask: u16, value: u16) -> Result<(), PortError> {
        let old = self.read(place)?;
        self.write(place, old & !mask | value)
    }

    /// Reads a register.
    pub(crate) fn read(&self, place: Place) -> Result<u16, PortError> {
        let _held = Held::take(self.hw, Resource::Phy)?;
        self.command(place, op::ADDRESS)?;
        self.command(place, op::READ)?;
        let data = self.hw.regs.read::<MSRWD>().mdirddata();
        self.hw.check()?;
        Ok(data as u16)
    }

    /// Writes a register.
    pub(crate) fn write(&self, place: Place, value: u16) -> Result<(), PortError> {
        let _held = Held::take(self.hw, Resource::Phy)?;
        self.hw.regs.write(MSRWD::default().with_mdiwrdata(value.into()));
        self.command(place, op::ADDRESS)?;
        self.command(place, op::WRITE)?;
        Ok(())
    }

    fn command(&self, (device, register): Place, opcode: u32) -> Result<(), DeviceError> {
        let hw = self.hw;
        let command = MSCA::default().with_mdiadd(register).with_devadd(device).with_phyadd(self.address);
        hw.regs.write(command.with_opcode(opcode).with_mdicmd(true));
        // 64 bits at no less than 2.4 MHz take 27 µs; drivers allow 1 ms.
        hw.poll("MDIO command (MSCA.MDICMD)", 10).register(hw.regs.single(), |msca: MSCA| !msca.mdicmd())?;
        Ok(())
    }
}

/// Opcodes of clause 45.
mod op {
    pub(super) const ADDRESS: u32 = 0;
    pub(super) const WRITE: u32 = 1;
    pub(super) const READ: u32 = 3;
}
