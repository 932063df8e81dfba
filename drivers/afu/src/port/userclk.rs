//! The user clock: two clocks for the accelerator, the slower one (1×) and the faster one (2×), made by a PLL.
//!
//! The PLL multiplies 100 MHz by M / N and divides by C1 for the 1× and by C0 for the 2× clock. Its counters and analogue
//! settings are written one by one through a command register; a two-bit sequence number comes back when a command is
//! done (OPAE, `fpga_user_clk_type1.c`; Stratix 10 clocking and PLL user guide, 7.2). The ranges of the analogue settings
//! are those of OPAE's table of frequencies.

use core::time::Duration;

use vfio_hal::poll::Poll;
use vfio_hal::regs::Block;
use vfio_hal::{Bar, Clock, DeviceError};

use super::Port;
use crate::AfuError;
use crate::card::block;
use crate::dfl::Feature;
use crate::regs::port::header::{PortHeader, USRCLK_CMD0, USRCLK_CMD1, USRCLK_STS0, USRCLK_STS1};
use crate::regs::port::userclk::{self as feature, FREQ_CMD0, FREQ_CMD1, FREQ_STS0, FREQ_STS1};

/// How long a command to the PLL may take (OPAE).
const COMMAND_LIMIT: Duration = Duration::from_secs(1);
/// How long a measurement takes.
const MEASURE: Duration = Duration::from_millis(8);
/// How long each step of a reset or calibration takes.
const SETTLE: Duration = Duration::from_millis(1);

/// The 1× frequencies that can be set, in MHz.
const RANGE_MHZ: core::ops::RangeInclusive<u32> = 10..=600;
/// The PLL's input, in MHz.
const REFERENCE_MHZ: u32 = 100;
/// What the oscillator of the PLL can do, in MHz.
const OSCILLATOR_MHZ: core::ops::RangeInclusive<u32> = 800..=1600;
/// Before a large step the clock goes here (OPAE: a quarter of the highest).
const BETWEEN_MHZ: u32 = 150;

/// Addresses of the PLL's registers.
mod pll {
    pub(super) const N: Counter = Counter { high: 0x100, bypass: 0x101, even: 0x101, low: 0x102 };
    pub(super) const M: Counter = Counter { high: 0x104, bypass: 0x105, even: 0x106, low: 0x107 };
    pub(super) const C0: Counter = Counter { high: 0x11b, bypass: 0x11c, even: 0x11d, low: 0x11e };
    pub(super) const C1: Counter = Counter { high: 0x11f, bypass: 0x120, even: 0x121, low: 0x122 };
    pub(super) const LOOP_FILTER: u32 = 0x10a;
    pub(super) const CHARGE_PUMP_2: u32 = 0x10d;
    pub(super) const REQUEST_CALIBRATION: u32 = 0x149;
    pub(super) const ENABLE_CALIBRATION: u32 = 0x14a;

    pub(super) struct Counter {
        pub(super) high: u32,
        pub(super) bypass: u32,
        pub(super) even: u32,
        pub(super) low: u32,
    }
}

/// Where the registers are: in the port's header (revision 0), or in a feature of their own.
pub(crate) enum ClockBlock {
    Header(vfio_hal::regs::View<PortHeader>),
    Feature(Block<feature::UserClock>),
}

impl ClockBlock {
    pub(super) fn of(
        header: &Block<PortHeader>,
        port: &Feature,
        own: Option<&Feature>,
        bars: &[Option<Bar>; 6],
    ) -> Result<Option<ClockBlock>, AfuError> {
        if let Some(own) = own {
            return Ok(block(bars, own)?.map(ClockBlock::Feature));
        }
        // Linux shows the user clock of a port's header in revision 0 only.
        Ok((port.revision == 0).then(|| ClockBlock::Header(header.view())))
    }

    fn command(&self, value: USRCLK_CMD0) {
        match self {
            ClockBlock::Header(view) => view.write(value),
            ClockBlock::Feature(block) => block.write(FREQ_CMD0::new(value.bits())),
        }
    }

    fn select(&self, high: bool) {
        match self {
            ClockBlock::Header(view) => view.write(USRCLK_CMD1::default().with_measure_high(high)),
            ClockBlock::Feature(block) => block.write(FREQ_CMD1::default().with_measure_high(high)),
        }
    }

    fn status(&self) -> USRCLK_STS0 {
        match self {
            ClockBlock::Header(view) => view.read(),
            ClockBlock::Feature(block) => USRCLK_STS0::new(block.read::<FREQ_STS0>().bits()),
        }
    }

