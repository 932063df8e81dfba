//! The port's user clock: a PLL behind a mailbox, and a counter that measures it.
//!
//! The PLL is an Intel IOPLL: its counters M, N and C0, C1 are written one byte register at a time, and with a 100 MHz
//! reference the two clocks are 100 MHz × M / (N × C). Addresses are those of the IOPLL's reconfiguration interface
//! (Stratix 10 clocking and PLL user guide, 7.2).
//!
//! Key types: [`UserClock`]. Neighbours: [`port`](super) has its registers in the header.

use pmd_afu::regs::port::header::*;
use vfio_hal::regs::Register;

use crate::config::Timing;
use crate::words::merge;

/// The reference clock, in units of 10 kHz.
const REFERENCE: u64 = 10_000;
/// Byte registers of the PLL.
const REGISTERS: usize = 1 << 10;
/// What the voltage-controlled oscillator can do, in units of 10 kHz: 600 to 1,600 MHz.
const OSCILLATOR: core::ops::RangeInclusive<u64> = 60_000..=160_000;

/// Where a counter's parts are.
struct Places {
    high: usize,
    low: usize,
    bypass: usize,
}

const N: Places = Places { high: 0x100, low: 0x102, bypass: 0x101 };
const M: Places = Places { high: 0x104, low: 0x107, bypass: 0x105 };
const C0: Places = Places { high: 0x11b, low: 0x11e, bypass: 0x11c };
const C1: Places = Places { high: 0x11f, low: 0x122, bypass: 0x120 };

pub(crate) struct UserClock {
    command: [u64; 2],
    registers: Box<[u8; REGISTERS]>,
    /// Data, address and sequence of the last access that is done, and the one before it.
    done: USRCLK_STS0,
    before: USRCLK_STS0,
    done_at: u64,
    error: bool,
    locked_at: Option<u64>,
    /// What the PLL makes since its last reset: the slow and the fast clock, in units of 10 kHz.
    clocks: [u64; 2],
    /// What the counter shows until `measured_at`.
    shown: (u64, bool),
    measured_at: u64,
    pll_access: u64,
    pll_lock: u64,
    pll_measure: u64,
}

fn nanos(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl UserClock {
    /// After power-on it makes 156.25 and 312.5 MHz, and is locked.
    pub(crate) fn new(timing: &Timing) -> UserClock {
        let mut clock = UserClock {
            command: [0; 2],
            registers: Box::new([0; REGISTERS]),
            done: USRCLK_STS0::default(),
            before: USRCLK_STS0::default(),
            done_at: 0,
            error: false,
            locked_at: Some(0),
            clocks: [0; 2],
            shown: (0, false),
            measured_at: 0,
            pll_access: nanos(timing.pll_access),
            pll_lock: nanos(timing.pll_lock),
            pll_measure: nanos(timing.pll_measure),
        };
        // M = 25, N = 2: 1,250 MHz; C0 = 4, C1 = 8.
        for (places, high, low) in [(M, 13, 12), (N, 1, 1), (C0, 2, 2), (C1, 4, 4)] {
            clock.registers[places.high] = high;
            clock.registers[places.low] = low;
        }
        clock.follow();
        clock.shown = (clock.clocks[0], false);
        clock
    }

    fn counter(&self, places: &Places) -> u64 {
        if self.registers[places.bypass] & 1 != 0 {
            return 1;
        }
        let counter = u64::from(self.registers[places.high]) + u64::from(self.registers[places.low]);
        // All ones and one more.
        if counter == 0 { 512 } else { counter }
    }

    /// Takes over what the registers say. Returns whether the oscillator can do it.
    fn follow(&mut self) -> bool {
        let oscillator = REFERENCE * self.counter(&M) / self.counter(&N);
        self.clocks = [oscillator / self.counter(&C1), oscillator / self.counter(&C0)];
        OSCILLATOR.contains(&oscillator)
    }

    pub(crate) fn read(&self, at: u64, now: u64) -> u64 {
        match at {
            USRCLK_CMD0::OFFSET => self.command[0],
            USRCLK_CMD1::OFFSET => self.command[1],
            USRCLK_STS0::OFFSET => {
                let status = if now >= self.done_at { self.done } else { self.before };
                let locked = self.locked_at.is_some_and(|at| now >= at);
                status.with_locked(locked).with_avmm_error(self.error).bits()
            }
            USRCLK_STS1::OFFSET => {
                let high = USRCLK_CMD1::new(self.command[1]).measure_high();
                let measured = (self.clocks[usize::from(high)], high);
                let (frequency, high) = if now >= self.measured_at { measured } else { self.shown };
                let running = self.locked_at.is_some_and(|at| now >= at);
                USRCLK_STS1::default()
                    .with_frequency(if running { frequency.min(0x1_FFFF) } else { 0 })
                    .with_measured_high(high)
                    .with_reference(REFERENCE)
                    .bits()
            }
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, at: u64, value: u64, mask: u64, now: u64) {
        match at {
            USRCLK_CMD0::OFFSET => {
                let old = USRCLK_CMD0::new(self.command[0]);
                self.command[0] = merge(self.command[0], value, mask);
                self.access(old, USRCLK_CMD0::new(self.command[0]), now);
            }
            USRCLK_CMD1::OFFSET => {
                let old = USRCLK_CMD1::new(self.command[1]).measure_high();
                self.shown = (self.clocks[usize::from(old)], old);
                self.command[1] = merge(self.command[1], value, mask);
                self.measured_at = now.saturating_add(self.pll_measure);
            }
            _ => {}
        }
    }

    fn access(&mut self, old: USRCLK_CMD0, command: USRCLK_CMD0, now: u64) {
        if command.pll_reset() {
            self.locked_at = None;
        } else if old.pll_reset() {
            // It starts with what was written; what the oscillator cannot do it never locks on.
            self.locked_at = self.follow().then(|| now.saturating_add(self.pll_lock));
        }
        if !command.avmm_reset_n() {
            // The interface is held in reset: its sequence starts over.
            (self.before, self.done, self.error) = (USRCLK_STS0::default(), USRCLK_STS0::default(), false);
            return;
        }
        if command.sequence() == self.done.sequence() {
            return;
        }
        if now < self.done_at {
            // One at a time.
            self.error = true;
            return;
        }
        let register = &mut self.registers[command.address() as usize % REGISTERS];
        if command.write() {
            *register = command.data() as u8;
        }
        self.before = self.done;
        self.done = USRCLK_STS0::default()
            .with_data((*register).into())
            .with_address(command.address())
            .with_sequence(command.sequence());
        self.done_at = now.saturating_add(self.pll_access);
    }
}
