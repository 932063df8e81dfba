//! Accelerators, and what they have of the port that they sit in.
//!
//! Key types: [`Accelerator`], which every kind of them implements, and [`Host`], its way to memory, interrupts and time.
//! Neighbours: [`port`](crate::port) owns one and lets it work.

mod atomic;
mod dummy;
mod engine;
mod he;
mod memory;
mod nlb;
mod stream;

use pmd_afu::ids;
use pmd_afu::regs::dfh::DFH;
use pmd_afu::regs::port::error::PORT_ERROR;
use vfio_user_kit::DmaBus;

use crate::config::{AfuKind, Config};
use crate::control::Faults;
use crate::fme::perf::Traffic;
use crate::port::errors::Refused;

/// Bytes of a line.
pub(crate) const LINE: u64 = 64;

/// An accelerator's logic. All of it is in reset when it is made.
pub(crate) trait Accelerator: Send {
    /// Reads the register at `at`, a multiple of 8. Header and identifier are not asked for.
    fn read(&mut self, at: u64) -> u64;

    /// Writes the bits of `mask` of a register.
    fn write(&mut self, at: u64, value: u64, mask: u64, clock: u64);

    /// Works as far as the clock allows, bounded. Returns whether anything was done.
    fn step(&mut self, host: &mut Host<'_>) -> bool;

    /// Returns the clock count at which it will go on; `None` while it waits for registers to be written.
    fn due(&self) -> Option<u64>;
}

/// Makes an accelerator.
pub(crate) fn make(kind: AfuKind, config: &Config) -> Box<dyn Accelerator> {
    match kind {
        AfuKind::Nlb0 => Box::new(nlb::Nlb0::new(config)),
        AfuKind::HeLpbk => Box::new(he::HostExerciser::new(config, None)),
        AfuKind::HeMem => {
            Box::new(he::HostExerciser::new(config, Some(memory::Memory::new(config.local_memory))))
        }
        AfuKind::Dummy => Box::new(dummy::Dummy::default()),
        AfuKind::Stream => Box::new(stream::Stream::new()),
    }
}

/// The header that every accelerator starts with: the only one of its list.
pub(crate) fn header() -> u64 {
    DFH::default().with_eol(true).with_kind(ids::TYPE_AFU.into()).bits()
}

/// An access to the host's memory that failed. The port has its error latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostFault;

/// What a port gives its accelerator for one step.
pub(crate) struct Host<'a> {
    pub(crate) dma: &'a dyn DmaBus,
    /// How many clocks the accelerator has had since power-on.
    pub(crate) clock: u64,
    pub(crate) faults: Faults,
    /// Lines until accesses fail, if they are to.
    pub(crate) lines_left: &'a mut Option<u64>,
    pub(crate) traffic: &'a mut Traffic,
    /// User interrupts to raise, a bit each.
    pub(crate) interrupts: u16,
    pub(crate) errors: PORT_ERROR,
    pub(crate) refused: Option<Refused>,
    /// A read was answered with an error, as the PCIe errors of the FME show.
    pub(crate) bad_completion: bool,
}

impl Host<'_> {
    /// Reads whole lines, or less than one.
    pub(crate) fn read(&mut self, iova: u64, data: &mut [u8]) -> Result<(), HostFault> {
        let lines = (data.len() as u64).div_ceil(LINE);
        let done = self.spend(lines) && self.dma.read(iova, data).is_ok();
        self.account(iova, lines, false, done)
    }

    /// Writes whole lines, or less than one. `line` is the number of the first one in its test.
    pub(crate) fn write(&mut self, iova: u64, data: &mut [u8], line: u64) -> Result<(), HostFault> {
        let lines = (data.len() as u64).div_ceil(LINE);
        if let Some(corrupt) = self.faults.corrupt_line
            && let Some(byte) = corrupt
                .checked_sub(line)
                .filter(|&n| n < lines)
                .and_then(|n| data.get_mut((n * LINE) as usize))
        {
            *byte ^= 0x01;
        }
        self.post(iova, data)
    }

    /// Writes what is not part of a test's data.
    pub(crate) fn post(&mut self, iova: u64, data: &[u8]) -> Result<(), HostFault> {
        let lines = (data.len() as u64).div_ceil(LINE);
        let done = self.spend(lines) && self.dma.write(iova, data).is_ok();
        self.account(iova, lines, true, done)
    }

    /// Reads a word with Acquire order.
    pub(crate) fn load(&mut self, iova: u64) -> Result<u64, HostFault> {
        let word = if self.spend(1) { self.dma.load(iova).ok() } else { None };
        self.account(iova, 1, false, word.is_some())?;
        word.ok_or(HostFault)
    }

    /// Writes a word with Release order.
    pub(crate) fn store(&mut self, iova: u64, word: u64) -> Result<(), HostFault> {
        let done = self.spend(1) && self.dma.store(iova, word).is_ok();
        self.account(iova, 1, true, done)
    }

    /// The same for 32 bits.
    pub(crate) fn store32(&mut self, iova: u64, word: u32) -> Result<(), HostFault> {
        let done = self.spend(1) && self.dma.store32(iova, word).is_ok();
        self.account(iova, 1, true, done)
    }

    /// Raises one of the port's user interrupts.
    pub(crate) fn interrupt(&mut self, number: u64) {
        if let Ok(number) = u32::try_from(number) {
            self.interrupts |= 1u16.checked_shl(number).unwrap_or(0);
        }
    }

    fn spend(&mut self, lines: u64) -> bool {
        match self.lines_left {
            None => true,
            Some(left) if *left >= lines => {
                *left -= lines;
                true
            }
            Some(left) => {
                *left = 0;
                false
            }
        }
    }

    fn account(&mut self, iova: u64, lines: u64, write: bool, done: bool) -> Result<(), HostFault> {
        if done {
            self.traffic.count(iova, lines, write);
            return Ok(());
        }
        self.errors = self.errors.with_page_fault(true);
        self.bad_completion |= !write;
        self.refused.get_or_insert(Refused { iova, what: lines | u64::from(write) << 32 });
        Err(HostFault)
    }
}