    fn measured(&self) -> USRCLK_STS1 {
        match self {
            ClockBlock::Header(view) => view.read(),
            ClockBlock::Feature(block) => USRCLK_STS1::new(block.read::<FREQ_STS1>().bits()),
        }
    }
}

/// The two frequencies, in Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// The faster clock (2×).
    pub high: u64,
    /// The slower clock (1×).
    pub low: u64,
}

/// What the PLL is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    m: u32,
    n: u32,
    c0: u32,
    c1: u32,
}

impl Settings {
    /// Returns the settings whose 1× frequency comes closest to `mhz`; of equal ones those that multiply least.
    fn of(mhz: u32) -> Option<Settings> {
        let mut best: Option<(u64, Settings)> = None;
        for n in 1..=10u32 {
            for m in 11..=160u32 {
                let oscillator = REFERENCE_MHZ * m;
                if oscillator < OSCILLATOR_MHZ.start() * n || oscillator > OSCILLATOR_MHZ.end() * n {
                    continue;
                }
                // Twice the 1× clock, up to the highest frequency, needs an even divider.
                let double = 2 * mhz <= *RANGE_MHZ.end();
                let near = oscillator / (n * mhz);
                for c1 in near..=near + 2 {
                    if c1 == 0 || c1 > 510 || (double && c1 % 2 != 0) {
                        continue;
                    }
                    let made = u64::from(oscillator) * 1_000_000 / u64::from(n * c1);
                    let off = made.abs_diff(u64::from(mhz) * 1_000_000);
                    if best.is_none_or(|(least, _)| off < least) {
                        best = Some((off, Settings { m, n, c0: if double { c1 / 2 } else { c1 }, c1 }));
                    }
                }
            }
        }
        best.map(|(_, settings)| settings)
    }

    /// Returns the loop filter's register value (bandwidth and resistance), and the charge pump's two.
    fn analogue(&self) -> (u32, u32, u32) {
        let (filter, pump, resistance) = match self.m {
            0..=15 => (0xc0, 4, 0),
            16..=24 => (0xc0, 4, 2),
            25..=43 => (0x100, 4, 0),
            44..=64 => (0x140, 4, 2),
            65..=124 => (0x180, 4, 2),
            _ => (0x180, 6, 2),
        };
        ((filter >> 6) << 3 | resistance << 1, (pump & 7) << 4, (pump >> 3 & 7) << 5)
    }
}

/// The user clock of a port.
#[derive(Clone, Debug)]
pub struct UserClock(Port);

impl Port {
    /// Returns its user clock, if it has one.
    pub fn user_clock(&self) -> Result<UserClock, AfuError> {
        let has = self.slot.with(|port| port.clock.is_some())?;
        if !has {
            return Err(AfuError::Missing { what: "user clock" });
        }
        Ok(UserClock(self.clone()))
    }
}

impl UserClock {
    fn with<T>(&self, f: impl FnOnce(&ClockBlock, &dyn Clock) -> Result<T, AfuError>) -> Result<T, AfuError> {
        let clock = &*self.0.card.0.clock;
        let result = self.0.slot.with(|port| match &port.clock {
            Some(block) => f(block, clock),
            None => Err(AfuError::Missing { what: "user clock" }),
        })?;
        self.0.card.lost().check()?;
        result
    }

    /// Returns whether the PLL is locked.
    pub fn is_locked(&self) -> Result<bool, AfuError> {
        self.with(|block, _| Ok(block.status().locked()))
    }

    /// Measures both clocks; takes 16 ms.
    pub fn measure(&self) -> Result<Frequencies, AfuError> {
        self.with(|block, clock| {
            locked(block)?;
            let one = |high| {
                block.select(high);
                clock.wait(MEASURE);
                block.measured().frequency() * 10_000
            };
            Ok(Frequencies { high: one(true), low: one(false) })
        })
    }

    /// Sets the slower clock to `mhz`, 10 to 600, and the faster one to twice as much, as far as 600 MHz allow; beyond, both
    /// are the same. Returns what is measured then.
    pub fn set(&self, mhz: u32) -> Result<Frequencies, AfuError> {
        let out = AfuError::Parameter {
            what: "the user clock's frequency in MHz",
            value: mhz.into(),
            reason: "the PLL makes 10 to 600 MHz",
        };
        if !RANGE_MHZ.contains(&mhz) {
            return Err(out);
        }
        if mhz != BETWEEN_MHZ {
            self.program(Settings::of(BETWEEN_MHZ).ok_or(out)?)?;
        }
        self.program(Settings::of(mhz).ok_or(out)?)?;
        self.measure()
    }

