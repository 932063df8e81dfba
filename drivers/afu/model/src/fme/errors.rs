//! The FME's error registers (feature 4): latching, masks, the first two errors, injection.
//!
//! Key types: [`FmeErrors`]. Neighbours: all units raise errors here; the model turns what a call raised into the
//! interrupt.

use pmd_afu::regs::fme::error::*;
use vfio_hal::regs::Register;

use crate::control::ErrorRegister;
use crate::list::Vectors;
use crate::words::merge;

/// The bits that each of the five registers has.
const IMPLEMENTED: [u64; 5] = [(1 << 20) - 1, 0xC000_0000_0000_1FFF, 0x3FF, 0x1E7F, 0xFFF];

pub(crate) struct FmeErrors {
    /// FME, PCIe 0, PCIe 1, non-fatal, catastrophic.
    errors: [u64; 5],
    masks: [u64; 5],
    first: u64,
    next: u64,
    inject: u64,
    /// What holds the two RAS registers up as long as it lasts: injection, temperature, power.
    held: [u64; 2],
    vectors: Vectors,
    interrupt: bool,
}

fn index(register: ErrorRegister) -> usize {
    match register {
        ErrorRegister::Fme => 0,
        ErrorRegister::Pcie0 => 1,
        ErrorRegister::Pcie1 => 2,
        ErrorRegister::NonFatal => 3,
        ErrorRegister::Catastrophic => 4,
    }
}

impl FmeErrors {
    /// All errors are masked after power-on, until a driver wants to know.
    pub(crate) fn new(vectors: Vectors) -> FmeErrors {
        FmeErrors {
            errors: [0; 5],
            masks: [u64::MAX; 5],
            first: 0,
            next: 0,
            inject: 0,
            held: [0; 2],
            vectors,
            interrupt: false,
        }
    }

    /// Latches errors that are not masked.
    pub(crate) fn raise(&mut self, register: ErrorRegister, bits: u64) {
        let index = index(register);
        let new = bits & IMPLEMENTED[index] & !self.masks[index] & !self.errors[index];
        if new == 0 {
            return;
        }
        self.errors[index] |= new;
        self.interrupt = true;
        // Only the first three registers are told apart by FIRST and NEXT.
        if index < 3 {
            let record = FME_FIRST_ERROR::default().with_error(new).with_source(index as u64).bits();
            if self.first == 0 {
                self.first = record;
            } else if self.next == 0 {
                self.next = record;
            }
        }
    }

    /// Takes over which RAS errors persist beside the injected ones.
    pub(crate) fn hold(&mut self, nonfatal: u64, catastrophic: u64) {
        let inject = RAS_ERROR_INJECT::new(self.inject);
        let nonfatal = nonfatal | RAS_NONFATAL::default().with_injected(inject.nonfatal()).bits();
        let catastrophic = catastrophic
            | RAS_CATFATAL::default()
                .with_injected_fatal(inject.fatal())
                .with_injected_catastrophic(inject.catastrophic())
                .bits();
        for (slot, (register, now)) in
            [(ErrorRegister::NonFatal, nonfatal), (ErrorRegister::Catastrophic, catastrophic)]
                .into_iter()
                .enumerate()
        {
            // What held the bit up is gone, and the bit with it: software cannot clear it.
            let gone = self.held[slot] & !now;
            self.errors[index(register)] &= !gone;
            self.held[slot] = now;
            self.raise(register, now);
        }
    }

    /// Returns the vector to send for what was raised since the last call.
    pub(crate) fn take_interrupt(&mut self) -> Option<u16> {
        (std::mem::take(&mut self.interrupt) && self.vectors.count > 0).then_some(self.vectors.first)
    }

    pub(crate) fn read(&self, at: u64) -> u64 {
        match at {
            FME_ERROR_MASK::OFFSET => self.masks[0],
            FME_ERROR::OFFSET => self.errors[0],
            PCIE0_ERROR_MASK::OFFSET => self.masks[1],
            PCIE0_ERROR::OFFSET => self.errors[1],
            PCIE1_ERROR_MASK::OFFSET => self.masks[2],
            PCIE1_ERROR::OFFSET => self.errors[2],
            FME_FIRST_ERROR::OFFSET => self.first,
            FME_NEXT_ERROR::OFFSET => self.next,
            RAS_NONFATAL_MASK::OFFSET => self.masks[3],
            RAS_NONFATAL::OFFSET => self.errors[3],
            RAS_CATFATAL_MASK::OFFSET => self.masks[4],
            RAS_CATFATAL::OFFSET => self.errors[4],
            RAS_ERROR_INJECT::OFFSET => self.inject,
            FME_ERROR_CAP::OFFSET => FME_ERROR_CAP::default()
                .with_supported(self.vectors.count > 0)
                .with_vector(self.vectors.first.into())
                .bits(),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, at: u64, value: u64, mask: u64) {
        let masked = |index: usize| (index, merge(self.masks[index], value, mask));
        let (index, new) = match at {
            FME_ERROR_MASK::OFFSET => masked(0),
            PCIE0_ERROR_MASK::OFFSET => masked(1),
            PCIE1_ERROR_MASK::OFFSET => masked(2),
            RAS_NONFATAL_MASK::OFFSET => masked(3),
            RAS_CATFATAL_MASK::OFFSET => masked(4),
            FME_ERROR::OFFSET => return self.clear(0, value & mask),
            PCIE0_ERROR::OFFSET => return self.clear(1, value & mask),
            PCIE1_ERROR::OFFSET => return self.clear(2, value & mask),
            RAS_ERROR_INJECT::OFFSET => {
                self.inject = merge(self.inject, value, mask) & 0b111;
                return;
            }
            _ => return,
        };
        self.masks[index] = new;
        if index >= 3 {
            // A condition that persists shows as soon as it is unmasked, and not while it is masked.
            let held = self.held[index - 3];
            let register = [ErrorRegister::NonFatal, ErrorRegister::Catastrophic][index - 3];
            self.errors[index] &= !(held & new);
            self.raise(register, held);
        }
    }

    /// Clears by writing ones. The records of the first errors go with the last error of their register.
    fn clear(&mut self, index: usize, ones: u64) {
        self.errors[index] &= !ones;
        if self.errors[index] == 0 {
            let of = |record: u64| FME_FIRST_ERROR::new(record).source() == index as u64;
            if of(self.first) {
                self.first = 0;
            }
            if of(self.next) {
                self.next = 0;
            }
            if self.first == 0 {
                self.first = std::mem::take(&mut self.next);
            }
        }
    }
}
