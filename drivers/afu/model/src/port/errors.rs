//! A port's error registers (feature 10h).
//!
//! Key types: [`PortErrors`]. Neighbours: [`port`](super) raises what its accelerator does wrong; the model turns what was
//! raised into the port's interrupt and tells the FME.

use pmd_afu::regs::port::error::*;
use vfio_hal::regs::Register;

use crate::list::Vectors;
use crate::words::merge;

/// Bits that are latched: the reserved ones are not.
const IMPLEMENTED: u64 = (1 << 61) - 1;

/// A request that was refused, as the register pair has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its address on the bus.
    pub(crate) iova: u64,
    /// Its length in lines, and 1 << 32 for a write.
    pub(crate) what: u64,
}

pub(crate) struct PortErrors {
    errors: u64,
    mask: u64,
    first: u64,
    refused: Refused,
    vectors: Vectors,
    raised: bool,
}

impl PortErrors {
    pub(crate) fn new(vectors: Vectors) -> PortErrors {
        let refused = Refused::default();
        PortErrors { errors: 0, mask: u64::MAX, first: 0, refused, vectors, raised: false }
    }

    /// Latches errors that are not masked.
    pub(crate) fn raise(&mut self, errors: PORT_ERROR) {
        self.raise_bits(errors.bits());
    }

    pub(crate) fn raise_bits(&mut self, bits: u64) {
        let new = bits & IMPLEMENTED & !self.mask & !self.errors;
        if new != 0 {
            if self.errors == 0 && self.first == 0 {
                self.first = new;
            }
            self.errors |= new;
            self.raised = true;
        }
    }

    /// Latches an error with the request that caused it; the first one is kept.
    pub(crate) fn refuse(&mut self, errors: PORT_ERROR, refused: Refused) {
        if self.errors == 0 && errors.bits() & !self.mask != 0 {
            self.refused = refused;
        }
        self.raise(errors);
    }

    /// Whether an error was latched since the last call.
    pub(crate) fn take_raised(&mut self) -> bool {
        std::mem::take(&mut self.raised)
    }

    pub(crate) fn vector(&self) -> Option<u16> {
        (self.vectors.count > 0).then_some(self.vectors.first)
    }

    /// Whether an error holds that is not masked: the FME shows it as an error of the port.
    pub(crate) fn any(&self) -> bool {
        self.errors != 0
    }

    pub(crate) fn read(&self, at: u64) -> u64 {
        match at {
            PORT_ERROR_MASK::OFFSET => self.mask,
            PORT_ERROR::OFFSET => self.errors,
            PORT_FIRST_ERROR::OFFSET => self.first,
            PORT_MALFORMED_REQ0::OFFSET => self.refused.iova,
            PORT_MALFORMED_REQ1::OFFSET => self.refused.what,
            PORT_ERROR_CAP::OFFSET => PORT_ERROR_CAP::default()
                .with_supported(self.vectors.count > 0)
                .with_vector(self.vectors.first.into())
                .bits(),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, at: u64, value: u64, mask: u64) {
        match at {
            PORT_ERROR_MASK::OFFSET => self.mask = merge(self.mask, value, mask),
            PORT_ERROR::OFFSET => {
                self.errors &= !(value & mask);
                if self.errors == 0 {
                    self.refused = Refused::default();
                }
            }
            PORT_FIRST_ERROR::OFFSET => self.first &= !(value & mask),
            _ => {}
        }
    }
}
