//! What the loopback accelerators have in common: requests of some lines that read, write or copy, and their clocks.
//!
//! The clocks are the model's own, so that a test has the same count on every machine. A request takes [`REQUEST`]
//! clocks and [`LINE_CLOCKS`] for each line; reads and writes go side by side, as on a PCIe link. At 400 MHz that is at
//! most 12.8 GB/s each way, as on a card with sixteen third-generation lanes. A test never gets ahead of the clock that it
//! is given, and where the machine is slower than the card, it falls behind.
//!
//! Key types: [`Test`], what is to be done; [`Engine`], how far it is. Neighbours: `nlb` and `he` translate their registers
//! into a test, and its end into their status block; [`atomic`](super::atomic) does the atomic tests.

use super::atomic::{self, Atomic};
use super::memory::Memory;
use super::{Host, HostFault, LINE};

/// Clocks that a request takes beside its data.
const REQUEST: u64 = 1;
/// Clocks of each line.
const LINE_CLOCKS: u64 = 2;
/// Clocks until the first line is there.
pub(super) const START: u64 = 180;
/// Clocks from the last line written to its acknowledgement.
pub(super) const END: u64 = 60;
/// Lines moved in one step.
const STEP_LINES: u64 = 1024;
/// Lines moved at once.
const BATCH_LINES: u64 = 64;
/// What the write streams write (OFS, `mode_rdwr.sv`), after a word that counts the lines of a request.
const PATTERN: u32 = 0xFEED_F00D;

/// What a test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reads and writes what was read.
    Loopback,
    /// Reads only.
    Read,
    /// Writes only.
    Write,
    /// Reads and writes, one independent of the other.
    Throughput,
}

impl Mode {
    fn reads(self) -> bool {
        self != Mode::Write
    }
    fn writes(self) -> bool {
        self != Mode::Read
    }
}

/// A test. All lengths are in lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub(super) mode: Mode,
    /// Requests of each stream before it starts over or ends.
    pub(super) requests: u64,
    /// Lines of a request.
    pub(super) burst: u64,
    /// From one request to the next, in requests.
    pub(super) stride: u64,
    /// Addresses in bytes.
    pub(super) source: u64,
    pub(super) destination: u64,
    pub(super) continuous: bool,
    /// Random delays between requests.
    pub(super) delay: bool,
    /// How many reads, and writes, before the stream changes direction.
    pub(super) interleave: u64,
    /// More clocks for each request.
    pub(super) overhead: u64,
    /// Reads and writes go to the card's memory instead of the host's.
    pub(super) local: bool,
    pub(super) atomic: Option<Atomic>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// The host's memory was not there: for reading, or for writing.
    ReadFault,
    WriteFault,
}

/// A test under way.
pub(super) struct Engine {
    test: Test,
    started: u64,
    /// Requests done in this pass, and lines done of all passes.
    position: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// Clocks used.
    pub(super) clocks: u64,
    stop: bool,
    /// How it ends once the clock is there.
    end: Option<End>,
    random: u64,
    buffer: Vec<u8>,
}

impl Engine {
    pub(super) fn new(test: Test, clock: u64) -> Engine {
        Engine {
            test,
            started: clock,
            position: 0,
            reads: 0,
            writes: 0,
            clocks: START,
            stop: false,
            end: None,
            // Every test has the same delays.
            random: 0x9E37_79B9_7F4A_7C15,
            buffer: Vec::new(),
        }
    }

    /// Ends the test after the requests that are under way.
    pub(super) fn stop(&mut self) {
        self.stop = true;
    }

    /// The clock count at which it can go on.
    pub(super) fn due(&self) -> u64 {
        self.started.saturating_add(self.clocks)
    }

    /// Requests on their way, as a status register would show them: (reads, writes).
    pub(super) fn pending(&self) -> (u64, u64) {
        let left = if self.end.is_some() { 0 } else { 16 };
        (if self.test.mode.reads() { left } else { 0 }, if self.test.mode.writes() { left.max(1) } else { 0 })
    }

    /// Works as far as the clock allows. Returns whether anything was done, and the end once it is reached.
    pub(super) fn step(&mut self, host: &mut Host<'_>, local: Option<&mut Memory>) -> (bool, Option<End>) {
        if host.faults.stalled {
            return (false, None);
        }
        let mut local = local;
        let mut budget = STEP_LINES;
        let mut worked = false;
        while self.end.is_none() && budget > 0 && self.due() <= host.clock {
            if self.stop || (!self.test.continuous && self.position >= self.test.requests) {
                self.finish(End::Done);
                break;
            }
            if self.position >= self.test.requests {
                self.position = 0;
                if self.test.requests == 0 {
                    // A continuous test of nothing waits to be stopped.
                    self.clocks = host.clock.saturating_sub(self.started) + START;
                    break;
                }
            }
            worked = true;
            let batch = self.batch();
            match self.requests(host, local.as_deref_mut(), batch) {
                Ok(()) => self.position += batch,
                Err(end) => self.finish(end),
            }
            budget = budget.saturating_sub(batch.saturating_mul(self.test.burst));
        }
        if let Some(end) = self.end
            && self.due() <= host.clock
        {
            return (true, Some(end));
        }
        (worked, None)
    }