    fn program(&self, settings: Settings) -> Result<(), AfuError> {
        self.with(|block, clock| {
            let lost = self.0.card.lost();
            let mut pll = Pll { block, clock, lost, sequence: block.status().sequence() };
            let (filter, pump_1, pump_2) = settings.analogue();
            pll.counter(&pll::M, settings.m, 0)?;
            pll.counter(&pll::N, settings.n, pump_1)?;
            pll.counter(&pll::C0, settings.c0, 0)?;
            pll.counter(&pll::C1, settings.c1, 0)?;
            pll.write(pll::CHARGE_PUMP_2, pump_2)?;
            pll.write(pll::LOOP_FILTER, filter)?;
            reset(block, clock)?;
            pll.sequence = block.status().sequence();
            let request = pll.read(pll::REQUEST_CALIBRATION)?;
            pll.write(pll::REQUEST_CALIBRATION, request | 1 << 6)?;
            pll.write(pll::ENABLE_CALIBRATION, 3)?;
            clock.wait(SETTLE);
            locked(block)
        })
    }
}

fn locked(block: &ClockBlock) -> Result<(), AfuError> {
    if block.status().locked() {
        return Ok(());
    }
    Err(DeviceError::Timeout { what: "user clock: PLL locked", millis: SETTLE.as_millis() as u32 }.into())
}

/// Resets the PLL, which then runs with its new settings.
fn reset(block: &ClockBlock, clock: &dyn Clock) -> Result<(), AfuError> {
    let none = USRCLK_CMD0::default();
    for step in [
        none.with_mgmt_reset(true).with_pll_reset(true),
        none.with_mgmt_reset(true),
        none.with_avmm_reset_n(true),
    ] {
        block.command(step);
        clock.wait(SETTLE);
    }
    locked(block)
}

/// Commands to the PLL, one after the other.
struct Pll<'a> {
    block: &'a ClockBlock,
    clock: &'a dyn Clock,
    lost: &'a vfio_hal::Lost,
    sequence: u64,
}

impl Pll<'_> {
    fn send(&mut self, command: USRCLK_CMD0) -> Result<USRCLK_STS0, AfuError> {
        self.sequence = (self.sequence + 1) & 3;
        self.block.command(command.with_sequence(self.sequence).with_avmm_reset_n(true));
        let mut status = USRCLK_STS0::default();
        Poll::new(self.clock, "user clock: command done", COMMAND_LIMIT).until(self.lost, || {
            status = self.block.status();
            status.sequence() == self.sequence
        })?;
        Ok(status)
    }

    fn write(&mut self, address: u32, data: u32) -> Result<(), AfuError> {
        let command =
            USRCLK_CMD0::default().with_write(true).with_address(address.into()).with_data(data.into());
        self.send(command).map(|_| ())
    }

    fn read(&mut self, address: u32) -> Result<u32, AfuError> {
        let status = self.send(USRCLK_CMD0::default().with_address(address.into()))?;
        Ok(status.data() as u32)
    }

    /// Sets a counter: as long high as low, one more for odd numbers, which the duty-cycle bit evens out.
    fn counter(&mut self, counter: &pll::Counter, divide_by: u32, beside: u32) -> Result<(), AfuError> {
        let (high, low) = if divide_by == 1 { (0, 0) } else { (divide_by.div_ceil(2), divide_by / 2) };
        let (bypass, even) = (u32::from(divide_by == 1), u32::from(divide_by > 1 && divide_by % 2 == 1) << 7);
        self.write(counter.high, high)?;
        self.write(counter.low, low)?;
        if counter.bypass == counter.even {
            return self.write(counter.bypass, bypass | even | beside);
        }
        self.write(counter.bypass, bypass)?;
        self.write(counter.even, even)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frequency_can_be_made_within_one_percent() {
        for mhz in RANGE_MHZ {
            let Settings { m, n, c0, c1 } = Settings::of(mhz).unwrap();
            let made = f64::from(REFERENCE_MHZ * m) / f64::from(n * c1);
            assert!((made - f64::from(mhz)).abs() <= f64::from(mhz) / 100.0, "{mhz}: {made}");
            assert_eq!(c1, if 2 * mhz <= 600 { 2 * c0 } else { c0 });
        }
    }

    #[test]
    fn simple_frequencies_are_exact() {
        for mhz in [25, 50, 100, 150, 200, 250, 300, 400, 500, 600] {
            let Settings { m, n, c1, .. } = Settings::of(mhz).unwrap();
            assert_eq!(REFERENCE_MHZ * m, mhz * n * c1, "{mhz}");
        }
    }
}
