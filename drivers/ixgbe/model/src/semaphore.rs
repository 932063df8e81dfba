//! The semaphores between software and firmware: SWSM and SW_FW_SYNC (datasheet 10.5.4, 8.2.3.4.12, .16).
//!
//! Key types: [`Semaphores`]. No firmware runs, so software always gets what nobody else took.

use pmd_ixgbe::regs::SWSM;

use crate::state::state;

/// SWSM; SW_FW_SYNC is plain storage, which no software reset clears.
#[derive(Default)]
pub(crate) struct Semaphores {
    swsm: SWSM,
}

state!(Semaphores { swsm });

impl Semaphores {
    /// SWSM without the effect of a read.
    pub(crate) fn peek(&self) -> u32 {
        self.swsm.bits()
    }

    /// A read of SWSM takes SMBI.
    pub(crate) fn read(&mut self) -> u32 {
        let before = self.swsm;
        self.swsm = before.with_smbi(true);
        before.bits()
    }

    /// A write gives SMBI back (0) or leaves it, and sets or clears SWESMBI.
    pub(crate) fn write(&mut self, value: SWSM) {
        self.swsm = self.swsm.with_smbi(self.swsm.smbi() && value.smbi()).with_swesmbi(value.swesmbi());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reader_gets_smbi() {
        let mut semaphores = Semaphores::default();
        assert_eq!(semaphores.read() & 1, 0);
        assert_eq!(semaphores.read() & 1, 1);
        semaphores.write(SWSM::default());
        assert_eq!(semaphores.read() & 1, 0);
    }

    #[test]
    fn swesmbi_reads_back() {
        let mut semaphores = Semaphores::default();
        semaphores.read();
        semaphores.write(SWSM::default().with_smbi(true).with_swesmbi(true));
        assert_eq!(semaphores.read(), 3);
    }

    #[test]
    fn smbi_cannot_be_taken_by_writing() {
        let mut semaphores = Semaphores::default();
        semaphores.write(SWSM::default().with_smbi(true));
        assert_eq!(semaphores.peek(), 0);
    }
}
