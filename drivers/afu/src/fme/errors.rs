//! Errors of the card.

use core::fmt;

use vfio_hal::regs::Value;

use super::Fme;
use crate::AfuError;
use crate::regs::fme::error::{
    FME_ERROR, FME_ERROR_MASK, FME_FIRST_ERROR, FME_NEXT_ERROR, PCIE0_ERROR, PCIE0_ERROR_MASK, PCIE1_ERROR,
    PCIE1_ERROR_MASK, RAS_CATFATAL, RAS_CATFATAL_MASK, RAS_ERROR_INJECT, RAS_NONFATAL, RAS_NONFATAL_MASK,
};

/// What went wrong with the card since its errors were cleared; bits as the registers of
/// [`regs::fme::error`](crate::regs::fme::error) have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FmeErrors {
    /// Revision of the error block.
    pub revision: u8,
    /// Errors of the fabric.
    pub fme: u64,
    /// Errors of PCIe 0.
    pub pcie0: u64,
    /// Errors of PCIe 1.
    pub pcie1: u64,
    /// The first error.
    pub first: u64,
    /// The one after it.
    pub next: u64,
    /// What is not fatal.
    pub nonfatal: u64,
    /// What is fatal or catastrophic.
    pub catfatal: u64,
    /// What is being injected.
    pub injected: Injection,
}

/// Errors to inject. They last until they are taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// A catastrophic error.
    pub catastrophic: bool,
    /// A fatal error.
    pub fatal: bool,
    /// An error that is not fatal.
    pub nonfatal: bool,
}

impl FmeErrors {
    /// Returns whether there is no error at all.
    pub fn is_clear(&self) -> bool {
        self.fme | self.pcie0 | self.pcie1 | self.nonfatal | self.catfatal == 0
    }

    /// Returns the groups of errors, with the names of those that are set.
    pub fn groups(&self) -> [(&'static str, u64, Value); 5] {
        [
            ("FME", self.fme, Value::of(FME_ERROR::new(self.fme))),
            ("PCIe0", self.pcie0, Value::of(PCIE0_ERROR::new(self.pcie0))),
            ("PCIe1", self.pcie1, Value::of(PCIE1_ERROR::new(self.pcie1))),
            ("nonfatal", self.nonfatal, Value::of(RAS_NONFATAL::new(self.nonfatal))),
            ("catfatal", self.catfatal, Value::of(RAS_CATFATAL::new(self.catfatal))),
        ]
    }
}

impl fmt::Display for FmeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.groups().into_iter().filter(|(_, bits, _)| *bits != 0);
        for (index, (name, _, value)) in set.enumerate() {
            write!(f, "{}{name} {value}", if index == 0 { "" } else { ", " })?;
        }
        if self.is_clear() { f.write_str("none") } else { Ok(()) }
    }
}

impl Fme {
    /// Returns the card's errors.
    pub fn errors(&self) -> Result<FmeErrors, AfuError> {
        self.with(|fme| {
            let (revision, block) = fme.errors.as_ref().ok_or(AfuError::Missing { what: "FME errors" })?;
            let inject = block.read::<RAS_ERROR_INJECT>();
            Ok(FmeErrors {
                revision: *revision,
                fme: block.read::<FME_ERROR>().bits(),
                pcie0: block.read::<PCIE0_ERROR>().bits(),
                pcie1: block.read::<PCIE1_ERROR>().bits(),
                first: block.read::<FME_FIRST_ERROR>().bits(),
                next: block.read::<FME_NEXT_ERROR>().bits(),
                nonfatal: block.read::<RAS_NONFATAL>().bits(),
                catfatal: block.read::<RAS_CATFATAL>().bits(),
                injected: Injection {
                    catastrophic: inject.catastrophic(),
                    fatal: inject.fatal(),
                    nonfatal: inject.nonfatal(),
                },
            })
        })
    }

    /// Clears the errors that were `seen`: masks all, writes back, unmasks (Linux, `fme_errors_store`). What is not fatal,
    /// fatal or catastrophic follows its cause and cannot be cleared by itself.
    ///
    /// # Errors
    /// [`AfuError::Changed`] for a group whose errors are others now; that group is not cleared, later ones neither.
    pub fn clear_errors(&self, seen: &FmeErrors) -> Result<(), AfuError> {
        self.with(|fme| {
            let (revision, block) = fme.errors.as_ref().ok_or(AfuError::Missing { what: "FME errors" })?;
            // Revision 0 keeps the MBP error masked, which it raises for no reason.
            let open = FME_ERROR_MASK::new(FME_ERROR::default().with_mbp(*revision == 0).bits());
            block.write(FME_ERROR_MASK::new(u64::MAX));
            let now = block.read::<FME_ERROR>();
            let result = same(seen.fme, now.bits()).map(|()| block.write(now));
            block.write(open);
            result?;
            block.write(PCIE0_ERROR_MASK::new(u64::MAX));
            let now = block.read::<PCIE0_ERROR>();
            let result = same(seen.pcie0, now.bits()).map(|()| block.write(now));
            block.write(PCIE0_ERROR_MASK::new(0));
            result?;
            block.write(PCIE1_ERROR_MASK::new(u64::MAX));
            let now = block.read::<PCIE1_ERROR>();
            let result = same(seen.pcie1, now.bits()).map(|()| block.write(now));
            block.write(PCIE1_ERROR_MASK::new(0));
            result
        })
    }

    /// Masks all errors, or none (in revision 0 all but the MBP error).
    pub fn mask_errors(&self, mask: bool) -> Result<(), AfuError> {
        self.with(|fme| {
            let (revision, block) = fme.errors.as_ref().ok_or(AfuError::Missing { what: "FME errors" })?;
            let all = if mask { u64::MAX } else { 0 };
            let mbp = FME_ERROR::default().with_mbp(*revision == 0).bits();
            block.write(FME_ERROR_MASK::new(all | mbp));
            block.write(PCIE0_ERROR_MASK::new(all));
            block.write(PCIE1_ERROR_MASK::new(all));
            block.write(RAS_NONFATAL_MASK::new(all));
            block.write(RAS_CATFATAL_MASK::new(all));
            Ok(())
        })
    }

    /// Injects errors, or takes them back.
    pub fn inject_errors(&self, errors: Injection) -> Result<(), AfuError> {
        self.with(|fme| {
            let (_, block) = fme.errors.as_mut().ok_or(AfuError::Missing { what: "FME errors" })?;
            block.modify(|inject: RAS_ERROR_INJECT| {
                inject
                    .with_catastrophic(errors.catastrophic)
                    .with_fatal(errors.fatal)
                    .with_nonfatal(errors.nonfatal)
            });
            Ok(())
        })
    }
}

fn same(seen: u64, now: u64) -> Result<(), AfuError> {
    if seen == now { Ok(()) } else { Err(AfuError::Changed { seen, now }) }
}
