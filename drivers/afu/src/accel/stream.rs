//! The stream accelerator: work from descriptor rings, as [`regs::stream`](crate::regs::stream) specifies it.
//!
//! - [`Stream`] is the accelerator: what it can do, and its counters. It gives out queues.
//! - [`Queue`] is one of them, a value that one thread owns: [`submit`](Queue::submit) gives a burst of work with one
//!   doorbell, [`complete`](Queue::complete) takes what is done. It is the kit's [`WorkRing`] with the format of this
//!   accelerator ([`Format`]); the loop over descriptors, ownership and ordering are there.
//! - [`outcome`] reads a completion: the result, or why the work failed.

use core::fmt;
use core::time::Duration;

use alloc::vec::Vec;

use vfio_hal::dma::pool::{Burst, Pool};
use vfio_hal::dma::{DmaAccess, Quiesced, RegionOptions};
use vfio_hal::poll::{self, Poll};
use vfio_hal::regs::Register;
use vfio_hal::ring::{Completed, RingMemory, Work, WorkError, WorkFormat, WorkRing, WorkStats};

use super::{Accelerator, Memory, check};
use crate::guid::{self, Uuid};
use crate::regs::stream::{
    self as regs, BASE, BYTES_COUNT, CAP, CONTROL, CTRL, FAILED_COUNT, MAX_LENGTH, MAX_SIZE, MIN_SIZE,
    Operation, SIZE, STATE, Status, TAIL, WORK_COUNT, fault, word1, word3,
};
use crate::{Afu, AfuError, Registers};

/// How long a reset may take, and a queue to stop or start.
const LIMIT: Duration = Duration::from_millis(100);
/// The version that this driver is for.
const VERSION: u64 = 1;

/// The work descriptors of the stream accelerator.
#[derive(Clone, Copy, Debug)]
pub enum Format {}

/// What is done with a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// The operation.
    pub operation: Operation,
    /// Interrupts when it is done, if the queue has an interrupt.
    pub interrupt: bool,
}

impl From<Operation> for Command {
    fn from(operation: Operation) -> Command {
        Command { operation, interrupt: false }
    }
}

impl WorkFormat for Format {
    type Command = Command;
    const DONE: u64 = word3::DONE;
    const MAX_LENGTH: u32 = MAX_LENGTH;

    fn command(command: Command, length: u32) -> u64 {
        u64::from(length) << word1::LENGTH_SHIFT
            | (command.operation as u64) << word1::OPERATION_SHIFT
            | if command.interrupt { word1::INTERRUPT } else { 0 }
    }

    fn writes(command: Command, length: u32) -> u32 {
        if command.operation.has_destination() { length } else { 0 }
    }
}

/// Why a piece of work failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkFailed {
    /// The accelerator says why.
    #[error("the accelerator could not do it: {0:?}")]
    Status(Status),
    /// It says something that is not defined.
    #[error(
        "the accelerator gave the status {0}, which is not defined: not the accelerator this driver is for?"
    )]
    Unknown(u8),
}

/// Returns what a completion says: the operation's result, or why it failed.
pub fn outcome(completed: &Completed<Command>) -> Result<u32, WorkFailed> {
    // Eight bits, and thirty-two.
    let status = (completed.word >> word3::STATUS_SHIFT) as u8;
    match Status::from_number(status) {
        Some(Status::Ok) => Ok((completed.word >> word3::RESULT_SHIFT) as u32),
        Some(status) => Err(WorkFailed::Status(status)),
        None => Err(WorkFailed::Unknown(status)),
    }
}

/// What the accelerator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// How many queues it has.
    pub queues: u8,
    /// The most work descriptors of a queue.
    pub max_size: u32,
    /// Bit n is set when operation n is implemented.
    pub operations: u16,
}

/// What all queues did since the accelerator was reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Work completed.
    pub work: u64,
    /// Of it, work that failed.
    pub failed: u64,
    /// Bytes of sources read.
    pub bytes: u64,
}

/// The stream accelerator.
#[derive(Debug)]
pub struct Stream {
    regs: Registers<regs::Stream>,
    info: Info,
    memory: Memory,
    /// Queues that were given out and did not come back.
    taken: u16,
    afu: Afu,
}

/// A queue of work. Stop it with [`Stream::stop_queue`]; dropped otherwise, it leaks what is on it.
pub struct Queue {
    ring: WorkRing<Format>,
    number: u8,
}

impl Accelerator for Stream {
    const GUIDS: &'static [Uuid] = &[guid::STREAM];

    /// Takes over the accelerator and resets its queues.
    fn attach(afu: Afu, memory: &Memory) -> Result<Stream, AfuError> {
        check(&afu, Self::GUIDS)?;
        let mut regs = afu.registers::<regs::Stream>(Some(&memory.space))?;
        let cap = regs.enter()?.read::<CAP>();
        regs.lost().check()?;
        if cap.version() != VERSION {
            let reason = "this driver is for version 1: use the driver that came with the accelerator";
            return Err(AfuError::Parameter {
                what: "the accelerator's version",
                value: cap.version(),
                reason,
            });
        }
        let info = Info {
            queues: (cap.queues() as u8).min(regs::MAX_QUEUES as u8),
            max_size: 1u32.checked_shl(cap.max_size_log2() as u32).unwrap_or(0).min(MAX_SIZE),
            operations: cap.operations() as u16,
        };
        let mut stream = Stream { regs, info, memory: memory.clone(), taken: 0, afu };
        stream.reset_queues()?;
        Ok(stream)
    }

    fn afu(&self) -> &Afu {
        &self.afu
    }

    fn detach(self) -> Afu {
        self.afu
    }
}

impl Stream {
    /// Returns what it is.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Returns whether it does this operation.
    pub fn does(&self, operation: Operation) -> bool {
        self.info.operations >> (operation as u8) & 1 != 0
    }

