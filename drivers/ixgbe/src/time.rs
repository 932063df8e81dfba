//! IEEE 1588 time: the device's clock, and the times of packets that were sent and received (82599 datasheet 7.9,
//! 8.2.3.26).
//!
//! The clock counts from 0 when [`Running::enable_time_sync`] starts it; its rate is right for the speed that the link
//! has then. The device keeps one receive and one transmit time, and takes the next only after that was read: a PTP
//! program asks for one packet at a time. Times in nanoseconds go on over the hardware's 2.4 hours, if they are read
//! once in half of that.
//!
//! Key types: [`Stamp`]. Neighbours: [`TxFlags::TIMESTAMP`](vfio_hal::dma::pool::TxFlags) asks for the time of a sent
//! packet, and an EtherType filter of [`flow`](crate::flow)'s table finds the received ones.

use core::time::Duration;

use vfio_hal::pmd::PortError;

use crate::hw::{Chip, Hw};
use crate::regs::{
    RXSATRH, RXSTMPH, RXSTMPL, SYSTIM, TIMADJ, TIMINCA, TSAUXC, TSYNCRXCTL, TSYNCTXCTL, TXSTMP,
};
use crate::running::Running;

/// The EtherType of PTP over Ethernet.
pub(crate) const PTP: u16 = 0x88f7;

/// TSYNCRXCTL.kind: version 2 over Ethernet and over UDP.
const ETHERNET_AND_UDP: u32 = 2;

/// When a packet passed the device's MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The device's time.
    pub time: Duration,
    /// The sequence number in the packet's PTP header, by which it is told from others.
    pub sequence: u16,
}

/// The device's clock as a count of nanoseconds that does not wrap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeSync {
    /// SYSTIM has so many bits below a nanosecond.
    shift: u32,
    /// SYSTIM when it was looked at last, and the nanoseconds that stands for.
    last: u64,
    nanos: u64,
}

/// Returns TIMINCA and the bits below a nanosecond for a link of so many Mbit/s, as the period of the MAC's clock wants:
/// 6.4 ns, 64 ns or 640 ns on the 82599. The others count in finer steps.
fn rate(chip: Chip, mbps: u32) -> (TIMINCA, u32) {
    let (step, shift) = match mbps {
        100 => (0x5000_0000u32, 21),
        1_000 => (0x4000_0000, 24),
        _ => (0x6666_6666, 28),
    };
    match chip {
        // 24 bits of the register are the step; the upper ones say every how many clocks.
        Chip::I82599 => (TIMINCA::default().with_ip(1).with_iv(step >> 7), shift - 7),
        Chip::X540 | Chip::X550 => (TIMINCA::new(step), shift),
    }
}

impl TimeSync {
    /// Returns the time that SYSTIM, as it was read somewhere about now, stands for.
    fn at(&self, systim: u64) -> Duration {
        // A wrap lies between, if at all: half of the range either way is before or after.
        let ahead = systim.wrapping_sub(self.last) as i64;
        let nanos = self.nanos.wrapping_add_signed(ahead >> self.shift);
        Duration::from_nanos(nanos)
    }

    /// Looks at SYSTIM, often enough for the count to go on. What is below a nanosecond stays for the next time.
    fn look(&mut self, systim: u64) -> Duration {
        let whole = systim.wrapping_sub(self.last) >> self.shift;
        self.nanos = self.nanos.wrapping_add(whole);
        self.last = self.last.wrapping_add(whole << self.shift);
        Duration::from_nanos(self.nanos)
    }
}

/// Starts the clock from 0 and lets both directions be timed. The EtherType filter is the caller's.
fn start(hw: &mut Hw, mbps: u32) -> Result<TimeSync, PortError> {
    if hw.model.chip == Chip::X550 {
        return Err(PortError::Unsupported {
            what: "time synchronisation on the X550, whose clock is another",
        });
    }
    let (step, shift) = rate(hw.model.chip, mbps);
    hw.regs.write(TIMINCA::default());
    hw.regs.modify(|tsauxc: TSAUXC| tsauxc.with_disable_systime(false));
    hw.regs.write(SYSTIM::default());
    hw.regs.write(step);
    hw.regs.write(TSYNCRXCTL::default().with_kind(ETHERNET_AND_UDP).with_en(true));
    hw.regs.write(TSYNCTXCTL::default().with_en(true));
    // What was latched before is not of this clock.
    let _ = hw.regs.read::<RXSTMPH>();
    let _ = hw.regs.read::<TXSTMP>();
    hw.check()?;
    Ok(TimeSync { shift, last: 0, nanos: 0 })
}

const OFF: PortError = PortError::Invalid { what: "time synchronisation is off: enable it first" };

