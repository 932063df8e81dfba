//! Errors of a port.

use core::fmt;

use vfio_hal::regs::Value;

use super::{Port, PowerState};
use crate::AfuError;
use crate::regs::port::error::{
    PORT_ERROR, PORT_ERROR_MASK, PORT_FIRST_ERROR, PORT_MALFORMED_REQ0, PORT_MALFORMED_REQ1,
};
use crate::regs::port::header::STS;

/// What went wrong at a port since its errors were cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortErrors {
    /// Revision of the error block: the bits mean something else from revision 1 on.
    pub revision: u8,
    /// All errors.
    pub errors: u64,
    /// The one that was first.
    pub first: u64,
    /// The first request that was malformed, low half first.
    pub malformed: [u64; 2],
    /// Which errors are masked.
    pub mask: u64,
}

/// The errors of revision 1, from bit 0 on (OPAE, `errors_metadata.h`).
const REVISION_1: [&str; 16] = [
    "tx_valid",
    "tx_mwr_short",
    "tx_mwr_overrun",
    "mmio_short",
    "mmio_overrun",
    "mmio_read_in_reset",
    "mmio_write_in_reset",
    "mmio_timeout",
    "mmio_unexpected",
    "tag_occupied",
    "unaligned",
    "max_tag",
    "max_read_request",
    "max_payload",
    "malformed_tlp",
    "requests_overflow",
];

impl PortErrors {
    /// Returns the names of the errors that are set.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let PortErrors { revision, errors, .. } = *self;
        let old = (revision == 0).then(|| Value::of(PORT_ERROR::new(errors)).fields());
        let old = old.into_iter().flatten().filter(|&(_, value)| value != 0).map(|(name, _)| name);
        let new = REVISION_1.into_iter().enumerate();
        let new = new.filter(move |(bit, _)| revision != 0 && errors >> bit & 1 != 0).map(|(_, name)| name);
        old.chain(new)
    }
}

impl fmt::Display for PortErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.errors)?;
        self.names().try_for_each(|name| write!(f, " {name}"))
    }
}

impl Port {
    /// Returns its errors.
    pub fn errors(&self) -> Result<PortErrors, AfuError> {
        let errors = self.slot.with(|port| {
            let (revision, block) = port.errors.as_ref().ok_or(AfuError::Missing { what: "port errors" })?;
            Ok::<_, AfuError>(PortErrors {
                revision: *revision,
                errors: block.read::<PORT_ERROR>().bits(),
                first: block.read::<PORT_FIRST_ERROR>().bits(),
                malformed: [
                    block.read::<PORT_MALFORMED_REQ0>().bits(),
                    block.read::<PORT_MALFORMED_REQ1>().bits(),
                ],
                mask: block.read::<PORT_ERROR_MASK>().bits(),
            })
        })??;
        self.card.lost().check()?;
        Ok(errors)
    }

    /// Keeps the errors whose bits are set from being latched and from interrupting.
    pub fn mask_errors(&self, mask: u64) -> Result<(), AfuError> {
        self.slot.with(|port| {
            let (_, block) = port.errors.as_ref().ok_or(AfuError::Missing { what: "port errors" })?;
            block.write(PORT_ERROR_MASK::new(mask));
            Ok::<_, AfuError>(())
        })??;
        Ok(self.card.lost().check()?)
    }

    /// Clears the errors that were `seen`, with the port held in reset meanwhile (Linux, `afu_port_err_clear`).
    ///
    /// # Errors
    /// [`AfuError::Changed`] if there are others now, [`AfuError::Throttled`] in AP6; nothing is cleared then.
    pub fn clear_errors(&self, seen: &PortErrors) -> Result<(), AfuError> {
        let power = self.slot.with(|port| {
            if port.errors.is_none() {
                return Err(AfuError::Missing { what: "port errors" });
            }
            Ok(PowerState::of(port.header.read::<STS>().power_state()))
        })??;
        if power == PowerState::Ap6 {
            return Err(AfuError::Throttled { port: self.number() });
        }
        let held = self.hold()?;
        let cleared = self.slot.with(|port| {
            let (_, block) = port.errors.as_ref().ok_or(AfuError::Missing { what: "port errors" })?;
            let mask = block.read::<PORT_ERROR_MASK>();
            block.write(PORT_ERROR_MASK::new(u64::MAX));
            let now = block.read::<PORT_ERROR>();
            let result = if now.bits() == seen.errors {
                block.write(now);
                block.write(block.read::<PORT_FIRST_ERROR>());
                Ok(())
            } else {
                Err(AfuError::Changed { seen: seen.errors, now: now.bits() })
            };
            block.write(mask);
            result
        })?;
        self.card.lost().check()?;
        held.release()?;
        cleared
    }
}
