//! Links over twisted pair: the PHY negotiates, the MAC follows (X540 and X550).

use vfio_hal::pmd::PortError;

use super::LinkConfig;
use crate::hw::Hw;
use crate::phy::mdio::Phy;

/// Lets the PHY advertise what is wanted of what it can do.
pub(super) fn setup(hw: &mut Hw, config: &LinkConfig) -> Result<(), PortError> {
    if !config.autoneg {
        return Err(PortError::Unsupported {
            what: "a forced link: 10GBASE-T always negotiates; advertise one speed",
        });
    }
    let phy = Phy::find(hw)?;
    let speeds = config.choose(phy.speeds()?)?;
    phy.negotiate(speeds)?;
    let now = phy.negotiation()?;
    log::debug!("{}: copper PHY advertises {speeds}; {now:?}", hw.device.name());
    Ok(())
}
