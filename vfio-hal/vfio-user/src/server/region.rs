//! Register accesses: REGION_READ, REGION_WRITE, REGION_WRITE_MULTI.
//!
//! An access of 1, 2, 4 or 8 aligned bytes is one access of that width for the model. Anything else is split into
//! aligned parts of at most 4 bytes, as the kernel's VFIO does it.

use rustix::io::Errno;

use super::Server;
use crate::model::{AccessError, DeviceModel, ResetKind};
use crate::proto::wire::REGION_CONFIG;

impl<M: DeviceModel> Server<M> {
    /// Checks that a range is inside of a region that is there.
    pub(super) fn check_range(&self, region: u32, offset: u64, count: usize) -> Result<(), Errno> {
        let size = self.regions.size(region).ok_or(Errno::INVAL)?;
        let end = offset.checked_add(count as u64).ok_or(Errno::INVAL)?;
        if end <= size { Ok(()) } else { Err(Errno::INVAL) }
    }

    /// Fills `data` from a region. The caller checked the range.
    pub(super) fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        self.running = true;
        if region == REGION_CONFIG {
            let function = self.core.function.borrow();
            return function.config_read(offset as u16, data).map_err(|_| Errno::INVAL);
        }
        let bar = region as u8;
        let kind = self.core.spec.bar(bar).ok_or(Errno::INVAL)?.kind;
        if !self.core.answers(kind) {
            data.fill(0xff);
            return Ok(());
        }
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (part, more) = rest.split_at_mut(width(at, rest.len()));
            if self.read_one(bar, at, part).is_err() {
                self.refused_access();
                part.fill(0xff);
            }
            at += part.len() as u64;
            rest = more;
        }
        Ok(())
    }

    fn read_one(&mut self, bar: u8, at: u64, part: &mut [u8]) -> Result<(), AccessError> {
        let Server { model, core, .. } = self;
        if let Some(bell) = core.bell(bar, at, part.len()) {
            let value = crate::model::Doorbells::load(&core.bells, bell);
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
        if region == REGION_CONFIG {
            return self.config_write(offset as u16, data);
        }
        let bar = region as u8;
        let kind = self.core.spec.bar(bar).ok_or(Errno::INVAL)?.kind;
        if !self.core.answers(kind) {
            return Ok(());
        }
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (part, more) = rest.split_at(width(at, rest.len()));
            if self.write_one(bar, at, part).is_err() {
                self.refused_access();
            }
            at += part.len() as u64;
            rest = more;
        }
        Ok(())
    }

    fn write_one(&mut self, bar: u8, at: u64, part: &[u8]) -> Result<(), AccessError> {
        let Server { model, core, .. } = self;
        if let (Some(bell), Ok(value)) = (core.bell(bar, at, part.len()), <[u8; 4]>::try_from(part)) {
            crate::model::Doorbells::store(&core.bells, bell, u32::from_le_bytes(value));
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

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Result<(), Errno> {
        let result = self.core.change(|function, signals| function.config_write(offset, data, signals));
        let changed = result.map_err(|_| Errno::INVAL)?;
        if changed.reset {
            self.reset(ResetKind::Function);
        }
        Ok(())
    }

    /// A bus answers a read that no register takes with all ones, and drops a write.
    fn refused_access(&mut self) {
        self.stats.refused_accesses += 1;
    }
}

/// Returns how many bytes at the front of a range are one access.
fn width(at: u64, len: usize) -> usize {
    if matches!(len, 1 | 2 | 4 | 8) && at.is_multiple_of(len as u64) {
        return len;
    }
    [4, 2, 1].into_iter().find(|&width| at.is_multiple_of(width as u64) && len >= width).unwrap_or(1)
}
