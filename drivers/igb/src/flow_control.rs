//! Pause frames, sent and obeyed (IEEE 802.3 annex 31B; 82576 datasheet 3.5.5, 8.5).
//!
//! The device tells its link partner to pause when its packet buffer is fuller than a high level, tells it again while
//! that lasts, and to go on once it is below a low level.
//!
//! [`apply`] sets all of it up. What the two sides of a link agree on is less than was asked for where the partner offers
//! less; what is offered is said when the link is set up. Neighbours: [`port`](crate::port) applies it once everything else
//! is set up, and again when the MTU, the mode or the link changes.

use pmd_intel::pause::resolve;
use vfio_hal::pmd::{FlowControl, PortError};

use crate::hw::{Chip, Hw};
use crate::mtu::longest_frame;
use crate::phy::Phy;
use crate::regs::{CTRL, FCAH, FCAL, FCRTH, FCRTL, FCRTV, FCT, FCTTV, RXPBS, STATUS};

/// How long the partner is told to pause, in units of 512 bit times: 850 µs at 1 Gb/s (DPDK's default).
const PAUSE_TIME: u16 = 0x680;

/// Where pause frames go: 01:80:c2:00:00:01, EtherType 8808h (annex 31B).
const DESTINATION: (u32, u32) = (0x00c2_8001, 0x0100);
const ETHERTYPE: u32 = 0x8808;

/// Sets flow control up for a port with this MTU: `wanted`, or what was negotiated if it was. Returns which.
///
/// # Errors
/// If the packet buffer has no room for what arrives after the partner was told to pause; then nothing has changed.
pub(crate) fn apply(hw: &mut Hw, wanted: FlowControl, mtu: u16) -> Result<FlowControl, PortError> {
    let up = hw.regs.read::<STATUS>().lu();
    hw.check()?;
    let offers = if up { Phy::new(hw).offers()? } else { None };
    let mode = offers.map_or(wanted, |(own, partner)| resolve(wanted, own, partner));
    let send = matches!(mode, FlowControl::Tx | FlowControl::Full);
    let obey = matches!(mode, FlowControl::Rx | FlowControl::Full);
    let (low, high) = if send { levels(packet_buffer(hw)?, mtu)? } else { (0, 0) };

    hw.regs.write(FCAL::new(DESTINATION.0));
    hw.regs.write(FCAH::new(DESTINATION.1));
    hw.regs.write(FCT::new(ETHERTYPE));
    // Nothing is sent by levels that are half written.
    hw.regs.modify(|ctrl: CTRL| ctrl.with_tfce(false).with_rfce(obey));
    hw.regs.write(FCRTL::default().with_rtl(low / 16).with_xone(send));
    hw.regs.write(FCRTH::default().with_rth(high / 16));
    hw.regs.write(FCTTV::default().with_ttv(PAUSE_TIME.into()));
    hw.regs.write(FCRTV::default().with_refresh((PAUSE_TIME / 2).into()));
    hw.regs.modify(|ctrl: CTRL| ctrl.with_tfce(send));
    hw.check()?;
    Ok(mode)
}

/// Returns the size of the receive packet buffer in bytes.
fn packet_buffer(hw: &Hw) -> Result<u32, PortError> {
    /// By RXPBS of the I350, in KiB (I350 datasheet 8.3).
    const I350: [u32; 11] = [36, 72, 144, 1, 2, 4, 8, 16, 35, 70, 140];
    let size = hw.regs.read::<RXPBS>().size();
    hw.check()?;
    let kib = match hw.model.chip {
        Chip::I82576 => size,
        Chip::I350 => I350.get(size as usize).copied().unwrap_or(0),
    };
    Ok(kib * 1024)
}

/// Returns the levels below which the partner goes on and above which it pauses, in bytes: what Linux and DPDK choose,
/// 9/10 of the buffer or all but two of the longest frames.
fn levels(buffer: u32, mtu: u16) -> Result<(u32, u32), PortError> {
    let frames = 2 * longest_frame(mtu);
    let high = (buffer * 9 / 10).min(buffer.saturating_sub(frames)) & !0xf;
    if high <= 16 {
        return Err(PortError::Invalid {
            what: "the packet buffer is too small to pause the link partner in time: use a smaller MTU, or flow \
                   control that sends no pause frames",
        });
    }
    Ok((high - 16, high))
}
