//! One queue of the stream accelerator.
//!
//! Key types: [`Queue`], [`Progress`]. Neighbours: [`stream`](super) gives queues their turn.

use pmd_afu::regs::stream::*;
use vfio_hal::regs::Register;

use crate::afu::{Host, HostFault, LINE};
use crate::words::{bits, merge};

/// Bytes moved at once.
const CHUNK: u64 = 16 << 10;

/// What a queue did with its turn.
pub(super) enum Progress {
    /// A part of its work.
    Moved { bytes: u64 },
    /// A piece of work is complete.
    Completed { status: Status },
    /// It stopped.
    Stopped,
}

/// A piece of work under way.
#[derive(Clone, Copy)]
struct Work {
    source: u64,
    destination: u64,
    length: u64,
    operation: Operation,
    interrupt: bool,
    /// Bytes done.
    done: u64,
    checksum: u32,
}

#[derive(Default)]
pub(super) struct Queue {
    base: u64,
    size: u32,
    control: CONTROL,
    head: u32,
    tail: u32,
    running: bool,
    fault: u32,
    work: Option<Work>,
}

impl Queue {
    /// Whether it has something to do.
    pub(super) fn wants(&self) -> bool {
        self.running && (self.work.is_some() || self.control.enable() && self.head != self.tail)
    }

    /// Reads the word at the offset of queue 0.
    pub(super) fn read(&self, at: u64) -> u64 {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        match at {
            BASE::OFFSET => self.base,
            SIZE::OFFSET => pair(self.size, self.control.bits()),
            HEAD::OFFSET => pair(self.head, self.tail),
            STATE::OFFSET => STATE::default().with_running(self.running).with_fault(self.fault).bits().into(),
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, at: u64, value: u64, mask: u64) {
        match at {
            BASE::OFFSET if !self.running => {
                self.base = merge(self.base, value, mask) & !(BASE::INFO.align - 1)
            }
            SIZE::OFFSET => {
                if mask & 0xFFFF_FFFF != 0 && !self.running {
                    self.size = merge(self.size.into(), value, mask) as u32 & 0xFFF;
                }
                if mask >> 32 != 0 {
                    let new = merge(u64::from(self.control.bits()) << 32, value, mask) >> 32;
                    self.set_control(CONTROL::new(new as u32));
                }
            }
            HEAD::OFFSET if mask >> 32 != 0 => {
                let tail = (merge(u64::from(self.tail) << 32, value, mask) >> 32) as u32;
                if self.running && tail >= self.size {
                    return self.stop(fault::TAIL);
                }
                self.tail = tail;
            }
            _ => {}
        }
    }

    fn set_control(&mut self, control: CONTROL) {
        let (was, is) = (self.control.enable(), control.enable());
        self.control = CONTROL::default()
            .with_enable(is)
            .with_interrupt(control.interrupt())
            .with_vector(control.vector());
        if is && !was {
            (self.head, self.tail, self.fault, self.work) = (0, 0, fault::NONE, None);
            self.running = true;
            if !self.size.is_power_of_two() || !(MIN_SIZE..=MAX_SIZE).contains(&self.size) {
                self.stop(fault::SIZE);
            }
        } else if was && !is && self.work.is_none() {
            self.running = false;
        }
    }

    fn stop(&mut self, fault: u32) {
        (self.running, self.fault, self.work) = (false, fault, None);
    }

    /// Does a bounded part of what it has to do.
    pub(super) fn advance(&mut self, host: &mut Host<'_>, buffer: &mut Vec<u8>) -> Progress {
        let Some(work) = self.work else { return self.fetch(host) };
        if work.done < work.length {
            return match Queue::transfer(work, host, buffer) {
                Ok(work) => {
                    let bytes = work.done - self.work.map_or(0, |before| before.done);
                    self.work = Some(work);
                    Progress::Moved { bytes }
                }
                Err(status) => self.complete(host, 0, status, work.interrupt),
            };
        }
        let result = match work.operation {
            Operation::Crc32c | Operation::CopyCrc32c => work.checksum,
            Operation::Copy => work.length as u32,
        };
        self.complete(host, result, Status::Ok, work.interrupt)
    }

    fn descriptor(&self) -> u64 {
        self.base.wrapping_add(u64::from(self.head) * DESCRIPTOR_BYTES)
    }

    fn fetch(&mut self, host: &mut Host<'_>) -> Progress {
        let mut bytes = [0; 24];
        if host.read(self.descriptor(), &mut bytes).is_err() {
            self.stop(fault::READ);
            return Progress::Stopped;
        }
        let word = |n: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[8 * n + byte]));
        let (source, what, destination) = (word(0), word(1), word(2));
        let length = bits(what, word1::LENGTH_SHIFT + 31, word1::LENGTH_SHIFT);
        let number = bits(what, word1::OPERATION_SHIFT + 7, word1::OPERATION_SHIFT) as u8;
        let interrupt = what & word1::INTERRUPT != 0;
        let Some(operation) = Operation::from_number(number) else {
            return self.complete(host, 0, Status::Operation, interrupt);
        };
        if length == 0 || length > MAX_LENGTH.into() {
            return self.complete(host, 0, Status::Length, interrupt);
        }
        self.work = Some(Work { source, destination, length, operation, interrupt, done: 0, checksum: 0 });
        Progress::Moved { bytes: 0 }
    }

    fn transfer(mut work: Work, host: &mut Host<'_>, buffer: &mut Vec<u8>) -> Result<Work, Status> {
        let len = (work.length - work.done).min(CHUNK);
        buffer.resize(len as usize, 0);
        let source = |_: HostFault| Status::Source;
        host.read(work.source.wrapping_add(work.done), buffer).map_err(source)?;
        if work.operation != Operation::Copy {
            work.checksum = crc32c::crc32c_append(work.checksum, buffer);
        }
        if work.operation.has_destination() {
            let to = work.destination.wrapping_add(work.done);
            host.write(to, buffer, work.done / LINE).map_err(|_| Status::Destination)?;
        }
        work.done += len;
        Ok(work)
    }

    /// Writes the completion and goes on to the next.
    fn complete(&mut self, host: &mut Host<'_>, result: u32, status: Status, interrupt: bool) -> Progress {
        self.work = None;
        let word =
            u64::from(result) << word3::RESULT_SHIFT | (status as u64) << word3::STATUS_SHIFT | word3::DONE;
        if host.store(self.descriptor().wrapping_add(24), word).is_err() {
            self.stop(fault::WRITE);
            return Progress::Stopped;
        }
        self.head = (self.head + 1) & (self.size - 1);
        if interrupt && self.control.interrupt() {
            host.interrupt(self.control.vector().into());
        }
        if !self.control.enable() {
            self.running = false;
        }
        Progress::Completed { status }
    }
}