impl Running {
    /// Starts the device's clock from 0, and lets it take the times of PTP packets (version 2, over Ethernet and UDP).
    /// A stop of the port ends that. After the link has changed its speed, enable it again: the clock would run wrong.
    ///
    /// # Errors
    /// [`PortError::TableFull`] if flow rules have taken all EtherType filters: this needs one.
    pub fn enable_time_sync(&mut self) -> Result<(), PortError> {
        let link = self.link()?;
        let (hw, setup) = self.parts();
        setup.flows.enable_ptp(hw)?;
        setup.time = Some(start(hw, link.speed_mbps)?);
        Ok(())
    }

    /// Takes no more times. The clock goes on.
    pub fn disable_time_sync(&mut self) -> Result<(), PortError> {
        let (hw, setup) = self.parts();
        setup.time = None;
        hw.regs.write(TSYNCRXCTL::default());
        hw.regs.write(TSYNCTXCTL::default());
        setup.flows.disable_ptp(hw)
    }

    /// Returns the device's time. Ask once in an hour at least, for the hardware's count to be followed.
    pub fn time(&mut self) -> Result<Duration, PortError> {
        let (hw, setup) = self.parts();
        let time = setup.time.as_mut().ok_or(OFF)?;
        let systim = hw.regs.read::<SYSTIM>().bits();
        hw.check()?;
        Ok(time.look(systim))
    }

    /// Moves the device's clock by so many nanoseconds, at most 2^31 each way.
    pub fn adjust_time(&mut self, nanos: i64) -> Result<(), PortError> {
        let (hw, setup) = self.parts();
        let time = setup.time.as_mut().ok_or(OFF)?;
        let amount = nanos.unsigned_abs();
        if amount > 1 << 31 {
            return Err(PortError::OutOfRange {
                what: "the adjustment in nanoseconds, either way,",
                value: amount,
                min: 0,
                max: 1 << 31,
            });
        }
        // Bit 63 is the sign (8.2.3.26).
        let sign = u64::from(nanos < 0) << 63;
        let before = hw.regs.read::<SYSTIM>().bits();
        hw.regs.write(TIMADJ::new(amount << time.shift | sign));
        hw.check()?;
        // The count is to go back with the clock: only the difference from here on is looked at.
        time.look(before);
        time.nanos = time.nanos.wrapping_add_signed(nanos);
        let moved = (amount << time.shift) as i64;
        time.last = time.last.wrapping_add_signed(if nanos < 0 { -moved } else { moved });
        Ok(())
    }

    /// Takes the time of a received PTP packet, if there is one. Until then the device times no other.
    pub fn rx_timestamp(&mut self) -> Result<Option<Stamp>, PortError> {
        let (hw, setup) = self.parts();
        let time = setup.time.as_ref().ok_or(OFF)?;
        if !hw.regs.read::<TSYNCRXCTL>().rxtt() {
            hw.check()?;
            return Ok(None);
        }
        let sequence = hw.regs.read::<RXSATRH>().sequence_id() as u16;
        // The upper half last: reading it lets the next packet in.
        let lower = hw.regs.read::<RXSTMPL>().bits();
        let systim = u64::from(hw.regs.read::<RXSTMPH>().bits()) << 32 | u64::from(lower);
        hw.check()?;
        Ok(Some(Stamp { time: time.at(systim), sequence }))
    }

    /// Takes the time of a packet that was sent with [`TxFlags::TIMESTAMP`](vfio_hal::dma::pool::TxFlags::TIMESTAMP), if
    /// it is out. Until then the device times no other.
    pub fn tx_timestamp(&mut self) -> Result<Option<Duration>, PortError> {
        let (hw, setup) = self.parts();
        let time = setup.time.as_ref().ok_or(OFF)?;
        if !hw.regs.read::<TSYNCTXCTL>().txtt() {
            hw.check()?;
            return Ok(None);
        }
        let systim = hw.regs.read::<TXSTMP>().bits();
        hw.check()?;
        Ok(Some(time.at(systim)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_goes_on_over_a_wrap_of_the_hardware() {
        let shift = 21;
        let mut time = TimeSync { shift, last: u64::MAX - (5 << shift) + 1, nanos: 1000 };
        assert_eq!(time.at(3 << shift), Duration::from_nanos(1008));
        assert_eq!(time.at(u64::MAX - (7 << shift) + 1), Duration::from_nanos(998), "a packet of before");
        assert_eq!(time.look(3 << shift), Duration::from_nanos(1008));
        assert_eq!(time.look(4 << shift), Duration::from_nanos(1009));
    }

    #[test]
    fn what_is_below_a_nanosecond_adds_up() {
        let mut time = TimeSync { shift: 21, last: 0, nanos: 0 };
        for look in 1..=1000u64 {
            time.look(look << 19);
        }
        assert_eq!(time.nanos, 250);
    }

    #[test]
    fn rates_are_the_periods_of_the_mac() {
        for (mbps, tenths) in [(10_000, 64), (1_000, 640), (100, 6_400)] {
            let (step, shift) = rate(Chip::I82599, mbps);
            let scaled = u64::from(step.iv()) * 10;
            assert_eq!((scaled + (1 << (shift - 1))) >> shift, tenths, "{mbps}");
            assert_eq!(step.ip(), 1);
        }
    }
}