    /// Returns what all queues did.
    pub fn counters(&mut self) -> Result<Counters, AfuError> {
        let entered = self.regs.enter()?;
        let counters = Counters {
            work: entered.read::<WORK_COUNT>().bits(),
            failed: entered.read::<FAILED_COUNT>().bits(),
            bytes: entered.read::<BYTES_COUNT>().bits(),
        };
        drop(entered);
        self.regs.lost().check()?;
        Ok(counters)
    }

    fn reset_queues(&mut self) -> Result<(), AfuError> {
        let clock = self.afu.card().clock().clone();
        let entered = self.regs.enter()?;
        entered.write(CTRL::default().with_reset(true));
        Poll::new(&*clock, "stream accelerator: reset", LIMIT)
            .register(entered.single(), |ctrl: CTRL| !ctrl.reset())?;
        Ok(())
    }

    /// Starts a queue of `size` work descriptors (a power of two, 32 to 2,048), whose buffers come from pools of the space of
    /// `pool`. With `interrupt`, that user interrupt tells of work that asks for it.
    pub fn start_queue(&mut self, size: u32, pool: &Pool, interrupt: Option<u16>) -> Result<Queue, AfuError> {
        if !size.is_power_of_two() || size < MIN_SIZE || size > self.info.max_size {
            let reason = "a queue has a power of two from 32 to what the accelerator takes";
            return Err(AfuError::Parameter { what: "the queue's size", value: size.into(), reason });
        }
        let free = (0..self.info.queues).find(|&queue| self.taken >> queue & 1 == 0);
        let number = free.ok_or(AfuError::Missing { what: "queue that is free: stop one first" })?;
        let descriptors = 2 * size;
        let memory = self.memory.source.memory(RingMemory::bytes([descriptors]))?;
        let region = RegionOptions::new(DmaAccess::ReadWrite).align(128).name("stream ring");
        let region = region.alloc(&self.memory.space, memory)?;
        let ring = RingMemory::new(region).ring(descriptors)?;

        let clock = self.afu.card().clock().clone();
        let entered = self.regs.enter()?;
        let index = usize::from(number);
        let (tail, lost) = (entered.doorbell::<TAIL>(index)?, entered.lost().clone());
        let mut ring = WorkRing::new(ring, tail, lost, pool)?;
        entered.write_bus::<BASE>(index, ring.bus().0)?;
        entered.at::<SIZE>(index)?.write(SIZE::default().with_size(size));
        let control = CONTROL::default().with_enable(true).with_interrupt(interrupt.is_some());
        entered.at::<CONTROL>(index)?.write(control.with_vector(interrupt.unwrap_or(0).into()));
        // From here on the device may know the ring.
        ring.start();
        let running = Poll::new(&*clock, "stream queue: started", LIMIT)
            .register(entered.at::<STATE>(index)?, STATE::running);
        if let Err(error) = running {
            entered.at::<CONTROL>(index)?.write(CONTROL::default());
            return Err(error.into());
        }
        self.taken |= 1 << number;
        Ok(Queue { ring, number })
    }

    /// Stops a queue, and returns the work that was not taken back, done or not. If the queue does not stop, the port is
    /// reset, after which it has.
    pub fn stop_queue(&mut self, mut queue: Queue) -> Result<Vec<Work<Command>>, AfuError> {
        let index = usize::from(queue.number);
        let clock = self.afu.card().clock().clone();
        let entered = self.regs.enter()?;
        entered.at::<CONTROL>(index)?.write(CONTROL::default());
        let stopped = poll::quiesced(&*clock, LIMIT, entered.at::<STATE>(index)?);
        drop(entered);
        let stopped: Quiesced = match stopped {
            Ok(stopped) => stopped,
            Err(_) if !self.regs.lost().is_lost() => self.afu.reset()?,
            Err(error) => return Err(error.into()),
        };
        self.taken &= !(1 << queue.number);
        Ok(queue.ring.release(&stopped)?)
    }

    /// Returns why a queue stopped by itself; `None` for one that did not.
    pub fn fault(&mut self, queue: &Queue) -> Result<Option<&'static str>, AfuError> {
        let state = self.regs.enter()?.at::<STATE>(usize::from(queue.number))?.read();
        self.regs.lost().check()?;
        Ok(match state.fault() {
            fault::NONE => None,
            fault::READ => Some("a descriptor could not be read"),
            fault::WRITE => Some("a completion could not be written"),
            fault::TAIL => Some("the tail was beyond the ring"),
            fault::SIZE => Some("the ring's size was none"),
            _ => Some("a reason that is not defined"),
        })
    }
}

impl Queue {
    /// Returns its number.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Returns how much work may be given now.
    pub fn free(&self) -> u32 {
        self.ring.free()
    }

    /// Returns how much work the accelerator has.
    pub fn in_flight(&self) -> u32 {
        self.ring.in_flight()
    }

    /// Returns the counters, to be read by anyone.
    pub fn stats(&self) -> alloc::sync::Arc<WorkStats> {
        self.ring.stats()
    }

    /// Gives work from the front of `burst`, with one doorbell; returns how much. What did not fit stays. See
    /// [`WorkRing::submit`].
    pub fn submit(&mut self, burst: &mut Burst<Work<Command>>) -> Result<usize, WorkError> {
        self.ring.submit(burst)
    }

    /// Takes what is done, in order, as much as `done` has room for; returns how much.
    pub fn complete(&mut self, done: &mut Burst<Completed<Command>>) -> Result<usize, WorkError> {
        self.ring.complete(done)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("number", &self.number).field("ring", &self.ring).finish()
    }
}

const _: () = assert!(BASE::COUNT == regs::MAX_QUEUES);