    fn finish(&mut self, end: End) {
        self.clocks += END;
        self.end = Some(end);
    }

    /// How many requests to do at once: what is contiguous needs no call for each.
    fn batch(&self) -> u64 {
        if self.test.stride > 1 || self.test.atomic.is_some() {
            return 1;
        }
        let left = self.test.requests - self.position;
        left.min((BATCH_LINES / self.test.burst).max(1))
    }

    fn requests(&mut self, host: &mut Host<'_>, local: Option<&mut Memory>, count: u64) -> Result<(), End> {
        let Test { mode, burst, stride, source, destination, .. } = self.test;
        let offset = self.position.saturating_mul(burst).saturating_mul(stride.max(1)).saturating_mul(LINE);
        let (from, to) = (source.wrapping_add(offset), destination.wrapping_add(offset));
        let line = self.position * burst;
        if let Some(atomic) = self.test.atomic {
            let continuous = self.test.continuous;
            let writes = if continuous { 1 } else { 2 };
            if mode == Mode::Throughput {
                // Plain reads beside the atomic ones; their data go nowhere.
                self.buffer.resize((burst * LINE) as usize, 0);
                host.read(from, &mut self.buffer).map_err(read_fault)?;
                self.reads += burst;
            }
            atomic::run(host, atomic, from, (!continuous).then_some(to), self.position)?;
            self.reads += 1;
            self.writes += writes;
            self.spend(1);
            return Ok(());
        }
        let lines = count * burst;
        let mut data = std::mem::take(&mut self.buffer);
        data.resize((lines * LINE) as usize, 0);
        let moved = match (self.test.local, local) {
            (true, Some(memory)) => {
                move_local(mode, memory, host, from, to, &mut data, burst);
                Ok(())
            }
            (_, memory) => move_host(mode, memory, host, [from, to, offset], line, &mut data, burst),
        };
        self.buffer = data;
        moved?;
        self.reads += if mode.reads() { lines } else { 0 };
        self.writes += if mode.writes() { lines } else { 0 };
        self.spend(count);
        Ok(())
    }

    /// Counts the clocks of some requests.
    fn spend(&mut self, requests: u64) {
        let Test { mode, burst, delay, interleave, overhead, atomic, .. } = self.test;
        let lines = if atomic.is_some() { 2 } else { burst };
        self.clocks += requests * (REQUEST + overhead + lines * LINE_CLOCKS);
        if mode == Mode::Throughput {
            // A change of direction costs two clocks; halves add up over the requests of a batch.
            self.clocks += (2 * requests).div_ceil(interleave.max(1));
        }
        if delay {
            for _ in 0..requests {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                self.clocks += self.random & 0xF;
            }
        }
    }
}

fn read_fault(_: HostFault) -> End {
    End::ReadFault
}

fn write_fault(_: HostFault) -> End {
    End::WriteFault
}

/// Fills lines with what the write streams write.
fn fill(data: &mut [u8], burst: u64) {
    for (number, line) in data.chunks_mut(LINE as usize).enumerate() {
        line.fill(0);
        for (place, word) in line.chunks_mut(4).enumerate().take(5) {
            let value = if place == 0 { (number as u64 % burst) as u32 } else { PATTERN };
            word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
        }
    }
}

/// Requests to the host's memory. With memory of the card's own, what is copied takes its way through that.
fn move_host(
    mode: Mode,
    memory: Option<&mut Memory>,
    host: &mut Host<'_>,
    [from, to, offset]: [u64; 3],
    line: u64,
    data: &mut [u8],
    burst: u64,
) -> Result<(), End> {
    if mode.reads() {
        host.read(from, data).map_err(read_fault)?;
    }
    match mode {
        Mode::Read => return Ok(()),
        Mode::Loopback => {
            if let Some(memory) = memory {
                memory.write(offset, data);
                memory.read(offset, data);
            }
        }
        Mode::Write | Mode::Throughput => fill(data, burst),
    }
    host.write(to, data, line).map_err(write_fault)
}

/// Requests to the card's memory.
fn move_local(
    mode: Mode,
    memory: &mut Memory,
    host: &Host<'_>,
    from: u64,
    to: u64,
    data: &mut [u8],
    burst: u64,
) {
    let _ = host;
    if mode.reads() {
        memory.read(from, data);
    }
    if mode.writes() {
        fill(data, burst);
        memory.write(to, data);
    }
}
