//! Sharing the card with its firmware and with the driver of its other port (82599 datasheet 10.5.4).
//!
//! Two steps. A short one guards the register SW_FW_SYNC itself: SWSM.SMBI against other drivers, then
//! SWSM.SWESMBI (on the X540 and X550 SW_FW_SYNC.REGSMP) against firmware. With both in hand, a bit of SW_FW_SYNC
//! claims a [`Resource`] for as long as the work takes.
//!
//! [`Held`] is such a claim; dropping it gives the resource back, on every path. A holder that keeps something for
//! longer than anybody may is taken for dead, as the datasheet says: a driver that was killed must not lock its
//! successor out until the next power cycle. Below is [`Hw`]; users are `eeprom`, `phy` and `link`.

use core::time::Duration;

use vfio_hal::DeviceError;
use vfio_hal::clock::Deadline;

use crate::hw::{Chip, Hw};
use crate::regs::{STATUS, SW_FW_SYNC, SWSM};

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The EEPROM or flash.
    Nvm,
    /// The port's way to its PHY or module: MDIO and I2C.
    Phy,
    /// Registers that firmware writes too: AUTOC, the analog core.
    MacCsr,
    /// The command buffer to firmware, for commands that read the flash.
    HostInterface,
}

/// A resource that is held. Dropping gives it back.
#[must_use = "dropping it gives the resource back"]
pub(crate) struct Held<'a> {
    hw: &'a Hw,
    own: u32,
}

/// Bits of SW_FW_SYNC.
struct Claim {
    /// Ours.
    own: u32,
    /// Those of firmware and hardware that exclude us.
    others: u32,
}

/// How long the SW_FW_SYNC register may be guarded by somebody else, in ms.
const GUARD_MILLIS: u64 = 100;
/// Between two looks at a guard.
const GUARD_STEP: Duration = Duration::from_micros(50);

impl Claim {
    fn new(hw: &Hw, resource: Resource) -> Claim {
        /// The firmware's bit of a resource is this much higher than software's.
        const FIRMWARE: u32 = 5;
        let sync = SW_FW_SYNC::default();
        let nvm = sync.with_sw_eep(true).bits();
        let phy = match hw.regs.read::<STATUS>().lan_id() {
            0 => sync.with_sw_phy0(true).bits(),
            _ => sync.with_sw_phy1(true).bits(),
        };
        // From the X540 on, the same bit says that hardware copies the shadow RAM to flash.
        let flash = if hw.model.chip == Chip::I82599 { 0 } else { sync.with_sw_flash(true).bits() };
        match resource {
            Resource::Nvm => Claim { own: nvm, others: nvm << FIRMWARE | flash },
            Resource::Phy => Claim { own: phy, others: phy << FIRMWARE },
            Resource::MacCsr => {
                let csr = sync.with_sw_mac_csr(true).bits();
                Claim { own: csr, others: csr << FIRMWARE }
            }
            // Firmware has no bit for the command buffer: it is who answers.
            Resource::HostInterface => {
                Claim { own: nvm | sync.with_sw_mng(true).bits(), others: nvm << FIRMWARE | flash }
            }
        }
    }
}

impl<'a> Held<'a> {
    /// Waits for `resource` and takes it.
    ///
    /// Who holds it for more than a second (firmware of the X550: five) has malfunctioned (10.5.4); then it is
    /// taken over. [`Timeout`](DeviceError::Timeout) if the register that says so cannot be had.
    pub(crate) fn take(hw: &'a Hw, resource: Resource) -> Result<Held<'a>, DeviceError> {
        let claim = Claim::new(hw, resource);
        let patience = if hw.model.chip == Chip::X550 { 5 } else { 1 };
        let deadline = Deadline::after(&*hw.clock, Duration::from_secs(patience));
        loop {
            let last = deadline.passed(&*hw.clock);
            {
                let _guard = Guard::take(hw)?;
                let sync = hw.regs.read::<SW_FW_SYNC>();
                hw.check()?;
                let holders = sync.bits() & (claim.own | claim.others);
                if holders == 0 || last {
                    if holders != 0 {
                        log::warn!(
                            "{}: {resource:?} was held for {patience} s (SW_FW_SYNC bits {holders:#x}); taking it over",
                            hw.device.name()
                        );
                    }
                    hw.regs.write(SW_FW_SYNC::new(sync.bits() | claim.own));
                    return Ok(Held { hw, own: claim.own });
                }
            }
            hw.wait_millis(5);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let hw = self.hw;
        // Without the guard too: a lost update is better than a resource that nobody ever gets again.
        let guard = Guard::take(hw);
        if let Err(error) = &guard {
            log::warn!(
                "{}: giving back SW_FW_SYNC bits {:#x} unguarded: {error}",
                hw.device.name(),
                self.own
            );
        }
        let sync = hw.regs.read::<SW_FW_SYNC>();
        hw.regs.write(SW_FW_SYNC::new(sync.bits() & !self.own));
        drop(guard);
        if hw.model.chip != Chip::I82599 {
            // Firmware of these polls; without a pause a driver in a loop would starve it.
            hw.wait_millis(2);
        }
    }
}

/// The right to read and write SW_FW_SYNC.
struct Guard<'a> {
    hw: &'a Hw,
    against_firmware: bool,
}

impl<'a> Guard<'a> {
    fn take(hw: &'a Hw) -> Result<Guard<'a>, DeviceError> {
        // A read that gives 0 has set the bit.
        let free = |swsm: SWSM| !swsm.smbi();
        let drivers =
            hw.poll("the other drivers of the card to free SWSM.SMBI", GUARD_MILLIS).every(GUARD_STEP);
        match drivers.register(hw.regs.single(), free) {
            Ok(_) => {}
            Err(error @ DeviceError::Timeout { .. }) => {
                // Its holder died with it. Clear it and look once more.
                hw.regs.write(hw.regs.read::<SWSM>().with_smbi(false).with_swesmbi(false));
                hw.clock.wait(GUARD_STEP);
                let swsm = hw.regs.read::<SWSM>();
                hw.check()?;
                if !free(swsm) {
                    return Err(error);
                }
                log::warn!("{}: SWSM.SMBI was held by nobody alive; took it over", hw.device.name());
            }
            Err(error) => return Err(error),
        }
        let mut guard = Guard { hw, against_firmware: false };
        if hw.model.chip == Chip::I82599 {
            let firmware = hw.poll("firmware to grant SWSM.SWESMBI", GUARD_MILLIS).every(GUARD_STEP);
            firmware.until(hw.regs.lost(), || {
                hw.regs.write(hw.regs.read::<SWSM>().with_swesmbi(true));
                hw.regs.read::<SWSM>().swesmbi()
            })?;
        } else {
            let firmware = hw.poll("firmware to free SW_FW_SYNC.REGSMP", GUARD_MILLIS).every(GUARD_STEP);
            firmware.register(hw.regs.single(), |sync: SW_FW_SYNC| !sync.regsmp())?;
        }
        guard.against_firmware = true;
        Ok(guard)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let regs = &self.hw.regs;
        if self.against_firmware && self.hw.model.chip != Chip::I82599 {
            regs.write(regs.read::<SW_FW_SYNC>().with_regsmp(false));
        }
        regs.write(regs.read::<SWSM>().with_swesmbi(false).with_smbi(false));
    }
}

#[cfg(test)]
mod tests;
