//! The serial EEPROM behind the pins of EEC: an SPI memory in the way of the 25xx series, 16-bit addresses, which
//! shifts on the clock's edges (datasheet 8.2.3.2.1).
//!
//! Key types: [`SpiEeprom`]. Neighbours: [`Nvm`](super::Nvm) feeds it with pin levels.

use super::image::Image;
use crate::state::state;

mod op {
    pub(super) const WRITE: u8 = 0x02;
    pub(super) const READ: u8 = 0x03;
    pub(super) const WRITE_DISABLE: u8 = 0x04;
    pub(super) const READ_STATUS: u8 = 0x05;
    pub(super) const WRITE_ENABLE: u8 = 0x06;
}

/// Status register: writes are enabled. Bit 0, busy, is never set: the memory is quick.
const STATUS_WRITE_ENABLED: u8 = 1 << 1;

/// The memory's shift registers.
pub(crate) struct SpiEeprom {
    selected: bool,
    clock: bool,
    /// Bits received since selected.
    bits: u32,
    shift: u8,
    opcode: u8,
    address: u16,
    write_enabled: bool,
    wrote: bool,
    out: u8,
    out_bit: bool,
}

state!(SpiEeprom { selected, clock, bits, shift, opcode, address, write_enabled, wrote, out, out_bit });

impl SpiEeprom {
    pub(crate) fn new() -> SpiEeprom {
        SpiEeprom {
            selected: false,
            clock: false,
            bits: 0,
            shift: 0,
            opcode: 0,
            address: 0,
            write_enabled: false,
            wrote: false,
            out: 0,
            out_bit: false,
        }
    }

    /// The level of the data pin towards the controller.
    pub(crate) fn output(&self) -> bool {
        self.out_bit
    }

    /// The pins take new levels.
    pub(crate) fn pins(&mut self, select: bool, clock: bool, data: bool, image: &mut Image) {
        if select != self.selected {
            self.selected = select;
            self.bits = 0;
            if !select && self.wrote {
                // The latch falls back after each write (25xx series).
                self.write_enabled = false;
                self.wrote = false;
            }
        }
        let edge = (self.clock, clock);
        self.clock = clock;
        if !self.selected {
            return;
        }
        match edge {
            (false, true) => self.rise(data, image),
            (true, false) => self.fall(image),
            _ => {}
        }
    }

    fn rise(&mut self, data: bool, image: &mut Image) {
        self.shift = self.shift << 1 | u8::from(data);
        self.bits = self.bits.saturating_add(1);
        if !self.bits.is_multiple_of(8) {
            return;
        }
        match (self.bits / 8, self.opcode) {
            (1, _) => {
                self.opcode = self.shift;
                match self.opcode {
                    op::WRITE_ENABLE => self.write_enabled = true,
                    op::WRITE_DISABLE => self.write_enabled = false,
                    _ => {}
                }
            }
            (2, op::READ | op::WRITE) => self.address = u16::from(self.shift) << 8,
            (3, op::READ | op::WRITE) => self.address |= u16::from(self.shift),
            (_, op::WRITE) if self.write_enabled => {
                image.set_byte(self.address, self.shift);
                self.address = self.address.wrapping_add(1);
                self.wrote = true;
            }
            _ => {}
        }
    }

    /// The memory puts its next bit out on the falling edge, the first one after the last bit of the command.
    fn fall(&mut self, image: &Image) {
        let command = match self.opcode {
            op::READ => 24,
            op::READ_STATUS => 8,
            _ => return,
        };
        if self.bits < command {
            return;
        }
        if (self.bits - command).is_multiple_of(8) {
            self.out = if self.opcode == op::READ {
                let byte = image.byte(self.address);
                self.address = self.address.wrapping_add(1);
                byte
            } else if self.write_enabled {
                STATUS_WRITE_ENABLED
            } else {
                0
            };
        }
        self.out_bit = self.out & 0x80 != 0;
        self.out <<= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    struct Bench {
        spi: SpiEeprom,
        image: Image,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { spi: SpiEeprom::new(), image: Image::new(&Config::new([2, 0, 0, 0, 0, 1])) }
        }
        fn select(&mut self, on: bool) {
            self.spi.pins(on, false, false, &mut self.image);
        }
        fn out(&mut self, byte: u8) {
            for bit in (0..8).rev() {
                let data = byte >> bit & 1 == 1;
                self.spi.pins(true, false, data, &mut self.image);
                self.spi.pins(true, true, data, &mut self.image);
                self.spi.pins(true, false, data, &mut self.image);
            }
        }
        fn input(&mut self) -> u8 {
            (0..8).fold(0, |byte, _| {
                self.spi.pins(true, true, false, &mut self.image);
                let bit = self.spi.output();
                self.spi.pins(true, false, false, &mut self.image);
                byte << 1 | u8::from(bit)
            })
        }
        fn command(&mut self, bytes: &[u8], answer: usize) -> Vec<u8> {
            self.select(true);
            bytes.iter().for_each(|b| self.out(*b));
            let answer = (0..answer).map(|_| self.input()).collect();
            self.select(false);
            answer
        }
    }

    #[test]
    fn reads_run_on_from_the_address() {
        let mut bench = Bench::new();
        let address = 0x3Fu16 * 2;
        let word = bench.image.word(0x3F).to_le_bytes();
        let [high, low] = address.to_be_bytes();
        assert_eq!(bench.command(&[op::READ, high, low], 2), word);
    }

    #[test]
    fn writes_need_the_latch_and_drop_it() {
        let mut bench = Bench::new();
        bench.command(&[op::WRITE, 0x10, 0x00, 0xAB], 0);
        assert_eq!(bench.image.byte(0x1000), 0xFF, "not enabled: nothing written");
        bench.command(&[op::WRITE_ENABLE], 0);
        assert_eq!(bench.command(&[op::READ_STATUS], 1), [STATUS_WRITE_ENABLED]);
        bench.command(&[op::WRITE, 0x10, 0x00, 0xAB, 0xCD], 0);
        assert_eq!((bench.image.byte(0x1000), bench.image.byte(0x1001)), (0xAB, 0xCD));
        assert_eq!(bench.command(&[op::READ_STATUS], 1), [0]);
    }
}
