//! The EEPROM and the ways to it: EERD reads words, EEC holds the status and the pins for bit-banging.
//!
//! - [`image`]: what is in it.
//! - [`spi`]: the serial EEPROM behind EEC's pins, for writing.
//!
//! Key types: [`Nvm`]. Neighbours: after a reset the auto-read loads registers from it (`reset`).

pub(crate) mod image;
pub(crate) mod spi;

use pmd_links::Nanos;

use crate::config::{Config, Timing};
use image::Image;
use spi::SpiEeprom;

/// EEC bits (8.2.3.2.1).
mod eec {
    pub(super) const SK: u32 = 1 << 0;
    pub(super) const CS: u32 = 1 << 1;
    pub(super) const DI: u32 = 1 << 2;
    pub(super) const DO: u32 = 1 << 3;
    /// 5:4, flash write protection: 01 is "writes disabled".
    pub(super) const FWE: u32 = 3 << 4;
    pub(super) const REQ: u32 = 1 << 6;
    pub(super) const GNT: u32 = 1 << 7;
    pub(super) const PRES: u32 = 1 << 8;
    pub(super) const ARD: u32 = 1 << 9;
    /// The EEPROM takes 16-bit addresses.
    pub(super) const ADDR_SIZE: u32 = 1 << 10;
    /// 14:11, 2^(n + 6) words: 7 for 16 KB.
    pub(super) const SIZE_16K: u32 = 7 << 11;
    /// 21:15: every section of the auto-read was loaded.
    pub(super) const SECTIONS_DONE: u32 = 0x7F << 15;
}

const EERD_START: u32 = 1 << 0;
const EERD_DONE: u32 = 1 << 1;

/// The EEPROM with its registers.
pub(crate) struct Nvm {
    image: Image,
    spi: SpiEeprom,
    eec: u32,
    /// The word being read and when it is there.
    eerd: Option<(u16, Nanos)>,
    ard_at: Nanos,
}

impl Nvm {
    pub(crate) fn new(config: &Config) -> Nvm {
        Nvm { image: Image::new(config), spi: SpiEeprom::new(), eec: 1 << 4, eerd: None, ard_at: 0 }
    }

    /// A reset starts the auto-read; the contents stay.
    pub(crate) fn reset(&mut self, ard_at: Nanos) {
        self.spi = SpiEeprom::new();
        self.eec = 1 << 4;
        self.eerd = None;
        self.ard_at = ard_at;
    }

    /// Returns the words.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// EEC as read.
    pub(crate) fn read_eec(&self, now: Nanos) -> u32 {
        let mut value = self.eec | eec::PRES | eec::ADDR_SIZE | eec::SIZE_16K;
        if now >= self.ard_at {
            value |= eec::ARD | eec::SECTIONS_DONE;
        }
        if self.eec & eec::REQ != 0 {
            value |= eec::GNT;
        }
        if self.spi.output() {
            value |= eec::DO;
        }
        value
    }

    /// EEC written: the request bit, and the pins while the request is granted.
    pub(crate) fn write_eec(&mut self, value: u32) {
        let keep = eec::FWE | eec::REQ | eec::SK | eec::CS | eec::DI;
        self.eec = value & keep;
        if self.eec & eec::REQ != 0 {
            let [clock, select, data] = [eec::SK, eec::CS, eec::DI].map(|bit| value & bit != 0);
            self.spi.pins(!select, clock, data, &mut self.image);
        } else {
            self.spi.pins(false, false, false, &mut self.image);
        }
    }

    /// EERD as read: done with data once the time is over.
    pub(crate) fn read_eerd(&self, now: Nanos) -> u32 {
        match self.eerd {
            None => 0,
            Some((word, at)) if now < at => u32::from(word) << 2 | EERD_START,
            Some((word, _)) => {
                u32::from(self.image.word(word)) << 16 | u32::from(word) << 2 | EERD_START | EERD_DONE
            }
        }
    }

    /// EERD written: starts reading a word if START is set. A second start before DONE is the new one.
    pub(crate) fn write_eerd(&mut self, value: u32, now: Nanos, timing: &Timing) {
        if value & EERD_START != 0 {
            let word = (value >> 2 & 0x3FFF) as u16;
            self.eerd = Some((word, now.saturating_add(timing.eeprom_read.as_nanos() as Nanos)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eerd_answers_after_its_time() {
        let config = Config::new([2, 0, 0, 0, 0, 1]);
        let mut nvm = Nvm::new(&config);
        nvm.write_eerd(0x3F << 2 | EERD_START, 1_000, &config.timing);
        assert_eq!(nvm.read_eerd(1_500) & EERD_DONE, 0);
        let done = nvm.read_eerd(3_000);
        assert_ne!(done & EERD_DONE, 0);
        assert_eq!((done >> 16) as u16, nvm.image().word(0x3F));
    }

    #[test]
    fn ard_shows_that_the_auto_read_is_over() {
        let mut nvm = Nvm::new(&Config::new([2, 0, 0, 0, 0, 1]));
        nvm.reset(5_000);
        assert_eq!(nvm.read_eec(4_999) & eec::ARD, 0);
        assert_ne!(nvm.read_eec(5_000) & eec::ARD, 0);
    }
}
