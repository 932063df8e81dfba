//! The host exercisers: HE-LBK, and HE-MEM with memory of its own (OFS, `he_lb`).
//!
//! Key types: [`HostExerciser`]. Neighbours: [`engine`](super::engine) moves the lines, [`memory`](super::memory) is what is
//! on the card.

use pmd_afu::regs::he::*;
use vfio_hal::regs::Register;

use super::atomic::Atomic;
use super::engine::{self, End, Engine, Mode, Test};
use super::memory::Memory;
use super::{Accelerator, Host, LINE};
use crate::config::Config;
use crate::words::merge;

/// Words of registers, from the first scratchpad on.
const FIRST: u64 = 0x100;
const WORDS: usize = 17;
/// The version of the registers: 4 tells the widths of both buses.
const API: u64 = 4;
/// ERROR and the status block's errors: the host's memory could not be read, or written; the status block could not.
const ERROR_READ: u64 = 1 << 0;
const ERROR_WRITE: u64 = 1 << 1;
const ERROR_STATUS: u64 = 1 << 2;
/// A configuration that the exerciser cannot run.
const ERROR_CONFIG: u64 = 1 << 3;

pub(super) struct HostExerciser {
    info: INFO0,
    words: [u64; WORDS],
    memory: Option<Memory>,
    engine: Option<Engine>,
    /// Of the last test: reads and writes.
    counts: (u64, u64),
    error: u64,
    /// Numbers the status blocks.
    number: u64,
}

impl HostExerciser {
    pub(super) fn new(config: &Config, memory: Option<Memory>) -> HostExerciser {
        let info = INFO0::default()
            .with_mhz(config.clock_mhz.into())
            .with_api(API)
            .with_no_atomics(!config.atomics)
            .with_bus(1)
            .with_local_bus(if memory.is_some() { 4 } else { 0 });
        HostExerciser { info, words: [0; WORDS], memory, engine: None, counts: (0, 0), error: 0, number: 0 }
    }

    fn word(&self, at: u64) -> u64 {
        self.words[((at - FIRST) / 8) as usize]
    }

    fn cfg(&self) -> CFG {
        CFG::new(self.word(CFG::OFFSET))
    }

    fn control(&mut self, old: CTL, new: CTL, clock: u64) {
        if !new.reset_n() {
            self.engine = None;
            self.counts = (0, 0);
            self.error = 0;
            return;
        }
        if new.start() && !old.start() && self.engine.is_none() {
            self.counts = (0, 0);
            self.engine = Some(Engine::new(self.test(), clock));
        }
        if new.force_completion()
            && let Some(engine) = &mut self.engine
        {
            engine.stop();
        }
    }

    fn test(&mut self) -> Test {
        let cfg = self.cfg();
        let length = cfg.length() | cfg.length_high() << 2;
        let atomic = Atomic::from_bits(cfg.atomic());
        let mode = match cfg.mode() {
            0 => Some(Mode::Loopback),
            1 => Some(Mode::Read),
            2 => Some(Mode::Write),
            3 => Some(Mode::Throughput),
            _ => None,
        };
        let atomics = !self.info.no_atomics();
        if mode.is_none() || length > 4 || atomic.is_some() && !atomics {
            self.error |= ERROR_CONFIG;
        }
        let mode = mode.unwrap_or(Mode::Loopback);
        let burst = 1 << length.min(4);
        // The register holds the number of the last line. The streams of the throughput mode share the lines.
        let last = self.word(NUM_LINES::OFFSET);
        let last = if mode == Mode::Throughput && atomic.is_none() { last >> 1 } else { last };
        let local = self.memory.is_some() && mode != Mode::Loopback && atomic.is_none();
        let half = self.memory.as_ref().map_or(0, |memory| memory.bytes() / 2);
        Test {
            mode,
            requests: last / burst + 1,
            burst,
            stride: (self.word(STRIDE::OFFSET) & 0x3F).max(1),
            source: if local { 0 } else { self.word(SRC_ADDR::OFFSET) << 6 },
            destination: if local { half } else { self.word(DST_ADDR::OFFSET) << 6 },
            continuous: cfg.continuous(),
            delay: cfg.delay(),
            interleave: 1 << cfg.interleave().min(2),
            // A data mover's header takes a clock of its own.
            overhead: u64::from(cfg.encoding() == 1),
            local,
            atomic: atomic.filter(|_| atomics),
        }
    }

