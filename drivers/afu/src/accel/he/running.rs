//! A test under way.

use core::time::Duration;

use vfio_hal::clock::Deadline;
use vfio_hal::poll::Poll;

use super::{Buffers, Config, HostExerciser, Report};
use crate::AfuError;
use crate::regs::he::{CTL, STATUS0, STATUS1, dsm};

/// How often the status block is looked at.
const EVERY: Duration = Duration::from_micros(50);
/// How long requests may be on their way after a test was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_millis(100);

/// A test under way. Dropped, it is stopped.
#[derive(Debug)]
#[must_use = "dropped, the test is stopped"]
pub struct Running<'a> {
    he: &'a mut HostExerciser,
    config: Config,
    buffers: Buffers<'a>,
    bytes: u64,
    done: bool,
}

/// How far a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Lines read, the lowest 32 bits.
    pub reads: u64,
    /// Lines written, the lowest 32 bits.
    pub writes: u64,
    /// Requests to the host on their way: reads, writes.
    pub pending: (u64, u64),
    /// Requests to the card's memory on their way: reads, writes.
    pub pending_memory: (u64, u64),
}

impl<'a> Running<'a> {
    pub(super) fn new(
        he: &'a mut HostExerciser,
        config: &Config,
        buffers: &Buffers<'a>,
        bytes: u64,
    ) -> Running<'a> {
        Running { he, config: *config, buffers: *buffers, bytes, done: false }
    }

    /// Returns whether the exerciser has ended the test.
    pub fn is_done(&self) -> Result<bool, AfuError> {
        self.he.regs.lost().check()?;
        let dsm = &self.he.dsm;
        self.he.afu.card().device().dma().sync_for_cpu(dsm.iova(), 64);
        Ok(dsm.read_u64(dsm::STATE)? & 1 != 0)
    }

    /// Returns how far it is.
    pub fn state(&mut self) -> Result<State, AfuError> {
        let entered = self.he.regs.enter()?;
        let (counts, pending) = (entered.read::<STATUS0>(), entered.read::<STATUS1>());
        drop(entered);
        self.he.regs.lost().check()?;
        Ok(State {
            reads: counts.reads(),
            writes: counts.writes(),
            pending: (pending.pending_reads(), pending.pending_writes()),
            pending_memory: (pending.pending_memory_reads(), pending.pending_memory_writes()),
        })
    }

    /// Waits for the end, at most as long as the configuration says.
    pub fn wait(mut self) -> Result<Report, AfuError> {
        let limit = self.config.timeout;
        self.wait_for(limit)?;
        self.finish()
    }

    /// Waits for the interrupt that tells the end, at most as long as the configuration says. The event is that of
    /// [`Afu::interrupt`](crate::Afu::interrupt), subscribed before the start.
    #[cfg(feature = "std")]
    pub fn wait_for_interrupt(mut self, event: &vfio_hal::irq::EventFd) -> Result<Report, AfuError> {
        let limit = self.config.timeout;
        let clock = self.he.afu.card().clock().clone();
        let deadline = clock.now().saturating_add(limit);
        loop {
            let left = deadline.saturating_sub(clock.now());
            // A device that dies sends nothing, so the latch is looked at now and then.
            let signals = event.wait(left.min(Duration::from_millis(100)))?;
            if signals != 0 && self.is_done()? {
                return self.finish();
            }
            self.he.regs.lost().check()?;
            if left.is_zero() {
                return Err(self.give_up(limit));
            }
        }
    }

    /// Ends the test now, continuous or not, and waits until it has.
    pub fn stop(mut self) -> Result<Report, AfuError> {
        self.force()?;
        self.wait_for(DRAIN_LIMIT)?;
        self.finish()
    }

    fn force(&mut self) -> Result<(), AfuError> {
        let stop = CTL::default().with_reset_n(true).with_force_completion(true);
        self.he.regs.enter()?.write(stop);
        Ok(self.he.regs.lost().check()?)
    }

    fn wait_for(&mut self, limit: Duration) -> Result<(), AfuError> {
        let clock = self.he.afu.card().clock().clone();
        let deadline = Deadline::after(&*clock, limit);
        loop {
            let last = deadline.passed(&*clock);
            if self.is_done()? {
                return Ok(());
            }
            if last {
                return Err(self.give_up(limit));
            }
            clock.wait(EVERY);
        }
    }

    /// Resets the accelerator, after which it lets go of the buffers.
    fn give_up(&mut self, limit: Duration) -> AfuError {
        self.done = true;
        let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        match self.he.afu.reset() {
            Ok(_) => AfuError::Unfinished { millis },
            Err(error) => error,
        }
    }

    /// Waits until all requests are drained, puts the exerciser into its reset, and reads what it counted.
    fn finish(&mut self) -> Result<Report, AfuError> {
        let clock = self.he.afu.card().clock().clone();
        let entered = self.he.regs.enter()?;
        let drained = Poll::new(&*clock, "host exerciser: requests drained", DRAIN_LIMIT)
            .register(entered.single(), |status: STATUS1| status.bits() == 0);
        drop(entered);
        if drained.is_err() {
            self.he.regs.lost().check()?;
            return Err(self.give_up(DRAIN_LIMIT));
        }
        self.he.check_message()?;
        let entered = self.he.regs.enter()?;
        entered.write(CTL::default());
        entered.write(CTL::default().with_reset_n(true));
        drop(entered);
        self.he.regs.lost().check()?;
        self.done = true;
        let device = self.he.afu.card().device().clone();
        device.dma().sync_for_cpu(self.buffers.source.iova(), self.bytes);
        device.dma().sync_for_cpu(self.buffers.destination.iova(), self.bytes);
        let dsm = &self.he.dsm;
        let error = dsm.read_u64(dsm::STATE)? >> 32;
        if error != 0 {
            return Err(AfuError::Accelerator { code: error });
        }
        let ticks = dsm.read_u64(dsm::TICKS)?;
        Ok(Report {
            mode: self.config.mode,
            line_bytes: self.he.info.bus_bytes.into(),
            reads: u64::from(dsm.read_u32(dsm::READS)?) | (ticks >> 48 & 0xff) << 32,
            writes: u64::from(dsm.read_u32(dsm::WRITES)?) | (ticks >> 56) << 32,
            clocks: ticks & ((1 << 40) - 1),
            start_overhead: dsm.read_u32(dsm::PENALTY_START)? & 0xffff,
            end_overhead: dsm.read_u32(dsm::PENALTY_END)? & 0xff,
            mhz: self.he.info.mhz,
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.done || self.he.regs.lost().is_lost() {
            return;
        }
        // It must not go on with buffers that are the caller's again.
        let stopped = self.force().and_then(|()| self.wait_for(DRAIN_LIMIT));
        if stopped.is_err() && !self.done && self.he.afu.reset().is_err() {
            log::warn!("the host exerciser was not seen to stop");
        }
    }
}
