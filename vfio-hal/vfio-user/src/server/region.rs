//! Register accesses: REGION_READ, REGION_WRITE, REGION_WRITE_MULTI.
//!
//! An access of 1, 2, 4 or 8 aligned bytes is one access of that width for the model. Anything else is split into
//! aligned parts of at most 4 bytes, as the kernel's VFIO does it.

use rustix::io::Errno;

use super::Server;
use super::logger::say;
use crate::config::{Part, WriteError};
use crate::context::ConfigBus;
use crate::model::{AccessError, DeviceModel, ResetKind};
use crate::proto::wire::REGION_CONFIG;
use crate::spec::Spec;

impl<M: DeviceModel> Server<M> {
    /// Checks that a range is inside of a region that is there.
    pub(super) fn check_range(
        &self,
        region: u32,
        offset: u64,
        count: usize,
        right: u32,
    ) -> Result<(), Errno> {
        let size = self.regions.size(region).ok_or(Errno::INVAL)?;
        let end = offset.checked_add(count as u64).ok_or(Errno::INVAL)?;
        let allowed = self.regions.flags(region) & right != 0;
        if end > size || !allowed || (region == VGA && !is_vga(offset, end)) {
            return Err(Errno::INVAL);
        }
        Ok(())
    }

    /// Returns whether accesses reach the device.
    fn answers(&self, region: u32, offset: u64) -> Result<bool, Errno> {
        let function = self.core.function.borrow();
        let config = function.config();
        match region as u8 {
            // VFIO's clients read it without switching it on, and the kernel does that for them.
            Spec::ROM => Ok(true),
            Spec::VGA if offset < VGA_MEMORY => Ok(config.io_enabled()),
            Spec::VGA => Ok(config.memory_enabled()),
            bar => {
                let kind = self.core.spec.bar(bar).ok_or(Errno::INVAL)?.kind;
                Ok(if kind.is_memory() { config.memory_enabled() } else { config.io_enabled() })
            }
        }
    }

    /// Fills `data` from a region. The caller checked the range.
    pub(super) fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        self.running = true;
        let result = self.read_region(region, offset, data);
        self.follow_reset();
        result
    }

    fn read_region(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        if region == REGION_CONFIG {
            return self.config_read(offset as u16, data);
        }
        if !self.answers(region, offset)? {
            data.fill(0xff);
            return Ok(());
        }
        let bar = region as u8;
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (part, more) = rest.split_at_mut(width(at, rest.len()));
            self.read_one(bar, at, part).map_err(|error| self.refused_access(bar, error))?;
            at += part.len() as u64;
            rest = more;
        }
        Ok(())
    }

    fn read_one(&mut self, bar: u8, at: u64, part: &mut [u8]) -> Result<(), AccessError> {
        let Server { model, core, .. } = self;
        if let Some(bell) = core.bell(bar, at, part.len()) {
            let value = crate::context::Doorbells::load(&core.bells, bell);
            part.copy_from_slice(&value.to_le_bytes());
            return Ok(());
        }
        if core.function.borrow().msix_covers(bar, at) {
            return core.function.borrow().msix_read(at, part);
        }
        model.bar_read(&mut core.context(), bar, at, part)
    }

    /// Writes `data` to a region. The caller checked the range.
    pub(super) fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.running = true;
        let result = self.write_region(region, offset, data);
        self.follow_reset();
        result
    }

    fn write_region(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if region == REGION_CONFIG {
            return self.config_write(offset as u16, data);
        }
        if !self.answers(region, offset)? {
            return Ok(());
        }
        let bar = region as u8;
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (part, more) = rest.split_at(width(at, rest.len()));
            self.write_one(bar, at, part).map_err(|error| self.refused_access(bar, error))?;
            at += part.len() as u64;
            rest = more;
        }
        Ok(())
    }

    fn write_one(&mut self, bar: u8, at: u64, part: &[u8]) -> Result<(), AccessError> {
        let Server { model, core, .. } = self;
        if let (Some(bell), Ok(value)) = (core.bell(bar, at, part.len()), <[u8; 4]>::try_from(part)) {
            crate::context::Doorbells::store(&core.bells, bell, u32::from_le_bytes(value));
            return Ok(());
        }
        if core.function.borrow().msix_covers(bar, at) {
            return core.change(|function, signals| {
                signals.extend(function.msix_write(at, part)?);
                Ok(())
            });
        }
        model.bar_write(&mut core.context(), bar, at, part)
    }

    fn config_read(&mut self, offset: u16, data: &mut [u8]) -> Result<(), Errno> {
        for Part { range, model: by_model } in self.config_parts(offset, data.len(), false)? {
            let (at, part) = (offset + range.start as u16, &mut data[range]);
            let Server { model, core, .. } = self;
            if by_model {
                model.config_read(&mut core.context(), at, part).map_err(|_| Errno::INVAL)?;
            } else {
                core.function.borrow().config_read(at, part).map_err(|_| Errno::INVAL)?;
            }
        }
        Ok(())
    }

    /// Who answers is settled for all of the write before the first byte of it is done.
    fn config_write(&mut self, offset: u16, data: &[u8]) -> Result<(), Errno> {
        let mut result = Ok(());
        for Part { range, model: by_model } in self.config_parts(offset, data.len(), true)? {
            let (at, part) = (offset + range.start as u16, &data[range]);
            let Server { model, core, .. } = self;
            if by_model {
                result = model.config_write(&mut core.context(), at, part).map_err(|_| Errno::INVAL);
            } else {
                result = ConfigBus::write(core, at, part).map_err(|_| Errno::INVAL);
            }
            if result.is_err() {
                break;
            }
        }
        result
    }

    fn config_parts(&self, offset: u16, len: usize, write: bool) -> Result<Vec<Part>, Errno> {
        let function = self.core.function.borrow();
        function.config().parts(offset, len, write).map_err(|error| match error {
            WriteError::ReadOnly { .. } => Errno::PERM,
            _ => Errno::INVAL,
        })
    }

    /// Resets the device if configuration space was told to.
    pub(super) fn follow_reset(&mut self) {
        if self.core.reset_due.take() {
            self.reset(ResetKind::Function);
        }
    }

    /// What the model does not answer is an error of the access that asked for it.
    fn refused_access(&mut self, bar: u8, error: AccessError) -> Errno {
        self.stats.refused_accesses += 1;
        say!(self.core.logger, Debug, "region {bar}: {error}");
        Errno::INVAL
    }
}

/// Where the VGA region's memory starts; I/O ports are below.
const VGA_MEMORY: u64 = 0xa_0000;
const VGA: u32 = Spec::VGA as u32;

/// Returns whether a range is one of VGA's legacy addresses.
fn is_vga(offset: u64, end: u64) -> bool {
    [(VGA_MEMORY, 0xc_0000), (0x3b0, 0x3bc), (0x3c0, 0x3e0)]
        .iter()
        .any(|&(low, high)| offset >= low && end <= high)
}

/// Returns how many bytes at the front of a range are one access.
fn width(at: u64, len: usize) -> usize {
    if matches!(len, 1 | 2 | 4 | 8) && at.is_multiple_of(len as u64) {
        return len;
    }
    [4, 2, 1].into_iter().find(|&width| at.is_multiple_of(width as u64) && len >= width).unwrap_or(1)
}