    /// Writes the status block, its first word last, and interrupts if that was asked for.
    fn complete(&mut self, host: &mut Host<'_>, clocks: u64, end: End) {
        let (cfg, (reads, writes)) = (self.cfg(), self.counts);
        self.error |= match end {
            End::Done => 0,
            End::ReadFault => ERROR_READ,
            End::WriteFault => ERROR_WRITE,
        };
        let base = self.word(DSM_BASE::OFFSET) << 6;
        let mut line = [0; LINE as usize];
        let mut put = |at: usize, bytes: &[u8]| line[at..][..bytes.len()].copy_from_slice(bytes);
        let ticks = clocks & ((1 << 40) - 1) | (reads >> 32 & 0xFF) << 48 | (writes >> 32 & 0xFF) << 56;
        put(dsm::TICKS, &ticks.to_le_bytes());
        put(dsm::READS, &(reads as u32).to_le_bytes());
        put(dsm::WRITES, &(writes as u32).to_le_bytes());
        put(dsm::PENALTY_START, &(engine::START as u32).to_le_bytes());
        put(dsm::PENALTY_END, &(engine::END as u32).to_le_bytes());
        let first = 1 | (self.number & 0x7FFF) << 1 | self.error << 32;
        self.number = self.number.wrapping_add(1);
        let written = host.post(base.wrapping_add(8), &line[8..]).and_then(|()| host.store(base, first));
        if written.is_err() {
            self.error |= ERROR_STATUS;
        }
        if cfg.interrupt_test() || cfg.interrupt_on_error() && self.error != 0 {
            host.interrupt(INTERRUPT0::new(self.word(INTERRUPT0::OFFSET) as u32).vector().into());
        }
    }
}

impl Accelerator for HostExerciser {
    fn read(&mut self, at: u64) -> u64 {
        let (reads, writes) =
            self.engine.as_ref().map_or(self.counts, |engine| (engine.reads, engine.writes));
        match at {
            STATUS0::OFFSET => {
                STATUS0::default().with_reads(reads & 0xFFFF_FFFF).with_writes(writes & 0xFFFF_FFFF).bits()
            }
            STATUS1::OFFSET => {
                let pending = self.engine.as_ref().map_or((0, 0), Engine::pending);
                let cfg = self.cfg();
                let status = STATUS1::default();
                let local = self.memory.is_some() && cfg.mode() != 0 && cfg.atomic() & 1 == 0;
                if local {
                    status.with_pending_memory_reads(pending.0).with_pending_memory_writes(pending.1).bits()
                } else {
                    status.with_pending_reads(pending.0).with_pending_writes(pending.1).bits()
                }
            }
            ERROR::OFFSET => self.error,
            INFO0::OFFSET => self.info.bits(),
            _ if (FIRST..INFO0::OFFSET).contains(&at) => self.word(at),
            _ => 0,
        }
    }

    fn write(&mut self, at: u64, value: u64, mask: u64, clock: u64) {
        let writable = match at {
            0x100..=0x117 => u64::MAX,
            // Taken between the end of the reset and the start of a test only.
            SRC_ADDR::OFFSET | DST_ADDR::OFFSET | CFG::OFFSET | INACT_THRESH::OFFSET | INTERRUPT0::OFFSET => {
                let control = CTL::new(self.word(CTL::OFFSET) as u32);
                if control.reset_n() && !control.start() { u64::MAX } else { 0 }
            }
            NUM_LINES::OFFSET => 0xF_FFFF,
            CTL::OFFSET => 0xFFFF_FFFF_0000_FFFF,
            SWTEST_MSG::OFFSET => u64::MAX,
            STRIDE::OFFSET => 0x3F,
            _ => 0,
        };
        if writable == 0 {
            return;
        }
        let old = self.word(at);
        let new = merge(old, value, mask & writable);
        self.words[((at - FIRST) / 8) as usize] = new;
        if at == CTL::OFFSET {
            self.control(CTL::new(old as u32), CTL::new(new as u32), clock);
        }
    }

    fn step(&mut self, host: &mut Host<'_>) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        let bad = self.error & ERROR_CONFIG != 0;
        let (worked, end) =
            if bad { (true, Some(End::Done)) } else { engine.step(host, self.memory.as_mut()) };
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
