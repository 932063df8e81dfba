//! The two-wire bus to the SFP+ module, by the pins of I2CCTL (82599 datasheet 8.2.3.1.5).
//!
//! Both lines are open-drain: an output bit of 1 lets go of the line, the input bit says what it is. Times are those
//! of standard mode (100 kHz; SFF-8472 asks no more), and every write is read back before its time is waited for, or
//! PCIe could hold it back and shorten the pulse (82599 specification update, software clarification 3).
//!
//! [`Bus`] is the bus while this driver owns it; firmware may read modules too. [`BusError`] says what went wrong
//! on the wire. The neighbour above is [`sfp`](super::sfp), which knows what a module is.

use core::time::Duration;

use vfio_hal::DeviceError;

use crate::hw::Hw;
use crate::regs::I2CCTL;
use crate::semaphore::{Held, Resource};

/// Where a module answers: identification (SFF-8472's A0h).
pub(super) const IDENTIFICATION: u8 = 0xa0;
/// Where it answers with its diagnostics (A2h).
pub(super) const DIAGNOSTICS: u8 = 0xa2;

/// Times of a 100 kHz bus in µs (I2C specification, standard mode).
mod micros {
    /// An edge: 1 µs to rise, less to fall.
    pub(super) const EDGE: u64 = 1;
    /// Rise, and the data's set-up before the clock's edge.
    pub(super) const DATA_SETUP: u64 = 3;
    pub(super) const LOW: u64 = 5;
    pub(super) const HIGH: u64 = 4;
    pub(super) const START_SETUP: u64 = 5;
    pub(super) const START_HOLD: u64 = 4;
    pub(super) const STOP_SETUP: u64 = 4;
    /// Between a stop and the next start.
    pub(super) const FREE: u64 = 5;
}

/// The longest that a module may hold the clock down, in ms (SFF-8472: 500 µs).
const STRETCH_MILLIS: u64 = 1;

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BusError {
    /// Nobody acknowledged.
    NoAnswer,
    /// Somebody holds the clock line down.
    ClockStuck,
    /// Somebody holds the data line down.
    DataStuck,
    /// The device failed.
    Device(DeviceError),
}

impl From<DeviceError> for BusError {
    fn from(error: DeviceError) -> BusError {
        BusError::Device(error)
    }
}

/// The bus, owned.
pub(super) struct Bus<'a> {
    hw: &'a Hw,
    pins: I2CCTL,
    _held: Held<'a>,
}

impl<'a> Bus<'a> {
    /// Waits until firmware does not use the bus and takes it.
    pub(super) fn take(hw: &'a Hw) -> Result<Bus<'a>, DeviceError> {
        let held = Held::take(hw, Resource::Phy)?;
        let pins = hw.regs.read::<I2CCTL>();
        Ok(Bus { hw, pins, _held: held })
    }

    /// Fills `out` from byte `offset` on of what answers at `address`. The module counts up by itself and starts
    /// over after byte 255. When it fails, the bus has been cleared for the next attempt.
    pub(super) fn read(&mut self, address: u8, offset: u8, out: &mut [u8]) -> Result<(), BusError> {
        let done = self.transfer(address, offset, out);
        // A device that is gone reads all ones, like an idle bus with nobody on it.
        self.hw.check()?;
        if done.is_err() {
            self.clear();
            self.hw.check()?;
        }
        done
    }

    fn transfer(&mut self, address: u8, offset: u8, out: &mut [u8]) -> Result<(), BusError> {
        self.start()?;
        self.send(address)?;
        self.send(offset)?;
        self.start()?;
        self.send(address | 1)?;
        let count = out.len();
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = self.receive(index + 1 < count)?;
        }
        self.stop()
    }

    /// Frees a bus that was left in the middle of something: nine clocks let a module finish its byte, whatever it
    /// was, then a start and a stop make it listen again.
    fn clear(&mut self) {
        self.data(true);
        for _ in 0..9 {
            if self.clock_up().is_err() {
                return;
            }
            self.wait(micros::HIGH);
            self.clock_down();
        }
        // Whether that has worked is for the next transfer to find out.
        let _ = self.start();
        let _ = self.stop();
    }

    fn start(&mut self) -> Result<(), BusError> {
        self.data(true);
        self.clock_up()?;
        self.wait(micros::START_SETUP);
        self.expect_data_free()?;
        self.data(false);
        self.wait(micros::START_HOLD);
        self.clock_down();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), BusError> {
        self.data(false);
        self.clock_up()?;
        self.wait(micros::STOP_SETUP);
        self.data(true);
        self.wait(micros::FREE);
        Ok(())
    }

    fn send(&mut self, byte: u8) -> Result<(), BusError> {
        for bit in (0..8).rev() {
            let level = byte >> bit & 1 == 1;
            self.data(level);
            if level {
                self.expect_data_free()?;
            }
            self.clock_up()?;
            self.wait(micros::HIGH);
            self.clock_down();
        }
        // The receiver's turn: it acknowledges by holding the line down.
        self.data(true);
        match self.sample()? {
            false => Ok(()),
            true => Err(BusError::NoAnswer),
        }
    }

    fn receive(&mut self, more: bool) -> Result<u8, BusError> {
        self.data(true);
        let mut byte = 0;
        for _ in 0..8 {
            byte = byte << 1 | u8::from(self.sample()?);
        }
        self.data(!more);
        self.clock_up()?;
        self.wait(micros::HIGH);
        self.clock_down();
        Ok(byte)
    }

    /// One clock; returns the data line's level while the clock was high.
    fn sample(&mut self) -> Result<bool, BusError> {
        self.clock_up()?;
        self.wait(micros::HIGH);
        let level = self.hw.regs.read::<I2CCTL>().data_in();
        self.clock_down();
        Ok(level)
    }

    /// Lets go of the clock and waits until it is up: a module that needs time holds it down.
    fn clock_up(&mut self) -> Result<(), BusError> {
        let hw = self.hw;
        self.drive(self.pins.with_clk_out(true), micros::EDGE);
        let stretch = hw.poll("I2C clock", STRETCH_MILLIS).every(Duration::from_micros(1));
        match stretch.register(hw.regs.single(), |pins: I2CCTL| pins.clk_in()) {
            Ok(_) => Ok(()),
            Err(DeviceError::Timeout { .. }) => Err(BusError::ClockStuck),
            Err(error) => Err(error.into()),
        }
    }

    fn clock_down(&mut self) {
        self.drive(self.pins.with_clk_out(false), micros::EDGE + micros::LOW);
    }

    fn data(&mut self, level: bool) {
        self.drive(self.pins.with_data_out(level), micros::DATA_SETUP);
    }

    /// Checks that nobody else holds the data line, where it is ours.
    fn expect_data_free(&self) -> Result<(), BusError> {
        if self.hw.regs.read::<I2CCTL>().data_in() { Ok(()) } else { Err(BusError::DataStuck) }
    }

    fn drive(&mut self, pins: I2CCTL, micros: u64) {
        self.pins = pins;
        self.hw.regs.write(pins);
        let _ = self.hw.regs.read::<I2CCTL>();
        self.wait(micros);
    }

    fn wait(&self, micros: u64) {
        self.hw.wait_micros(micros);
    }
}
