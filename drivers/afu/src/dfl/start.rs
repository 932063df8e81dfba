//! Where a card's lists begin.
//!
//! The vendor-specific extended capability (id 0Bh) with VSEC id 43h holds, after its header, the number of lists and
//! one word for each: BAR 2:0, offset 31:3 (Linux, `dfl-pci.c`, `find_dfls_by_vsec`). Without it the one list is at the
//! start of BAR 0, and the ports are where the management engine says.

use alloc::vec::Vec;

use vfio_hal::DeviceError;
use vfio_hal::pci::{Config, ConfigError};

use super::{DflError, Place};
use crate::ids;

/// PCI Express: the vendor-specific extended capability.
const VENDOR_SPECIFIC: u16 = 0x0b;
/// More lists than any card has: one a BAR, and some to spare.
const MAX_LISTS: u32 = 32;

/// How the lists were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By the vendor-specific capability.
    Capability,
    /// By default, at the start of BAR 0.
    Default,
}

/// Returns where the lists of the device begin, and how that was found out. A device without configuration space, or
/// without the capability, has its list at the start of BAR 0.
pub fn starts(config: &Config) -> Result<(Start, Vec<Place>), DflError> {
    let default = (Start::Default, Vec::from([Place { bar: 0, offset: 0 }]));
    let capabilities = match config.extended_capabilities() {
        Ok(capabilities) => capabilities,
        Err(ConfigError::Device(DeviceError::Unsupported { .. })) => return Ok(default),
        Err(error) => return Err(error.into()),
    };
    for capability in capabilities {
        let capability = capability?;
        if capability.id != VENDOR_SPECIFIC {
            continue;
        }
        let at = |offset: u32| {
            u16::try_from(u32::from(capability.offset) + offset).map_err(|_| damaged("it is cut off"))
        };
        // Id 15:0, revision 19:16, length 31:20.
        let header = config.read_u32(at(4)?)?;
        if header & 0xffff != u32::from(ids::VSEC_DFL) {
            continue;
        }
        let (count, bytes) = (config.read_u32(at(8)?)?, header >> 20);
        if count == 0 || count > MAX_LISTS || 12 + 4 * count > bytes {
            return Err(damaged("its number of lists is none"));
        }
        let mut places = Vec::new();
        for list in 0..count {
            let word = config.read_u32(at(12 + 4 * list)?)?;
            let bar = (word & 7) as u8;
            if bar > 5 {
                return Err(damaged("a list is in a BAR that no device has"));
            }
            places.push(Place { bar, offset: u64::from(word & !7) });
        }
        return Ok((Start::Capability, places));
    }
    Ok(default)
}

fn damaged(what: &'static str) -> DflError {
    DflError::Capability { what }
}
