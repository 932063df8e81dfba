//! The module on its two-wire bus, as the I2C specification and SFF-8472 have it.

use core::time::Duration;

use vfio_hal::testing::RegisterFile;

use crate::phy::sfp;
use crate::regs::I2CCTL;

/// A module on its bus.
pub(crate) struct Slave {
    /// Page A0h; without, nobody answers.
    pub(crate) id: Option<[u8; 256]>,
    /// Page A2h.
    pub(crate) diagnostics: Option<[u8; 256]>,
    pub(crate) clock_stuck: bool,
    pub(crate) data_stuck: bool,
    /// Holds the clock down for so long before each acknowledge.
    pub(crate) stretch: Duration,
    /// Acknowledges so many bytes more.
    pub(crate) answers: usize,
    /// Answers only the first byte of a transfer right.
    pub(crate) single: bool,
    /// Boots until then: every byte is 0.
    pub(crate) ready_at: Duration,
    /// The shortest times that the clock was high and low.
    pub(crate) shortest: [Duration; 2],
    /// Transfers that were ended by a stop.
    pub(crate) stops: usize,
    edge: Duration,
    clock: bool,
    data: bool,
    pull: bool,
    stretch_until: Duration,
    bit: u8,
    byte: u8,
    turn: Turn,
    heard: usize,
    page: u8,
    at: u8,
    sent: usize,
    /// The master's last acknowledge.
    wants_more: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Turn {
    Nobody,
    Master,
    Module,
}

impl Slave {
    pub(super) fn new() -> Slave {
        Slave {
            id: Some(sr()),
            diagnostics: Some(core::array::from_fn(|at| at as u8)),
            clock_stuck: false,
            data_stuck: false,
            stretch: Duration::ZERO,
            answers: usize::MAX,
            single: false,
            ready_at: Duration::ZERO,
            shortest: [Duration::MAX; 2],
            stops: 0,
            edge: Duration::ZERO,
            clock: true,
            data: true,
            pull: false,
            stretch_until: Duration::ZERO,
            bit: 0,
            byte: 0,
            turn: Turn::Nobody,
            heard: 0,
            page: 0,
            at: 0,
            sent: 0,
            wants_more: false,
        }
    }

    /// Leaves the bus as a driver does that is killed while the module sends a byte of zeros: the module holds the
    /// data line and waits for clocks.
    pub(crate) fn abandon(&mut self) {
        (self.turn, self.byte, self.bit, self.pull) = (Turn::Module, 0, 3, true);
    }

    pub(super) fn levels(&self, file: &RegisterFile, now: Duration) {
        let clock = self.clock && !self.clock_stuck && now >= self.stretch_until;
        let data = self.data && !self.pull && !self.data_stuck;
        file.set(0, file.get::<I2CCTL>(0).with_clk_in(clock).with_data_in(data));
    }

    pub(super) fn drive(&mut self, clock: bool, data: bool, now: Duration) {
        let (was_clock, was_data) = (self.clock, self.data);
        assert!(clock == was_clock || data == was_data, "both lines change at once");
        (self.clock, self.data) = (clock, data);
        if clock != was_clock {
            let shortest = &mut self.shortest[usize::from(clock)];
            *shortest = (*shortest).min(now - self.edge);
            self.edge = now;
        }
        match (was_clock, clock) {
            (true, true) if was_data && !data => {
                // The clock's next fall ends the start and begins bit 0.
                (self.turn, self.bit, self.heard, self.pull) = (Turn::Master, u8::MAX, 0, false);
            }
            (true, true) if !was_data && data => {
                (self.turn, self.pull) = (Turn::Nobody, false);
                self.stops += 1;
            }
            (false, true) => self.rise(now),
            (true, false) => self.fall(now),
            _ => {}
        }
    }

    fn rise(&mut self, now: Duration) {
        match (self.turn, self.bit) {
            (Turn::Master, 0..=7) => self.byte = self.byte << 1 | u8::from(self.data),
            (Turn::Module, 8) => self.wants_more = !self.data,
            (Turn::Master, 8) if self.pull => self.stretch_until = now + self.stretch,
            _ => {}
        }
    }

    fn fall(&mut self, now: Duration) {
        self.bit = self.bit.wrapping_add(1);
        self.pull = match (self.turn, self.bit) {
            (Turn::Master, 8) => self.acknowledge(),
            (Turn::Master, 9) => {
                self.bit = 0;
                if self.heard == 1 && self.page & 1 == 1 {
                    self.turn = Turn::Module;
                    self.sent = 0;
                    self.load(now)
                } else {
                    false
                }
            }
            (Turn::Module, 1..=7) => self.byte << self.bit & 0x80 == 0,
            (Turn::Module, 9) => {
                self.bit = 0;
                if self.wants_more {
                    self.load(now)
                } else {
                    self.turn = Turn::Nobody;
                    false
                }
            }
            _ => false,
        };
    }

    fn acknowledge(&mut self) -> bool {
        self.heard += 1;
        let known = match self.heard {
            1 => {
                self.page = self.byte;
                match self.byte & 0xfe {
                    0xa0 => self.id.is_some(),
                    0xa2 => self.id.is_some() && self.diagnostics.is_some(),
                    _ => false,
                }
            }
            _ => {
                self.at = self.byte;
                true
            }
        };
        if !known || self.answers == 0 {
            self.turn = Turn::Nobody;
            return false;
        }
        self.answers -= 1;
        true
    }

    /// Loads the next byte; returns whether its first bit is 0.
    fn load(&mut self, now: Duration) -> bool {
        let page = if self.page & 2 == 0 { &self.id } else { &self.diagnostics };
        self.byte = page.map_or(0xff, |page| page[usize::from(self.at)]);
        if now < self.ready_at || self.single && self.sent > 0 {
            self.byte = 0;
        }
        self.sent += 1;
        self.at = self.at.wrapping_add(1);
        self.byte & 0x80 == 0
    }
}

/// An identification with nothing but a vendor.
pub(crate) fn blank_module() -> [u8; 256] {
    let mut page = core::array::from_fn(|at| at as u8);
    page[..sfp::BYTES].fill(0);
    page[0] = 0x03;
    page[20..36].copy_from_slice(b"Maker           ");
    page[37..40].copy_from_slice(&[0x00, 0x1b, 0x21]);
    page[40..56].copy_from_slice(b"PART-1          ");
    page[68..84].copy_from_slice(b"SER14L\xff         ");
    page
}

/// A 10GBASE-SR module with diagnostics.
pub(crate) fn sr() -> [u8; 256] {
    let mut page = blank_module();
    page[3] = 1 << 4;
    page[92] = 0x68;
    page[94] = 5;
    check(&mut page);
    page
}

/// Makes the check codes right.
pub(crate) fn check(page: &mut [u8; 256]) {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    page[63] = sum(&page[..63]);
    page[95] = sum(&page[64..95]);
}
