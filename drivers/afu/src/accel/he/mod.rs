//! The host exercisers of OFS cards: HE-LBK between two buffers of the host, HE-MEM on the way through the card's memory.
//!
//! [`HostExerciser`] drives both. [`HostExerciser::run`] does one test of a [`Config`]; [`HostExerciser::start`] starts one and
//! gives a [`Running`], which is waited for or, in continuous mode, stopped. [`HostExerciser::prepare`] and
//! [`HostExerciser::verify`] fill buffers and check them afterwards. What an exerciser can do depends on its version, see
//! [`Info`]; what it cannot is refused before it starts.
//!
//! The exerciser counts in lines as wide as the host's bus, writes its counts into a status block in memory (DSM) and sets a
//! bit there last; the block is read only after that bit was seen.

mod config;
mod running;

use vfio_hal::BusAddr;
use vfio_hal::dma::{DmaAccess, Region};

use super::loopback::{Buffers, Mismatch, Mode, Pattern, Report};
use super::{Accelerator, Memory, check};
use crate::guid::{self, Uuid};
use crate::regs::he::{
    self, CFG, CTL, DSM_BASE, DSM_BASE_32, DSM_BASE_128, DSM_BASE_256, DST_ADDR, DST_ADDR_32, DST_ADDR_128,
    DST_ADDR_256, ERROR, INACT_THRESH, INFO0, INTERRUPT0, NUM_LINES, SRC_ADDR, SRC_ADDR_32, SRC_ADDR_128,
    SRC_ADDR_256, STRIDE, SWTEST_MSG, dsm,
};
use crate::{Afu, AfuError, Entered, Registers};

pub use config::{Atomic, AtomicOperation, Config, Encoding, Info, MAX_LINES};
pub use running::{Running, State};

/// A host exerciser.
#[derive(Debug)]
pub struct HostExerciser {
    regs: Registers<he::HostExerciser>,
    dsm: Region,
    info: Info,
    afu: Afu,
}

impl Accelerator for HostExerciser {
    const GUIDS: &'static [Uuid] = &[guid::HE_LBK, guid::HE_MEM];

    fn attach(afu: Afu, memory: &Memory) -> Result<HostExerciser, AfuError> {
        check(&afu, Self::GUIDS)?;
        let mut regs = afu.registers::<he::HostExerciser>(Some(&memory.space))?;
        let info0 = regs.enter()?.read::<INFO0>();
        regs.lost().check()?;
        let info = Info::of(info0, afu.guid() == guid::HE_MEM);
        let dsm = memory.buffer(dsm::BYTES, DmaAccess::ReadWrite, "host exerciser status")?;
        Ok(HostExerciser { regs, dsm, info, afu })
    }

    fn afu(&self) -> &Afu {
        &self.afu
    }

    fn detach(self) -> Afu {
        self.afu
    }
}

impl HostExerciser {
    /// Returns what it is and what it can do.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Returns the error register.
    pub fn error(&mut self) -> Result<u32, AfuError> {
        let error = self.regs.enter()?.read::<ERROR>().error() as u32;
        self.regs.lost().check()?;
        Ok(error)
    }

    /// Fills the buffers for a test: the source with a pattern, the destination with something else.
    pub fn prepare(&self, config: &Config, buffers: &Buffers<'_>, seed: u64) -> Result<Pattern, AfuError> {
        let bytes = config.check(&self.info)?;
        buffers.check(bytes, false, false, false)?;
        let pattern = Pattern::new(seed, self.info.bus_bytes as usize);
        pattern.fill_for(buffers.source, bytes / u64::from(self.info.bus_bytes), config.atomic)?;
        buffers.destination.fill(0, bytes as usize, 0xbe)?;
        Ok(pattern)
    }

