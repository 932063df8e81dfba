//! The stream accelerator: work from descriptor rings, as [`pmd_afu::regs::stream`] specifies it.
//!
//! Key types: [`Stream`]. Neighbours: [`Host`] is its way to the rings and buffers.

mod queue;

use pmd_afu::regs::stream::*;
use vfio_hal::regs::Register;

use super::{Accelerator, Host};
use crate::words::merge;
use queue::{Progress, Queue};

/// The version that is described.
const VERSION: u64 = 1;
/// Clocks of a piece of work beside its data.
const WORK: u64 = 24;
/// Bytes that pass in a clock.
const BYTES_A_CLOCK: u64 = 32;
/// Bytes and pieces of work handled in a step.
const STEP_BYTES: u64 = 256 << 10;
const STEP_WORK: u32 = 256;

/// What all queues did since the reset.
#[derive(Default)]
struct Counts {
    work: u64,
    failed: u64,
    bytes: u64,
}

pub(super) struct Stream {
    queues: Vec<Queue>,
    counts: Counts,
    scratch: u64,
    /// The queue whose turn it is.
    turn: usize,
    /// The clock until which the pipeline is full.
    busy_until: u64,
    buffer: Vec<u8>,
}

impl Stream {
    pub(super) fn new() -> Stream {
        Stream {
            queues: (0..MAX_QUEUES).map(|_| Queue::default()).collect(),
            counts: Counts::default(),
            scratch: 0,
            turn: 0,
            busy_until: 0,
            buffer: Vec::new(),
        }
    }

    /// The queue and the register's offset within queue 0.
    fn queue_at(at: u64) -> Option<(usize, u64)> {
        let within = at.checked_sub(BASE::OFFSET)?;
        let queue = usize::try_from(within / BASE::STRIDE).ok().filter(|&queue| queue < MAX_QUEUES)?;
        Some((queue, BASE::OFFSET + within % BASE::STRIDE))
    }

    fn capability() -> u64 {
        let operations = Operation::ALL.iter().fold(0, |bits, &operation| bits | 1 << operation as u64);
        CAP::default()
            .with_version(VERSION)
            .with_queues(MAX_QUEUES as u64)
            .with_max_size_log2(MAX_SIZE.ilog2().into())
            .with_operations(operations)
            .bits()
    }
}

impl Accelerator for Stream {
    fn read(&mut self, at: u64) -> u64 {
        match at {
            CAP::OFFSET => Stream::capability(),
            SCRATCH::OFFSET => self.scratch,
            WORK_COUNT::OFFSET => self.counts.work,
            FAILED_COUNT::OFFSET => self.counts.failed,
            BYTES_COUNT::OFFSET => self.counts.bytes,
            _ => Stream::queue_at(at).map_or(0, |(queue, at)| self.queues[queue].read(at)),
        }
    }

    fn write(&mut self, at: u64, value: u64, mask: u64, clock: u64) {
        match at {
            CTRL::OFFSET => {
                if CTRL::new((value & mask) as u32).reset() {
                    let scratch = self.scratch;
                    *self = Stream { scratch, ..Stream::new() };
                }
            }
            SCRATCH::OFFSET => self.scratch = merge(self.scratch, value, mask),
            _ => {
                if let Some((queue, at)) = Stream::queue_at(at) {
                    let idle = !self.queues.iter().any(Queue::wants);
                    self.queues[queue].write(at, value, mask);
                    if idle {
                        self.busy_until = self.busy_until.max(clock);
                    }
                }
            }
        }
    }

    fn step(&mut self, host: &mut Host<'_>) -> bool {
        if host.faults.stalled {
            return false;
        }
        let (mut bytes, mut work, mut worked) = (STEP_BYTES, STEP_WORK, false);
        while self.busy_until <= host.clock && bytes > 0 && work > 0 {
            let order = (0..MAX_QUEUES).map(|n| (self.turn + n) % MAX_QUEUES);
            let Some(number) = order.clone().find(|&queue| self.queues[queue].wants()) else { break };
            worked = true;
            match self.queues[number].advance(host, &mut self.buffer) {
                Progress::Moved { bytes: moved } => {
                    self.counts.bytes += moved;
                    self.busy_until += moved.div_ceil(BYTES_A_CLOCK);
                    bytes = bytes.saturating_sub(moved);
                    // A piece of work is done before another queue's.
                    self.turn = number;
                }
                Progress::Completed { status } => {
                    self.counts.work += 1;
                    self.counts.failed += u64::from(status != Status::Ok);
                    self.busy_until += WORK;
                    work -= 1;
                    self.turn = (number + 1) % MAX_QUEUES;
                }
                Progress::Stopped => self.turn = (number + 1) % MAX_QUEUES,
            }
        }
        worked
    }

    fn due(&self) -> Option<u64> {
        self.queues.iter().any(Queue::wants).then_some(self.busy_until)
    }
}
