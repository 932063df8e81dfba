//! Waiting for a register to say something: with a deadline, and never for a device that is gone.
//!
//! [`Poll`] is one wait: what for, how long at most, how often to look. [`Quiesce`] marks the registers whose
//! word is enough to know that a device, or one of its queues, has stopped its DMA; only they (and a whole
//! [`reset`]) yield the [`Quiesced`] proof that memory may be taken back.
//!
//! Time comes from the caller's [`Clock`], so a test that owns the clock steps its device between two looks.
//! The [`Lost`] latch is looked at after every read and before the value is believed: a device that is gone
//! reads all ones, which looks like whatever one waits for.
//!
//! ```
//! use core::time::Duration;
//! use vfio_hal::poll::Poll;
//! use vfio_hal::testing::VirtualClock;
//! use vfio_hal::{DeviceError, Lost};
//!
//! let clock = VirtualClock::new();
//! let poll = Poll::new(&clock, "link up", Duration::from_millis(3)).every(Duration::from_millis(1));
//! let mut looks = 0;
//! poll.until(&Lost::new(), || { looks += 1; looks == 2 })?;
//! let never = poll.until(&Lost::new(), || false);
//! assert_eq!(never, Err(DeviceError::Timeout { what: "link up", millis: 3 }));
//! # Ok::<(), DeviceError>(())
//! ```

use core::time::Duration;

use crate::clock::{Clock, Deadline};
use crate::device::{Device, DeviceError, Lost};
use crate::dma::Quiesced;
use crate::regs::{At, Readable, Register};

/// A register that knows when DMA has stopped.
///
/// Implemented in the register map, which is trusted like its [`BUS`](crate::regs::BUS) registers are: an
/// implementation says that once the value [is quiet](Self::is_quiet), and [`SETTLE`](Self::SETTLE) has passed,
/// the device makes no access to the memory that the register's queue, or for a device-wide register the whole
/// device, was given.
pub trait Quiesce: Register<Access: Readable> {
    /// What one waits for, for the error.
    const WHAT: &'static str;
    /// How long accesses may still be on their way after the register said so.
    const SETTLE: Duration = Duration::ZERO;

    /// Returns whether the value says that DMA has stopped.
    fn is_quiet(self) -> bool;
}

/// One wait.
#[derive(Clone, Copy)]
pub struct Poll<'a> {
    clock: &'a dyn Clock,
    what: &'static str,
    limit: Duration,
    every: Duration,
}

impl<'a> Poll<'a> {
    /// Returns a wait of at most `limit` for `what`, that looks every 10 µs.
    pub fn new(clock: &'a dyn Clock, what: &'static str, limit: Duration) -> Poll<'a> {
        Poll { clock, what, limit, every: Duration::from_micros(10) }
    }

    /// Returns the same wait with another time between two looks.
    pub fn every(self, every: Duration) -> Poll<'a> {
        Poll { every, ..self }
    }

    /// Waits until `done`, [`Lost`](DeviceError::Lost) if the device goes, [`Timeout`](DeviceError::Timeout)
    /// after the limit. Looks at least once after the limit has passed: a thread that was not scheduled for
    /// long has not waited in vain.
    pub fn until(&self, lost: &Lost, mut done: impl FnMut() -> bool) -> Result<(), DeviceError> {
        let deadline = Deadline::after(self.clock, self.limit);
        loop {
            let last = deadline.passed(self.clock);
            let done = done();
            lost.check()?;
            if done {
                return Ok(());
            }
            if last {
                let millis = u32::try_from(self.limit.as_millis()).unwrap_or(u32::MAX);
                return Err(DeviceError::Timeout { what: self.what, millis });
            }
            self.clock.wait(self.every);
        }
    }

    /// Waits until the register's value is right, and returns that value.
    pub fn register<R>(&self, at: At<'_, R>, mut right: impl FnMut(R) -> bool) -> Result<R, DeviceError>
    where
        R: Register<Access: Readable>,
    {
        let mut value = R::from_raw(0);
        self.until(at.lost(), || {
            value = at.read();
            right(value)
        })?;
        Ok(value)
    }
}

/// Waits until the register says that DMA has stopped.
pub fn quiesced<R: Quiesce>(
    clock: &dyn Clock,
    limit: Duration,
    at: At<'_, R>,
) -> Result<Quiesced, DeviceError> {
    let lost = at.lost().clone();
    Poll::new(clock, R::WHAT, limit).register(at, R::is_quiet)?;
    if !R::SETTLE.is_zero() {
        clock.wait(R::SETTLE);
    }
    Ok(Quiesced(lost))
}

/// Resets the whole device, after which it makes no access to any memory.
pub fn reset(device: &dyn Device) -> Result<Quiesced, DeviceError> {
    device.reset()?;
    device.lost().check()?;
    Ok(Quiesced(device.lost().clone()))
}

impl core::fmt::Debug for Poll<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Poll { what, limit, every, .. } = self;
        f.debug_struct("Poll")
            .field("what", what)
            .field("limit", limit)
            .field("every", every)
            .finish_non_exhaustive()
    }
}
