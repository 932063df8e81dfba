//! Native loopback, mode 0 (NLB0): the accelerator of OPAE's `hello_fpga`.
//!
//! [`Nlb0::run`] does one test. [`Nlb0::start`] starts one and gives a [`Running`], which is waited for or, in continuous mode,
//! stopped. The accelerator writes its counts into a status block in memory (DSM) and sets a bit there last; the block is
//! read only after that bit was seen.

use core::time::Duration;

use vfio_hal::clock::Deadline;
use vfio_hal::dma::{DmaAccess, Region};
use vfio_hal::poll::Poll;

use super::loopback::{Buffers, Mode, Report};
use super::{Accelerator, Memory, check};
use crate::guid::{self, Uuid};
use crate::regs::nlb0::{
    self, CFG, CTL, DSM_BASE, DST_ADDR, INACT_THRESH, INTERRUPT0, NUM_LINES, SRC_ADDR, STATUS0, STATUS1,
    STATUS2, dsm,
};
use crate::{Afu, AfuError, Registers};

/// Bytes of a line.
pub const LINE: u64 = 64;
/// How often the status block is looked at.
const EVERY: Duration = Duration::from_micros(50);
/// How long requests may be on their way after a test was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_millis(100);

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is done.
    pub mode: Mode,
    /// How many lines of 64 bytes.
    pub lines: u32,
    /// Lines a request: 1, 2 or 4.
    pub lines_per_request: u32,
    /// Starts over at the end, until it is stopped.
    pub continuous: bool,
    /// Hint with reads: the line will not be read again (RDI).
    pub read_once: bool,
    /// The channel of reads.
    pub read_channel: Channel,
    /// The channel of writes.
    pub write_channel: Channel,
    /// The user interrupt that tells the end.
    pub interrupt: Option<u16>,
    /// Clocks without progress after which the accelerator gives up; `None` for its default.
    pub inactivity: Option<u32>,
    /// How long a test may take that is not continuous.
    pub timeout: Duration,
}

/// The way of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// Chosen by the fabric.
    Automatic,
    /// The coherent link.
    Vl0,
    /// PCIe 0; what OPAE's samples take.
    #[default]
    Vh0,
    /// PCIe 1.
    Vh1,
    /// Another one for each request.
    Random,
}

impl Channel {
    fn number(self) -> u32 {
        match self {
            Channel::Automatic => 0,
            Channel::Vl0 => 1,
            Channel::Vh0 => 2,
            Channel::Vh1 => 3,
            Channel::Random => 4,
        }
    }
}

impl Default for Config {
    /// A loopback of 64 KiB, as `hello_fpga` does it.
    fn default() -> Config {
        Config {
            mode: Mode::Loopback,
            lines: 1024,
            lines_per_request: 1,
            continuous: false,
            read_once: false,
            read_channel: Channel::default(),
            write_channel: Channel::default(),
            interrupt: None,
            inactivity: None,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Returns the bytes of each buffer that the test uses.
    pub fn bytes(&self) -> u64 {
        u64::from(self.lines) * LINE
    }

    fn check(&self) -> Result<u32, AfuError> {
        let refuse = |what, value: u32, reason| AfuError::Parameter { what, value: value.into(), reason };
        let lines = match self.lines_per_request {
            1 => 0,
            2 => 1,
            4 => 3,
            other => return Err(refuse("lines per request", other, "NLB0 takes 1, 2 or 4")),
        };
        if self.lines == 0 || !self.lines.is_multiple_of(self.lines_per_request) {
            return Err(refuse("lines", self.lines, "it must be whole requests, at least one"));
        }
        Ok(lines)
    }
}

/// Native loopback.
#[derive(Debug)]
pub struct Nlb0 {
    regs: Registers<nlb0::Nlb0>,
    dsm: Region,
    afu: Afu,
}

impl Accelerator for Nlb0 {
    const GUIDS: &'static [Uuid] = &[guid::NLB0];

    fn attach(afu: Afu, memory: &Memory) -> Result<Nlb0, AfuError> {
        check(&afu, Self::GUIDS)?;
        let regs = afu.registers(Some(&memory.space))?;
        let dsm = memory.buffer(dsm::BYTES, DmaAccess::ReadWrite, "NLB0 status")?;
        Ok(Nlb0 { regs, dsm, afu })
    }

    fn afu(&self) -> &Afu {
        &self.afu
    }

    fn detach(self) -> Afu {
        self.afu
    }
}

impl Nlb0 {
    /// Returns the accelerator's clock in MHz, where it tells.
    pub fn mhz(&mut self) -> Result<Option<u32>, AfuError> {
        let mhz = self.regs.enter()?.read::<STATUS2>().mhz() as u32;
        self.regs.lost().check()?;
        Ok((mhz != 0).then_some(mhz))
    }

    /// Does one test, and returns what was counted.
    ///
    /// # Errors
    /// [`AfuError::Unfinished`] if it does not end in time; the accelerator is reset then.
    pub fn run(&mut self, config: &Config, buffers: &Buffers<'_>) -> Result<Report, AfuError> {
        if config.continuous {
            let reason = "a continuous test does not end: start it, and stop it";
            return Err(AfuError::Parameter { what: "continuous mode", value: 1, reason });
        }
        self.start(config, buffers)?.wait()
    }

    /// Starts a test.
    pub fn start<'a>(&'a mut self, config: &Config, buffers: &Buffers<'a>) -> Result<Running<'a>, AfuError> {
        let lines = config.check()?;
        buffers.check(config.bytes(), config.mode.reads(), false, config.mode.writes())?;
        let mhz = self.mhz()?;
        self.dsm.fill(0, 128, 0)?;
        let device = self.afu.card().device().clone();
        device.dma().sync_for_device(self.dsm.iova(), self.dsm.len() as u64);
        device.dma().sync_for_device(buffers.source.iova(), config.bytes());
        device.dma().sync_for_device(buffers.destination.iova(), config.bytes());

        let regs = self.regs.enter()?;
        regs.write(CTL::default());
        regs.write(CTL::default().with_reset_n(true));
        regs.write_bus::<DSM_BASE>(0, self.dsm.bus(0)?)?;
        regs.write_bus::<SRC_ADDR>(0, buffers.source.bus(0)?)?;
        regs.write_bus::<DST_ADDR>(0, buffers.destination.bus(0)?)?;
        regs.write(NUM_LINES::new(config.lines));
        if let Some(clocks) = config.inactivity {
            regs.write(INACT_THRESH::new(clocks));
        }
        if let Some(interrupt) = config.interrupt {
            regs.write(INTERRUPT0::default().with_vector(interrupt.into()));
        }
        regs.write(
            CFG::default()
                .with_mode(config.mode.number())
                .with_lines(lines)
                .with_continuous(config.continuous)
                .with_read_hint(config.read_once.into())
                .with_read_channel(config.read_channel.number())
                .with_write_channel(config.write_channel.number())
                .with_interrupt_test(config.interrupt.is_some()),
        );
        regs.write(CTL::default().with_reset_n(true).with_start(true));
        drop(regs);
        self.regs.lost().check()?;
        Ok(Running { nlb0: self, buffers: *buffers, config: *config, mhz, done: false })
    }
}

/// A test under way. Dropped, it is stopped.
#[derive(Debug)]
#[must_use = "dropped, the test is stopped"]
pub struct Running<'a> {
    nlb0: &'a mut Nlb0,
    buffers: Buffers<'a>,
    config: Config,
    mhz: Option<u32>,
    done: bool,
}

impl Running<'_> {
    /// Returns whether the accelerator has ended the test.
    pub fn is_done(&self) -> Result<bool, AfuError> {
        self.nlb0.regs.lost().check()?;
        Ok(self.complete()?)
    }

