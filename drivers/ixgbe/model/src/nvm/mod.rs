//! The EEPROM and the ways to it: EERD reads words, EEC holds the status and the pins for bit-banging.
//!
//! - [`image`]: what is in it.
//! - [`spi`]: the serial EEPROM behind EEC's pins, for writing.
//!
//! Key types: [`Nvm`]. Neighbours: after a reset the auto-read loads registers from it (`reset`).

pub(crate) mod image;
pub(crate) mod spi;

use pmd_ixgbe::regs::{EEC, EERD};
use pmd_links::Nanos;

use crate::config::{Config, Timing};
use crate::state::{StateError, state};
use image::Image;
use spi::SpiEeprom;

/// EEC 10: the EEPROM takes 16-bit addresses.
const ADDR_SIZE: u32 = 1 << 10;
/// EEC.size of 16 KB.
const SIZE: u32 = 7;
/// EEC.fwe: writes to the flash are off.
const FLASH_PROTECTED: u32 = 1;

/// The EEPROM with its registers.
pub(crate) struct Nvm {
    image: Image,
    spi: SpiEeprom,
    eec: EEC,
    /// The word being read and when it is there.
    eerd: Option<(u16, Nanos)>,
    ard_at: Nanos,
}

state!(Nvm { image, spi, eec, eerd, ard_at });

impl Nvm {
    /// Checks what came from outside.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        self.image.sound()
    }

    pub(crate) fn new(config: &Config) -> Nvm {
        Nvm {
            image: Image::new(config),
            spi: SpiEeprom::new(),
            eec: EEC::default().with_fwe(FLASH_PROTECTED),
            eerd: None,
            ard_at: 0,
        }
    }

    /// A reset starts the auto-read; the contents stay.
    pub(crate) fn reset(&mut self, ard_at: Nanos) {
        self.spi = SpiEeprom::new();
        self.eec = EEC::default().with_fwe(FLASH_PROTECTED);
        self.eerd = None;
        self.ard_at = ard_at;
    }

    /// Returns the words.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// EEC as read.
    pub(crate) fn read_eec(&self, now: Nanos) -> u32 {
        let ready = now >= self.ard_at;
        let value = self
            .eec
            .with_pres(true)
            .with_size(SIZE)
            .with_gnt(self.eec.req())
            .with_dout(self.spi.output())
            .with_auto_rd(ready)
            .with_pci_ana_done(ready)
            .with_pci_core_done(ready)
            .with_pci_general_done(ready)
            .with_pci_func_done(ready)
            .with_core_done(ready)
            .with_core_csr_done(ready)
            .with_mac_done(ready);
        value.bits() | ADDR_SIZE
    }

    /// EEC written: the request bit, and the pins while the request is granted.
    pub(crate) fn write_eec(&mut self, value: EEC) {
        let kept = EEC::default().with_fwe(value.fwe()).with_req(value.req());
        self.eec = kept.with_sk(value.sk()).with_cs(value.cs()).with_di(value.di());
        let select = value.req() && !value.cs();
        self.spi.pins(select, value.req() && value.sk(), value.di(), &mut self.image);
    }

    /// EERD as read: done with data once the time is over.
    pub(crate) fn read_eerd(&self, now: Nanos) -> u32 {
        let Some((word, at)) = self.eerd else { return 0 };
        let value = EERD::default().with_addr(u32::from(word)).with_start(true);
        if now < at {
            return value.bits();
        }
        value.with_done(true).with_data(u32::from(self.image.word(word))).bits()
    }

    /// EERD written: starts reading a word if START is set. A second start before DONE is the new one.
    pub(crate) fn write_eerd(&mut self, value: EERD, now: Nanos, timing: &Timing) {
        if value.start() {
            self.eerd =
                Some((value.addr() as u16, now.saturating_add(timing.eeprom_read.as_nanos() as Nanos)));
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
        nvm.write_eerd(EERD::default().with_addr(0x3F).with_start(true), 1_000, &config.timing);
        assert!(!EERD::new(nvm.read_eerd(1_500)).done());
        let done = EERD::new(nvm.read_eerd(3_000));
        assert!(done.done());
        assert_eq!(done.data() as u16, nvm.image().word(0x3F));
    }

    #[test]
    fn ard_shows_that_the_auto_read_is_over() {
        let mut nvm = Nvm::new(&Config::new([2, 0, 0, 0, 0, 1]));
        nvm.reset(5_000);
        assert!(!EEC::new(nvm.read_eec(4_999)).auto_rd());
        assert!(EEC::new(nvm.read_eec(5_000)).auto_rd());
    }
}
