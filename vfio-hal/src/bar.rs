//! A base address register: windows of device registers, each mapped or trapped.
//!
//! - [`Bar`] is a set of [windows](BarBuilder). A *mapped* window is memory of the device: an access is one
//!   volatile load or store. A *trapped* window is a [`Trap`]: an access is a call, which may be a message to
//!   another process or a method of a model. The backend chooses once; a driver cannot tell.
//! - [`Doorbell`] is one 32-bit register with its window already looked up, for the hot path: one branch.
//!
//! Backends build a `Bar`; the typed [registers](crate::regs) above are what drivers use. Accesses are little
//! endian, one access of the given width each, never split or merged. A failed access reads all ones and
//! closes the [`Lost`] latch; a mapped read of all ones asks the backend whether the device is still there.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::NonNull;

use crate::device::{DeviceError, Lost};
use crate::mmio;

/// The width of one register access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// 8 bits.
    W8 = 1,
    /// 16 bits.
    W16 = 2,
    /// 32 bits.
    W32 = 4,
    /// 64 bits.
    W64 = 8,
}

impl Width {
    /// Returns the width in bytes.
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// Returns the value that a failed read of this width gives.
    pub const fn all_ones(self) -> u64 {
        u64::MAX >> (64 - 8 * self as u32)
    }
}

/// Registers that are reached by a call. Offsets are bytes from the start of the BAR.
pub trait Trap: Send + Sync {
    /// Reads a register; `None` if the device is gone.
    fn read(&self, offset: u64, width: Width) -> Option<u64>;

    /// Writes a register; `None` if the device is gone.
    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()>;
}

/// Tells whether a device is still there, when a mapped register reads all ones.
pub type Presence = Arc<dyn Fn() -> bool + Send + Sync>;

/// One base address register of a device. Clones share it.
#[derive(Clone)]
pub struct Bar(Arc<Inner>);

struct Inner {
    index: u8,
    len: u64,
    /// Sorted by offset, none overlaps another.
    windows: Box<[Window]>,
    lost: Lost,
    presence: Option<Presence>,
    /// What keeps mapped windows mapped.
    _keep: Option<Arc<dyn Any + Send + Sync>>,
}

struct Window {
    offset: u64,
    len: u64,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Mapped(NonNull<u8>),
    Trapped(Arc<dyn Trap>),
}

// SAFETY: 1. the pointer of a mapped window is only ever used for volatile accesses, which any thread may make
// (`BarBuilder::mapped` requires it); 2. everything else in here is Send and Sync by itself.
unsafe impl Send for Inner {}
// SAFETY: as for Send; no method forms a reference to the registers.
unsafe impl Sync for Inner {}

impl Bar {
    /// Starts a BAR of `len` bytes whose failed accesses close `lost`.
    pub fn builder(index: u8, len: u64, lost: Lost) -> BarBuilder {
        BarBuilder { index, len, windows: Vec::new(), lost, presence: None, keep: None }
    }

    /// Returns the BAR's number, 0 to 5.
    pub fn index(&self) -> u8 {
        self.0.index
    }

    /// Returns the BAR's length in bytes.
    // A BAR of no bytes does not exist, so there is no `is_empty`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Returns the latch that failed accesses close.
    pub fn lost(&self) -> &Lost {
        &self.0.lost
    }

    /// Returns the windows as (offset, length in bytes, mapped), sorted, without overlap; the rest are holes.
    pub fn windows(&self) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
        self.0.windows.iter().map(|window| (window.offset, window.len, matches!(window.way, Way::Mapped(_))))
    }

    /// Checks once that a block of `need` bytes fits, so that constant offsets inside need no further check.
    pub fn require(&self, need: u64) -> Result<(), DeviceError> {
        if self.len() < need {
            return Err(DeviceError::BarTooSmall { index: self.index(), len: self.len(), need });
        }
        Ok(())
    }

    /// Checks once that a window holds the register at `offset`, so that accesses to it cannot fail.
    pub fn check(&self, offset: u64, width: Width) -> Result<(), DeviceError> {
        self.find(offset, width).map(|_| ())
    }

    /// Reads one register. All ones when the device is gone.
    pub fn read(&self, offset: u64, width: Width) -> Result<u64, DeviceError> {
        let value = match self.find(offset, width)? {
            // SAFETY: `find` returns a pointer inside a live window, aligned for `width`.
            (Way::Mapped(_), at) => Some(unsafe { mmio::read(at, width) }),
            (Way::Trapped(trap), _) if !self.0.lost.is_lost() => trap.read(offset, width),
            (Way::Trapped(_), _) => None,
        };
        Ok(match value {
            Some(value) if value == width.all_ones() => self.doubt(value),
            Some(value) => value,
            None => {
                self.0.lost.latch();
                width.all_ones()
            }
        })
    }

    /// Writes one register. Does nothing when the device is gone.
    pub fn write(&self, offset: u64, width: Width, value: u64) -> Result<(), DeviceError> {
        match self.find(offset, width)? {
            // SAFETY: `find` returns a pointer inside a live window, aligned for `width`.
            (Way::Mapped(_), at) => unsafe { mmio::write(at, width, value) },
            (Way::Trapped(trap), _) => {
                if self.0.lost.is_lost() || trap.write(offset, width, value).is_none() {
                    self.0.lost.latch();
                }
            }
        }
        Ok(())
    }

    /// Looks up the 32-bit register at `offset` for the hot path.
    pub fn doorbell(&self, offset: u64) -> Result<Doorbell, DeviceError> {
        let (way, at) = self.find(offset, Width::W32)?;
        let way = match way {
            Way::Mapped(_) => Way::Mapped(at),
            Way::Trapped(trap) => Way::Trapped(trap.clone()),
        };
        Ok(Doorbell { way, offset, bar: self.clone() })
    }

    /// Returns the way to a register and, for a mapped one, the pointer to it (dangling otherwise).
    fn find(&self, offset: u64, width: Width) -> Result<(&Way, NonNull<u8>), DeviceError> {
        let bytes = width.bytes();
        let out = DeviceError::OutOfBar { index: self.0.index, offset, width: width as u8 };
        let after = self.0.windows.partition_point(|window| window.offset <= offset);
        let window = after.checked_sub(1).and_then(|last| self.0.windows.get(last)).ok_or(out)?;
        let inside = offset - window.offset;
        if !offset.is_multiple_of(bytes) || window.len.checked_sub(bytes).is_none_or(|last| inside > last) {
            return Err(out);
        }
        let at = match &window.way {
            // SAFETY: `inside` + the width lies within the window, which is one mapping of `len` bytes.
            Way::Mapped(base) => unsafe { base.add(inside as usize) },
            Way::Trapped(_) => NonNull::dangling(),
        };
        Ok((&window.way, at))
    }

    /// A mapped register reads all ones: that may be its value, or the device may be gone.
    #[cold]
    fn doubt(&self, value: u64) -> u64 {
        if self.0.presence.as_ref().is_some_and(|present| !present()) {
            self.0.lost.latch();
        }
        value
    }
}

