//! How long a frame may be (82599 datasheet 8.2.3.22.8, 8.2.3.22.13).
//!
//! The MTU is the payload of an Ethernet frame. MAXFRS counts header and check sequence too, but not VLAN tags: the
//! device allows for those itself. It counts longer frames as oversized and drops them; one that is longer than 1,518
//! bytes needs HLREG0.JUMBOEN as well. An MTU below 1,500 is not enforced on what comes in.
//!
//! Neighbours: [`flow_control`](crate::flow_control) reckons with the longest frame, so who changes the MTU applies
//! that again. Receive queues take a frame that is longer than a buffer into several.

use vfio_hal::pmd::PortError;

use crate::hw::Hw;
use crate::regs::{HLREG0, MAXFRS};

/// Header and frame check sequence, in bytes.
const OVERHEAD: u16 = 14 + 4;

/// The longest frame without JUMBOEN, in bytes, check sequence included.
const LONGEST_STANDARD: u16 = 1518;

/// The longest frame of the device, in bytes, check sequence included: 15.5 KiB.
const LONGEST: u16 = 15_872;

/// The smallest MTU, which is IPv4's (RFC 791), and the largest, in bytes.
pub(crate) const RANGE: (u16, u16) = (68, LONGEST - OVERHEAD);

/// Returns the bytes of the longest frame on the wire, check sequence included, VLAN tags not.
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
    let frame = longest_frame(mtu);
    let jumbo = frame > LONGEST_STANDARD.into();
    if !jumbo {
        hw.regs.modify(|hlreg0: HLREG0| hlreg0.with_jumboen(false));
    }
    hw.regs.modify(|maxfrs: MAXFRS| maxfrs.with_mfs(frame));
    if jumbo {
        hw.regs.modify(|hlreg0: HLREG0| hlreg0.with_jumboen(true));
    }
    Ok(hw.check()?)
}

#[cfg(test)]
mod tests {
    use vfio_hal::pmd::PortError;

    use super::*;
    use crate::testing::{SFP, bench};

    #[test]
    fn an_mtu_out_of_range_changes_nothing() {
        let (mut hw, device) = bench(SFP);
        apply(&mut hw, 9000).unwrap();
        device.registers().take_log();
        for mtu in [0, 67, 15_855, u16::MAX] {
            let value = mtu.into();
            let expected = PortError::OutOfRange { what: "the MTU", value, min: 68, max: 15_854 };
            assert_eq!(apply(&mut hw, mtu), Err(expected));
        }
        assert!(device.registers().log().is_empty());
    }

    #[test]
    fn frames_over_1518_bytes_need_jumbo() {
        let (mut hw, device) = bench(SFP);
        let registers = device.registers().registers().clone();
        registers.set(0, MAXFRS::new(0x1234));
        for (mtu, mfs, jumbo) in [
            (68, 86, false),
            (1500, 1518, false),
            (1501, 1519, true),
            (15_854, 15_872, true),
            (1500, 1518, false),
        ] {
            apply(&mut hw, mtu).unwrap();
            assert_eq!(registers.get::<MAXFRS>(0), MAXFRS::new(0x1234).with_mfs(mfs), "MTU {mtu}");
            assert_eq!(registers.get::<HLREG0>(0).jumboen(), jumbo, "MTU {mtu}");
        }
    }

    #[test]
    fn a_device_that_is_gone_is_an_error() {
        let (mut hw, device) = bench(SFP);
        device.registers().die_after(1);
        assert_eq!(apply(&mut hw, 9000), Err(vfio_hal::DeviceError::Lost.into()));
    }
}