    fn complete(&self) -> Result<bool, vfio_hal::dma::DmaError> {
        let dsm = &self.nlb0.dsm;
        self.nlb0.afu.card().device().dma().sync_for_cpu(dsm.iova(), 128);
        Ok(dsm.read_u32(dsm::COMPLETE)? & 1 != 0)
    }

    /// Returns lines read and written so far.
    pub fn progress(&mut self) -> Result<(u64, u64), AfuError> {
        let status = self.nlb0.regs.enter()?.read::<STATUS0>();
        self.nlb0.regs.lost().check()?;
        Ok((status.reads(), status.writes()))
    }

    /// Waits for the end, at most as long as the configuration says.
    pub fn wait(mut self) -> Result<Report, AfuError> {
        let limit = self.config.timeout;
        self.wait_for(limit)?;
        self.finish()
    }

    /// Ends the test now, continuous or not, and waits until it has.
    pub fn stop(mut self) -> Result<Report, AfuError> {
        self.force()?;
        self.wait_for(DRAIN_LIMIT)?;
        self.finish()
    }

    fn force(&mut self) -> Result<(), AfuError> {
        let stop = CTL::default().with_reset_n(true).with_start(true).with_force_completion(true);
        self.nlb0.regs.enter()?.write(stop);
        Ok(self.nlb0.regs.lost().check()?)
    }

    fn wait_for(&mut self, limit: Duration) -> Result<(), AfuError> {
        let clock = self.nlb0.afu.card().clock().clone();
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
        match self.nlb0.afu.reset() {
            Ok(_) => AfuError::Unfinished { millis },
            Err(error) => error,
        }
    }

    /// Stops the accelerator, waits until its requests are drained, and reads what it counted.
    fn finish(&mut self) -> Result<Report, AfuError> {
        self.force()?;
        let clock = self.nlb0.afu.card().clock().clone();
        let entered = self.nlb0.regs.enter()?;
        let drained = Poll::new(&*clock, "NLB0: requests drained", DRAIN_LIMIT)
            .register(entered.single(), |status: STATUS1| status.bits() == 0);
        drop(entered);
        if drained.is_err() {
            self.nlb0.regs.lost().check()?;
            return Err(self.give_up(DRAIN_LIMIT));
        }
        self.done = true;
        let (device, bytes) = (self.nlb0.afu.card().device().clone(), self.config.bytes());
        device.dma().sync_for_cpu(self.buffers.destination.iova(), bytes);
        let dsm = &self.nlb0.dsm;
        let error = dsm.read_u32(dsm::ERROR)?;
        if error != 0 {
            return Err(AfuError::Accelerator { code: error.into() });
        }
        Ok(Report {
            mode: self.config.mode,
            line_bytes: LINE,
            reads: dsm.read_u32(dsm::READS)?.into(),
            writes: dsm.read_u32(dsm::WRITES)?.into(),
            clocks: dsm.read_u64(dsm::CLOCKS)?,
            start_overhead: dsm.read_u32(dsm::START_OVERHEAD)?,
            end_overhead: dsm.read_u32(dsm::END_OVERHEAD)?,
            mhz: self.mhz,
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.done || self.nlb0.regs.lost().is_lost() {
            return;
        }
        // It must not go on with buffers that are the caller's again.
        let stopped = self.force().and_then(|()| self.wait_for(DRAIN_LIMIT));
        if stopped.is_err() && !self.done && self.nlb0.afu.reset().is_err() {
            log::warn!("NLB0 was not seen to stop");
        }
    }
}