impl core::fmt::Debug for Bar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Bar").field("index", &self.0.index).field("len", &self.0.len).finish_non_exhaustive()
    }
}

/// Puts the windows of a [`Bar`] together. What no window covers is a hole: an access there is an error.
pub struct BarBuilder {
    index: u8,
    len: u64,
    windows: Vec<Window>,
    lost: Lost,
    presence: Option<Presence>,
    keep: Option<Arc<dyn Any + Send + Sync>>,
}

impl BarBuilder {
    /// Adds a window of mapped registers.
    ///
    /// # Safety
    /// 1. `base` must be aligned to 8 and valid for volatile reads and writes of `len` bytes by any thread, for
    ///    as long as what is given to [`keep_alive`](Self::keep_alive) lives, or for ever without it.
    /// 2. No Rust reference to that memory, other than to atomics or cells, may exist meanwhile.
    pub unsafe fn mapped(mut self, offset: u64, base: NonNull<u8>, len: u64) -> Self {
        self.windows.push(Window { offset, len, way: Way::Mapped(base) });
        self
    }

    /// Adds a window whose accesses are calls.
    pub fn trapped(mut self, offset: u64, len: u64, trap: Arc<dyn Trap>) -> Self {
        self.windows.push(Window { offset, len, way: Way::Trapped(trap) });
        self
    }

    /// Keeps `owner` alive as long as the BAR and every doorbell of it.
    pub fn keep_alive(mut self, owner: Arc<dyn Any + Send + Sync>) -> Self {
        self.keep = Some(owner);
        self
    }

    /// Asks `presence` when a mapped register reads all ones.
    pub fn presence(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }

    /// Returns the BAR, or an error if a window is empty, unaligned, overlaps another or leaves the BAR.
    pub fn build(mut self) -> Result<Bar, DeviceError> {
        self.windows.sort_by_key(|window| window.offset);
        let mut end = 0;
        for window in &self.windows {
            let last = window.offset.checked_add(window.len);
            let fits = last.is_some_and(|last| last <= self.len);
            if window.offset < end || window.len == 0 || !window.offset.is_multiple_of(8) || !fits {
                return Err(DeviceError::OutOfBar { index: self.index, offset: window.offset, width: 0 });
            }
            end = window.offset + window.len;
        }
        Ok(Bar(Arc::new(Inner {
            index: self.index,
            len: self.len,
            windows: self.windows.into_boxed_slice(),
            lost: self.lost,
            presence: self.presence,
            _keep: self.keep,
        })))
    }
}

/// A 32-bit register that is written once per burst: the window is looked up already.
pub struct Doorbell {
    way: Way,
    offset: u64,
    bar: Bar,
}

// SAFETY: as for `Inner`: the pointer is only used for volatile accesses, which any thread may make.
unsafe impl Send for Doorbell {}
// SAFETY: as for Send.
unsafe impl Sync for Doorbell {}

impl Doorbell {
    /// Writes the register. Everything stored before is visible to the device when it sees the value.
    #[inline]
    pub fn ring(&self, value: u32) {
        match &self.way {
            Way::Mapped(at) => {
                crate::barrier::mmio_wmb();
                // SAFETY: `Bar::doorbell` looked the pointer up for 32 bits, and `bar` keeps the window alive.
                unsafe { mmio::write32(*at, value) }
            }
            Way::Trapped(trap) => self.ring_trapped(trap, value),
        }
    }

    /// Returns the latch of the register's device.
    pub fn lost(&self) -> &Lost {
        self.bar.lost()
    }

    #[inline(never)]
    fn ring_trapped(&self, trap: &Arc<dyn Trap>, value: u32) {
        if self.bar.lost().is_lost() || trap.write(self.offset, Width::W32, value.into()).is_none() {
            self.bar.lost().latch();
        }
    }
}
