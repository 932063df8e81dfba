//! How long a frame may be (82576 datasheet 8.10).
//!
//! The MTU is the payload of an Ethernet frame. RLPML counts header, one VLAN tag and check sequence too, and is in force
//! with RCTL.LPE; without, the limit is 1,518 bytes and a tag. An MTU below 1,500 is not enforced on what comes in.
//!
//! Neighbours: [`flow_control`](crate::flow_control) reckons with the longest frame, so who changes the MTU applies
//! that again. Receive queues take a frame that is longer than a buffer into several.

use vfio_hal::pmd::PortError;

use crate::desc::MAX_FRAME;
use crate::hw::Hw;
use crate::regs::{RCTL, RLPML};

/// Header, VLAN tag and frame check sequence, in bytes.
const OVERHEAD: u16 = 14 + 4 + 4;

/// A second VLAN tag, where packets carry one, in bytes.
const OUTER_TAG: u32 = 4;

/// The largest MTU without RCTL.LPE.
const STANDARD: u16 = 1500;

/// The smallest MTU, which is IPv4's (RFC 791), and the largest, in bytes.
pub(crate) const RANGE: (u16, u16) = (68, MAX_FRAME as u16 - OVERHEAD);

/// Returns the bytes of the longest frame on the wire, VLAN tag and check sequence included.
pub(crate) const fn longest_frame(mtu: u16) -> u32 {
    mtu as u32 + OVERHEAD as u32
}

/// Sets the longest frame, also while packets flow: none that both the old and the new MTU allow is dropped meanwhile.
pub(crate) fn apply(hw: &mut Hw, mtu: u16) -> Result<(), PortError> {
    let (min, max) = RANGE;
    if !(min..=max).contains(&mtu) {
        return Err(PortError::OutOfRange {
            what: "the MTU",
            value: mtu.into(),
            min: min.into(),
            max: max.into(),
        });
    }
    let jumbo = mtu > STANDARD;
    if !jumbo {
        hw.regs.modify(|rctl: RCTL| rctl.with_lpe(false));
    }
    hw.regs.write(RLPML::default().with_rlpml(longest_frame(mtu) + OUTER_TAG));
    if jumbo {
        hw.regs.modify(|rctl: RCTL| rctl.with_lpe(true));
    }
    Ok(hw.check()?)
}
