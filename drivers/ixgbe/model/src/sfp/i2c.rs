//! The two-wire bus behind I2CCTL, as the module sees it (datasheet 8.2.3.1.5; SFF-8472 chapter 4).
//!
//! Software drives clock and data through output bits and reads both back; either side can pull the data line low.
//!
//! Key types: [`I2c`]. Neighbours: the dispatcher gives it I2CCTL, [`memory`](super::memory) is what it reads.

use pmd_ixgbe::regs::I2CCTL;

use super::memory::ModuleMemory;
use crate::state::{StateError, check, state, state_enum};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not addressed.
    Idle,
    /// Taking a byte from the master.
    Receive,
    /// Holding the line low for the ninth clock.
    Acknowledge,
    /// Giving a byte to the master.
    Send,
    /// The master's ninth clock.
    AwaitAcknowledge,
}

/// The bus with one module on it.
pub(crate) struct I2c {
    memory: Option<ModuleMemory>,
    clock: bool,
    data: bool,
    /// The module pulls the line low.
    pull: bool,
    phase: Phase,
    shift: u8,
    bits: u8,
    /// Bytes received since the start condition.
    received: u8,
    /// The page addressed, by its bus address, and whether it is read.
    page: Option<(u8, bool)>,
    pointer: u8,
}

state_enum!(Phase { Idle = 0, Receive = 1, Acknowledge = 2, Send = 3, AwaitAcknowledge = 4 });
state!(I2c { memory, clock, data, pull, phase, shift, bits, received, page, pointer });