    /// Checks the buffers after a loopback that was [prepared](Self::prepare) so; other modes copy nothing that could be
    /// checked. Where the card's memory is narrower than the host's bus, only that part of a line takes the way through it.
    pub fn verify(
        &self,
        config: &Config,
        buffers: &Buffers<'_>,
        pattern: &Pattern,
    ) -> Result<Option<Mismatch>, AfuError> {
        if config.mode != Mode::Loopback || config.continuous {
            return Ok(None);
        }
        if let Some(atomic) = config.atomic {
            let lines = config.touched();
            return Ok(pattern.check_atomic(buffers.source, buffers.destination, lines, atomic)?);
        }
        let width = self.info.local_bus_bytes.unwrap_or(self.info.bus_bytes).min(self.info.bus_bytes);
        Ok(pattern.check_lines("destination", buffers.destination, config.touched(), width as usize)?)
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
        let bytes = config.check(&self.info)?;
        let write_source = config.atomic.is_some();
        buffers.check(bytes, config.mode.reads() || write_source, write_source, config.mode.writes())?;
        self.dsm.fill(0, 64, 0)?;
        let device = self.afu.card().device().clone();
        device.dma().sync_for_device(self.dsm.iova(), self.dsm.len() as u64);
        device.dma().sync_for_device(buffers.source.iova(), bytes);
        device.dma().sync_for_device(buffers.destination.iova(), bytes);

        let regs = self.regs.enter()?;
        regs.write(CTL::default());
        // Addresses and configuration are taken only out of reset and before the start.
        regs.write(CTL::default().with_reset_n(true));
        let (dsm, source) = (self.dsm.bus(0)?, buffers.source.bus(0)?);
        addresses(&regs, self.info.bus_bytes, dsm, source, buffers.destination.bus(0)?)?;
        regs.write(NUM_LINES::default().with_last((config.lines - 1).into()));
        regs.write(STRIDE::new(config.stride));
        if let Some(clocks) = config.inactivity {
            regs.write(INACT_THRESH::new(clocks));
        }
        if let Some(vector) = config.interrupt {
            regs.write(INTERRUPT0::default().with_vector(vector.into()));
        }
        regs.write::<CFG>(config.register());
        regs.write(CTL::default().with_reset_n(true).with_start(true));
        drop(regs);
        self.regs.lost().check()?;
        Ok(Running::new(self, config, buffers, bytes))
    }

    /// Returns an error if the exerciser itself has found one.
    fn check_message(&mut self) -> Result<(), AfuError> {
        let code = self.regs.enter()?.read::<SWTEST_MSG>().bits();
        self.regs.lost().check()?;
        if code == 0 { Ok(()) } else { Err(AfuError::Accelerator { code }) }
    }
}

/// Writes the three addresses, in the units that the bus has.
fn addresses(
    regs: &Entered<'_, he::HostExerciser>,
    bus_bytes: u32,
    dsm: BusAddr,
    source: BusAddr,
    destination: BusAddr,
) -> Result<(), AfuError> {
    match bus_bytes {
        32 => {
            regs.write_bus::<DSM_BASE_32>(0, dsm)?;
            regs.write_bus::<SRC_ADDR_32>(0, source)?;
            regs.write_bus::<DST_ADDR_32>(0, destination)?;
        }
        128 => {
            regs.write_bus::<DSM_BASE_128>(0, dsm)?;
            regs.write_bus::<SRC_ADDR_128>(0, source)?;
            regs.write_bus::<DST_ADDR_128>(0, destination)?;
        }
        256 => {
            regs.write_bus::<DSM_BASE_256>(0, dsm)?;
            regs.write_bus::<SRC_ADDR_256>(0, source)?;
            regs.write_bus::<DST_ADDR_256>(0, destination)?;
        }
        _ => {
            regs.write_bus::<DSM_BASE>(0, dsm)?;
            regs.write_bus::<SRC_ADDR>(0, source)?;
            regs.write_bus::<DST_ADDR>(0, destination)?;
        }
    }
    Ok(())
}
