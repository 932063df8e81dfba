//! Sharing the card with its firmware and with the drivers of its other ports (82576 datasheet 4.7, 8.7).
//!
//! Two steps. A short one guards the register SW_FW_SYNC itself: SWSM.SMBI against other drivers, then SWSM.SWESMBI
//! against firmware. With both in hand, a bit of SW_FW_SYNC claims the port's PHY for as long as the work takes.
//!
//! [`Held`] is such a claim; dropping it gives the PHY back, on every path. A holder that keeps it for longer than anybody
//! may is taken for dead: a driver that was killed must not lock its successor out until the next power cycle. Below is
//! [`Hw`]; the user is `phy`.

use core::time::Duration;

use vfio_hal::DeviceError;
use vfio_hal::clock::Deadline;

use crate::hw::Hw;
use crate::regs::{STATUS, SW_FW_SYNC, SWSM};

/// The port's PHY is held. Dropping gives it back.
#[must_use = "dropping it gives the PHY back"]
pub(crate) struct Held<'a> {
    hw: &'a Hw,
    own: u32,
}

/// The firmware's bit of a resource is this much higher than software's.
const FIRMWARE: u32 = 16;

/// How long the SW_FW_SYNC register may be guarded by somebody else, in ms.
const GUARD_MILLIS: u64 = 100;
/// Between two looks at a guard.
const GUARD_STEP: Duration = Duration::from_micros(50);
/// How long a resource may be held.
const PATIENCE: Duration = Duration::from_secs(1);

impl<'a> Held<'a> {
    /// Waits for the port's PHY and takes it. [`Timeout`](DeviceError::Timeout) if the register that says who has it
    /// cannot be had.
    pub(crate) fn take_phy(hw: &'a Hw) -> Result<Held<'a>, DeviceError> {
        let sync = SW_FW_SYNC::default();
        let own = match hw.regs.read::<STATUS>().lan_id() {
            0 => sync.with_sw_phy0(true),
            1 => sync.with_sw_phy1(true),
            2 => sync.with_sw_phy2(true),
            _ => sync.with_sw_phy3(true),
        };
        let own = own.bits();
        let deadline = Deadline::after(&*hw.clock, PATIENCE);
        loop {
            let last = deadline.passed(&*hw.clock);
            {
                let _guard = Guard::take(hw)?;
                let sync = hw.regs.read::<SW_FW_SYNC>();
                hw.check()?;
                let holders = sync.bits() & (own | own << FIRMWARE);
                if holders == 0 || last {
                    if holders != 0 {
                        log::warn!(
                            "{}: the PHY was held for 1 s (SW_FW_SYNC bits {holders:#x}); taking it over",
                            hw.device.name()
                        );
                    }
                    hw.regs.write(SW_FW_SYNC::new(sync.bits() | own));
                    return Ok(Held { hw, own });
                }
            }
            hw.wait_millis(5);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Without the guard too: a lost update is better than a resource that nobody ever gets again.
        let guard = Guard::take(self.hw);
        if let Err(error) = &guard {
            log::warn!("{}: giving back the PHY unguarded: {error}", self.hw.device.name());
        }
        let sync = self.hw.regs.read::<SW_FW_SYNC>();
        self.hw.regs.write(SW_FW_SYNC::new(sync.bits() & !self.own));
    }
}

/// The right to read and write SW_FW_SYNC.
struct Guard<'a>(&'a Hw);

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
        let guard = Guard(hw);
        let firmware = hw.poll("firmware to grant SWSM.SWESMBI", GUARD_MILLIS).every(GUARD_STEP);
        firmware.until(hw.regs.lost(), || {
            hw.regs.write(hw.regs.read::<SWSM>().with_swesmbi(true));
            hw.regs.read::<SWSM>().swesmbi()
        })?;
        Ok(guard)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let regs = &self.0.regs;
        regs.write(regs.read::<SWSM>().with_swesmbi(false).with_smbi(false));
    }
}