impl I2c {
    /// Checks what came from outside: the bits of a byte.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        let most = if self.phase == Phase::Send { 7 } else { 8 };
        check(self.bits <= most, "more bits on the module's bus than a byte has")
    }

    pub(crate) fn new(memory: Option<ModuleMemory>) -> I2c {
        I2c {
            memory,
            clock: true,
            data: true,
            pull: false,
            phase: Phase::Idle,
            shift: 0,
            bits: 0,
            received: 0,
            page: None,
            pointer: 0,
        }
    }

    /// Whether there is a module.
    pub(crate) fn present(&self) -> bool {
        self.memory.is_some()
    }

    /// Puts a module in or takes it out.
    pub(crate) fn plug(&mut self, memory: Option<ModuleMemory>) {
        *self = I2c { clock: self.clock, data: self.data, ..I2c::new(memory) };
    }

    /// I2CCTL as read: the inputs are what is on the lines.
    pub(crate) fn read(&self) -> u32 {
        let value =
            I2CCTL::default().with_clk_out(self.clock).with_clk_in(self.clock).with_data_out(self.data);
        value.with_data_in(self.data && !self.pull).bits()
    }

    /// I2CCTL written.
    pub(crate) fn write(&mut self, value: I2CCTL) {
        let (clock, data) = (value.clk_out(), value.data_out());
        let (was_clock, was_data) = (self.clock, self.data);
        // Data first: when both change in one write, software meant data to be stable at the clock's edge.
        self.data = data;
        if was_clock && clock && was_data != data {
            if data { self.stop() } else { self.start() }
        }
        self.clock = clock;
        match (was_clock, clock) {
            (false, true) => self.rise(),
            (true, false) => self.fall(),
            _ => {}
        }
    }

    fn start(&mut self) {
        self.pull = false;
        self.received = 0;
        self.bits = 0;
        self.phase = if self.memory.is_some() { Phase::Receive } else { Phase::Idle };
    }

    fn stop(&mut self) {
        self.pull = false;
        self.phase = Phase::Idle;
        self.page = None;
    }

    fn rise(&mut self) {
        match self.phase {
            Phase::Receive => {
                self.shift = self.shift << 1 | u8::from(self.data);
                self.bits += 1;
            }
            Phase::AwaitAcknowledge if self.data => self.phase = Phase::Idle,
            _ => {}
        }
    }

    fn fall(&mut self) {
        match self.phase {
            Phase::Idle => self.pull = false,
            Phase::Receive if self.bits == 8 => {
                self.bits = 0;
                if self.take(self.shift) {
                    self.pull = true;
                    self.phase = Phase::Acknowledge;
                } else {
                    self.phase = Phase::Idle;
                }
            }
            Phase::Receive => {}
            Phase::Acknowledge => {
                self.pull = false;
                if matches!(self.page, Some((_, true))) {
                    self.load();
                } else {
                    self.phase = Phase::Receive;
                }
            }
            Phase::Send => {
                self.bits += 1;
                if self.bits == 8 {
                    self.pull = false;
                    self.phase = Phase::AwaitAcknowledge;
                } else {
                    self.shift <<= 1;
                    self.pull = self.shift & 0x80 == 0;
                }
            }
            Phase::AwaitAcknowledge => self.load(),
        }
    }

    /// A byte from the master: the address, then the offset, then data. Returns whether the module acknowledges.
    fn take(&mut self, byte: u8) -> bool {
        self.received = self.received.saturating_add(1);
        match self.received {
            1 => {
                let known = match byte & 0xFE {
                    0xA0 => true,
                    0xA2 => self.memory.as_ref().is_some_and(|m| m.diagnostics.is_some()),
                    _ => false,
                };
                self.page = known.then_some((byte & 0xFE, byte & 1 == 1));
                known
            }
            2 => {
                self.pointer = byte;
                true
            }
            _ => {
                self.store(byte);
                true
            }
        }
    }

    /// The upper half of A2h and its control byte take writes (rate select, soft transmit disable).
    fn store(&mut self, byte: u8) {
        if let (Some((0xA2, _)), Some(memory)) = (self.page, &mut self.memory)
            && let Some(page) = &mut memory.diagnostics
            && self.pointer >= 110
        {
            page[usize::from(self.pointer)] = byte;
        }
        self.pointer = self.pointer.wrapping_add(1);
    }

    fn load(&mut self) {
        let at = usize::from(self.pointer);
        self.shift = match (self.page, &self.memory) {
            (Some((0xA0, _)), Some(memory)) => memory.id[at],
            (Some((0xA2, _)), Some(memory)) => memory.diagnostics.as_ref().map_or(0xFF, |page| page[at]),
            _ => 0xFF,
        };
        self.pointer = self.pointer.wrapping_add(1);
        self.bits = 0;
        self.pull = self.shift & 0x80 == 0;
        self.phase = Phase::Send;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Module;

    /// A master that wiggles I2CCTL as a driver does.
    struct Master(I2c, I2CCTL);
    impl Master {
        fn new(module: Module) -> Master {
            Master(
                I2c::new(ModuleMemory::new(module)),
                I2CCTL::default().with_clk_out(true).with_data_out(true),
            )
        }
        fn data(&mut self, level: bool) {
            self.1 = self.1.with_data_out(level);
            self.0.write(self.1);
        }
        fn scl(&mut self, level: bool) {
            self.1 = self.1.with_clk_out(level);
            self.0.write(self.1);
        }
        fn start(&mut self) {
            self.data(true);
            self.scl(true);
            self.data(false);
            self.scl(false);
        }
        fn stop(&mut self) {
            self.data(false);
            self.scl(true);
            self.data(true);
        }
        fn clock(&mut self) -> bool {
            self.scl(true);
            let level = I2CCTL::new(self.0.read()).data_in();
            self.scl(false);
            level
        }
        /// Returns whether the byte was acknowledged.
        fn send(&mut self, byte: u8) -> bool {
            for i in (0..8).rev() {
                self.data(byte >> i & 1 == 1);
                self.clock();
            }
            self.data(true);
            !self.clock()
        }
        fn receive(&mut self, more: bool) -> u8 {
            self.data(true);
            let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.clock()));
            self.data(!more);
            self.clock();
            byte
        }
        fn read(&mut self, device: u8, offset: u8, len: usize) -> Option<Vec<u8>> {
            self.start();
            if !self.send(device) || !self.send(offset) {
                self.stop();
                return None;
            }
            self.start();
            assert!(self.send(device | 1));
            let bytes = (0..len).map(|i| self.receive(i + 1 < len)).collect();
            self.stop();
            Some(bytes)
        }
    }

    #[test]
    fn a_module_is_read_byte_by_byte_and_in_sequence() {
        let mut master = Master::new(Module::Sr);
        assert_eq!(master.read(0xA0, 0, 1), Some(vec![0x03]));
        assert_eq!(master.read(0xA0, 3, 1), Some(vec![0x10]));
        assert_eq!(master.read(0xA0, 20, 10), Some(b"Intel Corp".to_vec()));
        assert_eq!(master.read(0xA0, 37, 3), Some(vec![0x00, 0x1B, 0x21]));
        assert_eq!(master.read(0xA2, 96, 2), Some(vec![0x23, 0x80]));
    }

    #[test]
    fn nobody_answers_where_there_is_nothing() {
        assert_eq!(Master::new(Module::Absent).read(0xA0, 0, 1), None);
        assert_eq!(Master::new(Module::DirectAttach).read(0xA2, 0, 1), None);
        assert_eq!(Master::new(Module::Sr).read(0xF8, 0, 1), None);
    }

    #[test]
    fn a_bus_left_in_the_middle_recovers_with_clocks_and_a_stop() {
        let mut master = Master::new(Module::Sr);
        master.start();
        assert!(master.send(0xA0));
        assert!(master.send(0));
        master.start();
        assert!(master.send(0xA1));
        master.clock(); // abandoned while the module holds the line
        master.data(true);
        (0..9).for_each(|_| {
            master.clock();
        });
        master.stop();
        assert_eq!(master.read(0xA0, 0, 1), Some(vec![0x03]));
    }
}
