//! Native loopback in mode 0 (NLB0).
//!
//! Key types: [`Nlb0`]. Neighbours: [`engine`](super::engine) moves the lines.

use pmd_afu::regs::nlb0::*;
use pmd_afu::regs::port::error::PORT_ERROR;
use vfio_hal::regs::Register;

use super::engine::{self, End, Engine, Mode, Test};
use super::{Accelerator, Host, LINE};
use crate::config::Config;
use crate::words::merge;

/// Words of registers that hold what is written, from the first scratchpad on.
const FIRST: u64 = 0x100;
const WORDS: usize = 16;
/// Clock of the accelerator in STATUS2, MHz (OPAE, `nlb0.cpp`: 47:32).
const STATUS2_MHZ: u32 = 32;

pub(super) struct Nlb0 {
    mhz: u64,
    words: [u64; WORDS],
    engine: Option<Engine>,
    /// Of the last test: reads and writes.
    counts: (u64, u64),
    /// A configuration that cannot be run, to be told to the port.
    bad: PORT_ERROR,
}

impl Nlb0 {
    pub(super) fn new(config: &Config) -> Nlb0 {
        let mhz = config.clock_mhz.into();
        Nlb0 { mhz, words: [0; WORDS], engine: None, counts: (0, 0), bad: PORT_ERROR::default() }
    }

    fn word(&self, at: u64) -> u64 {
        self.words[((at - FIRST) / 8) as usize]
    }

    fn control(&mut self, old: CTL, new: CTL, clock: u64) {
        if !new.reset_n() {
            self.engine = None;
            self.counts = (0, 0);
            return;
        }
        if new.start() && !old.start() && self.engine.is_none() {
            self.counts = (0, 0);
            self.start(clock);
        }
        if new.force_completion()
            && let Some(engine) = &mut self.engine
        {
            engine.stop();
        }
    }

    fn start(&mut self, clock: u64) {
        let cfg = CFG::new(self.word(CFG::OFFSET) as u32);
        let (source, destination) = (self.word(SRC_ADDR::OFFSET) << 6, self.word(DST_ADDR::OFFSET) << 6);
        let mode = match cfg.mode() {
            0 => Some(Mode::Loopback),
            1 => Some(Mode::Read),
            2 => Some(Mode::Write),
            3 => Some(Mode::Throughput),
            _ => None,
        };
        let burst = match cfg.lines() {
            0 => 1,
            1 => 2,
            3 => 4,
            _ => 3,
        };
        let aligned = |address: u64| address.is_multiple_of(burst * LINE);
        self.bad = PORT_ERROR::default();
        match (mode, burst) {
            (None, _) => self.bad = self.bad.with_tx0_invalid(true),
            (_, 3) => self.bad = self.bad.with_tx0_cl_len3(true),
            (_, 2) => {
                self.bad = self.bad.with_tx0_cl2_unaligned(!aligned(source));
                self.bad = self.bad.with_tx1_cl2_unaligned(!aligned(destination));
            }
            (_, 4) => {
                self.bad = self.bad.with_tx0_cl4_unaligned(!aligned(source));
                self.bad = self.bad.with_tx1_cl4_unaligned(!aligned(destination));
            }
            _ => {}
        }
        let lines = self.word(NUM_LINES::OFFSET) & 0xFFFF_FFFF;
        let test = Test {
            mode: mode.unwrap_or(Mode::Loopback),
            requests: lines / burst,
            burst,
            stride: 1,
            source,
            destination,
            continuous: cfg.continuous(),
            delay: false,
            interleave: 1,
            overhead: 0,
            local: false,
            atomic: None,
        };
        self.engine = Some(Engine::new(test, clock));
    }

    /// Writes the line of the status block that tells the end, its first word last.
    fn complete(&mut self, host: &mut Host<'_>, clocks: u64, end: End) {
        let cfg = CFG::new(self.word(CFG::OFFSET) as u32);
        let error = match end {
            End::Done => 0,
            End::ReadFault => 1,
            End::WriteFault => 2,
        };
        let base = self.word(DSM_BASE::OFFSET) & !(LINE - 1);
        let (reads, writes) = self.counts;
        let mut line = [0; (LINE as usize)];
        let mut put =
            |at: usize, bytes: &[u8]| line[at - dsm::COMPLETE..][..bytes.len()].copy_from_slice(bytes);
        put(dsm::CLOCKS, &clocks.to_le_bytes());
        put(dsm::READS, &(reads as u32).to_le_bytes());
        put(dsm::WRITES, &(writes as u32).to_le_bytes());
        put(dsm::START_OVERHEAD, &(engine::START as u32).to_le_bytes());
        put(dsm::END_OVERHEAD, &(engine::END as u32).to_le_bytes());
        let at = base.wrapping_add(dsm::COMPLETE as u64);
        let written =
            host.post(at.wrapping_add(8), &line[8..]).and_then(|()| host.store(at, 1 | error << 32));
        if (written.is_err() || error != 0) && cfg.interrupt_on_error() || cfg.interrupt_test() {
            host.interrupt(INTERRUPT0::new(self.word(INTERRUPT0::OFFSET) as u32).vector().into());
        }
    }
}

impl Accelerator for Nlb0 {
    fn read(&mut self, at: u64) -> u64 {
        let pending = self.engine.as_ref().map_or((0, 0), Engine::pending);
        let (reads, writes) =
            self.engine.as_ref().map_or(self.counts, |engine| (engine.reads, engine.writes));
        match at {
            STATUS0::OFFSET => {
                STATUS0::default().with_reads(reads & 0xFFFF_FFFF).with_writes(writes & 0xFFFF_FFFF).bits()
            }
            STATUS1::OFFSET => {
                STATUS1::default().with_pending_reads(pending.0).with_pending_writes(pending.1).bits()
            }
            STATUS2::OFFSET => self.mhz << STATUS2_MHZ,
            _ if (FIRST..STATUS0::OFFSET).contains(&at) => self.word(at),
            _ => 0,
        }
    }

    fn write(&mut self, at: u64, value: u64, mask: u64, clock: u64) {
        if !(FIRST..STATUS0::OFFSET).contains(&at) {
            return;
        }
        let old = self.word(at);
        let new = merge(old, value, mask);
        self.words[((at - FIRST) / 8) as usize] = new;
        if at == CTL::OFFSET {
            self.control(CTL::new(old as u32), CTL::new(new as u32), clock);
        }
    }

    fn step(&mut self, host: &mut Host<'_>) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        if self.bad != PORT_ERROR::default() {
            // The port swallows the request, and the answer never comes.
            host.errors = PORT_ERROR::new(host.errors.bits() | self.bad.bits());
            self.bad = PORT_ERROR::default();
            self.engine = None;
            return true;
        }
        let (worked, end) = engine.step(host, None);
        if let Some(end) = end {
            self.counts = (engine.reads, engine.writes);
            let clocks = engine.clocks;
            self.engine = None;
            self.complete(host, clocks, end);
        }
        worked
    }

    fn due(&self) -> Option<u64> {
        self.engine.as_ref().map(Engine::due)
    }
}
