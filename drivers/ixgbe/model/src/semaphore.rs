//! The semaphores between software and firmware: SWSM and SW_FW_SYNC (datasheet 10.5.4, 8.2.3.4.12, .16).
//!
//! Key types: [`Semaphores`]. No firmware runs, so software always gets what nobody else took.

/// SWSM bits.
mod swsm {
    /// Set by the read that finds it clear: that reader has the semaphore.
    pub(super) const SMBI: u32 = 1 << 0;
    /// Set by software, reads back as set unless the firmware has it.
    pub(super) const SWESMBI: u32 = 1 << 1;
    pub(super) const WMNG: u32 = 1 << 2;
}

/// SWSM; SW_FW_SYNC is plain storage, which no software reset clears.
#[derive(Default)]
pub(crate) struct Semaphores {
    swsm: u32,
}

impl Semaphores {
    /// SWSM without the effect of a read.
    pub(crate) fn peek(&self) -> u32 {
        self.swsm
    }

    /// A read of SWSM takes SMBI.
    pub(crate) fn read(&mut self) -> u32 {
        let before = self.swsm;
        self.swsm |= swsm::SMBI;
        before
    }

    /// A write gives SMBI back (0) or leaves it, and sets or clears the others.
    pub(crate) fn write(&mut self, value: u32) {
        let smbi = self.swsm & value & swsm::SMBI;
        self.swsm = value & (swsm::SWESMBI | swsm::WMNG) | smbi;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reader_gets_smbi() {
        let mut semaphores = Semaphores::default();
        assert_eq!(semaphores.read() & swsm::SMBI, 0);
        assert_eq!(semaphores.read() & swsm::SMBI, 1);
        semaphores.write(0);
        assert_eq!(semaphores.read() & swsm::SMBI, 0);
    }

    #[test]
    fn swesmbi_reads_back() {
        let mut semaphores = Semaphores::default();
        semaphores.read();
        semaphores.write(swsm::SMBI | swsm::SWESMBI);
        assert_eq!(semaphores.read(), swsm::SMBI | swsm::SWESMBI);
    }
}
