//! The device's registers: doorbells as atomics, the MSI-X table, and everything else by calling the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crossbeam_utils::CachePadded;
use vfio_user_kit::{AccessError, BarKind, Config, DeviceModel, Doorbells};

use super::Core;
use crate::bar::{Trap, Width};

/// Which kinds of BAR answer, as the command register says.
pub(super) struct Access {
    memory: AtomicBool,
    io: AtomicBool,
}

impl Access {
    pub(super) fn new(config: &Config) -> Access {
        let access = Access { memory: AtomicBool::new(false), io: AtomicBool::new(false) };
        access.follow(config);
        access
    }

    pub(super) fn follow(&self, config: &Config) {
        self.memory.store(config.memory_enabled(), Ordering::Relaxed);
        self.io.store(config.io_enabled(), Ordering::Relaxed);
    }

    fn enabled(&self, kind: BarKind) -> bool {
        let flag = if kind.is_memory() { &self.memory } else { &self.io };
        flag.load(Ordering::Relaxed)
    }
}

/// The doorbell registers, in the order of the spec. Each has a cache line: lcores write them side by side.
pub(super) struct Bells(Box<[CachePadded<AtomicU32>]>);

impl Bells {
    pub(super) fn new(count: usize) -> Bells {
        Bells((0..count).map(|_| CachePadded::new(AtomicU32::new(0))).collect())
    }
}

impl Doorbells for Bells {
    fn load(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |bell| bell.load(Ordering::Acquire))
    }

    fn store(&self, index: usize, value: u32) {
        if let Some(bell) = self.0.get(index) {
            bell.store(value, Ordering::Release);
        }
    }
}

/// One BAR.
pub(super) struct Window<M> {
    core: Arc<Core<M>>,
    bar: u8,
    kind: BarKind,
    /// The MSI-X table is in here.
    msix: bool,
    /// The offsets of this BAR's doorbells, sorted; the first is number `first_bell` of the spec.
    bells: Box<[u64]>,
    first_bell: usize,
}

impl<M: DeviceModel> Window<M> {
    pub(super) fn new(core: Arc<Core<M>>, bar: u8, kind: BarKind) -> Window<M> {
        let all = &core.spec.doorbells;
        let first_bell = all.partition_point(|bell| bell.0 < bar);
        let bells = all.iter().filter(|bell| bell.0 == bar).map(|bell| bell.1).collect();
        let msix = core.spec.msix_vectors > 0 && core.spec.msix_bar == bar;
        Window { core, bar, kind, msix, bells, first_bell }
    }

    /// Returns the doorbell at `offset`. Only an access of the register's own width is one.
    fn bell(&self, offset: u64, width: Width) -> Option<&AtomicU32> {
        if width != Width::W32 {
            return None;
        }
        let at = self.bells.binary_search(&offset).ok()?;
        self.core.bells.0.get(self.first_bell + at).map(|bell| &**bell)
    }

    fn in_msix(&self, offset: u64) -> bool {
        self.msix && self.core.function().msix_covers(self.bar, offset)
    }

    /// Counts an access that the model refused; the bus answers it all the same.
    fn refused(&self, error: AccessError) {
        self.core.refused.fetch_add(1, Ordering::Relaxed);
        log::debug!("BAR {}: {error}", self.bar);
    }
}

impl<M: DeviceModel> Trap for Window<M> {
    fn read(&self, offset: u64, width: Width) -> Option<u64> {
        if !self.core.access.enabled(self.kind) {
            return Some(width.all_ones());
        }
        if let Some(bell) = self.bell(offset, width) {
            return Some(bell.load(Ordering::Acquire).into());
        }
        let mut bytes = [0; 8];
        let data = &mut bytes[..width as usize];
        let result = if self.in_msix(offset) {
            self.core.function().msix_read(offset, data)
        } else {
            self.core.guarded(|model, context| model.bar_read(context, self.bar, offset, data)).ok()?
        };
        match result {
            Ok(()) => Some(u64::from_le_bytes(bytes)),
            Err(error) => {
                self.refused(error);
                Some(width.all_ones())
            }
        }
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        if !self.core.access.enabled(self.kind) {
            return Some(());
        }
        if let Some(bell) = self.bell(offset, width) {
            bell.store(value as u32, Ordering::Release);
            self.core.waker.wake();
            return Some(());
        }
        let bytes = value.to_le_bytes();
        let data = &bytes[..width as usize];
        let result = if self.in_msix(offset) {
            self.core.change(|function, signals| {
                let due = function.msix_write(offset, data)?;
                signals.extend(due);
                Ok(())
            })
        } else {
            self.core.guarded(|model, context| model.bar_write(context, self.bar, offset, data)).ok()?
        };
        if let Err(error) = result {
            self.refused(error);
        }
        self.core.waker.wake();
        Some(())
    }
}
