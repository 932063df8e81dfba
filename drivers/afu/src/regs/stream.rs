//! The stream accelerator: the kit's own AFU, which works through descriptor rings in the host's memory.
//!
//! It has [`GUID`](crate::guid::STREAM) and up to 16 queues. A queue is a ring of *work descriptors*; the host writes
//! descriptors and rings the doorbell [`TAIL`] once for a batch, the accelerator takes them in order, does the work by
//! DMA, and writes the completion into the descriptor.
//!
//! # Life of a queue
//!
//! 1. The host writes [`BASE`], and [`SIZE`] in work descriptors (a power of two, 32 to 2,048), then [`CONTROL`] with
//!    `enable`. [`STATE`] says `running`, and [`HEAD`] and [`TAIL`] are 0. Base and size must not change while it runs.
//! 2. The host fills descriptors and writes [`TAIL`]: the index after the last one, modulo the size. The ring is empty
//!    when head and tail are equal, so one descriptor always stays free. A tail that is not below the size stops the
//!    queue with [`fault::TAIL`].
//! 3. For each descriptor, in order: the accelerator reads words 0 to 2, reads the source, writes the destination, and
//!    then writes word 3 with [`word3::DONE`] as its last write for that work. [`HEAD`] moves, and an interrupt is sent if
//!    the queue's interrupt is enabled and the descriptor asks for one ([`word1::INTERRUPT`]).
//!    Work that fails (unknown operation, length, unreachable source or destination) completes with its
//!    [`Status`]; the queue goes on with the next.
//! 4. If a descriptor itself cannot be read or completed, the queue stops: [`STATE`] has the `fault` and `running` is 0.
//! 5. The host clears `enable`. The accelerator ends the work it is at and lets go of the ring; `running` reads 0.
//!    [`CTRL`] with `reset` does so for all queues, and clears counters and configuration; it reads 0 when done.
//!    Port reset does the same.
//!
//! # Work descriptor
//!
//! 32 bytes, four little-endian words, aligned to 32:
//!
//! | word | the host writes | the accelerator writes |
//! |---|---|---|
//! | 0 | address of the source | – |
//! | 1 | [length, operation, flags](word1) | – |
//! | 2 | address of the destination; 0 where the operation has none | – |
//! | 3 | 0 | [result, status, done](word3) |
//!
//! Registers are 32 or 64 bits wide and are accessed in one piece. All queues may be used at the same time.

use vfio_hal::poll::Quiesce;

/// Most queues there may be.
pub const MAX_QUEUES: usize = 16;
/// Fewest work descriptors of a queue.
pub const MIN_SIZE: u32 = 32;
/// Most work descriptors of a queue.
pub const MAX_SIZE: u32 = 2048;
/// Bytes of a work descriptor.
pub const DESCRIPTOR_BYTES: u64 = 32;
/// Most bytes of one piece of work: 16 MiB.
pub const MAX_LENGTH: u32 = 16 << 20;

vfio_hal::registers! {
    /// The registers.
    pub block Stream[0x2000];

    /// The header.
    pub DFH @ 0x0000 RO<u64> { id: 11:0, next: 39:16, eol: 40, version: 59:52, kind: 63:60 }
    /// Low half of the GUID.
    pub GUID_L @ 0x0008 RO<u64>;
    /// High half of the GUID.
    pub GUID_H @ 0x0010 RO<u64>;
    /// What the accelerator is.
    pub CAP @ 0x0100 RO<u64> {
        /// 1 for what is described here.
        version: 7:0,
        /// How many queues, 1 to 16.
        queues: 15:8,
        /// log2 of the most work descriptors a queue may have.
        max_size_log2: 23:16,
        /// Bit n is set when operation n is implemented.
        operations: 47:32,
    }
    /// Control of all.
    pub CTRL @ 0x0108 RW {
        /// Resets all queues; reads 0 when done.
        reset: 0,
    }
    /// Holds what is written to it.
    pub SCRATCH @ 0x0110 RW<u64>;
    /// Work completed by all queues since the reset, whatever its status.
    pub WORK_COUNT @ 0x0118 RO<u64>;
    /// Of it, work whose status is not 0.
    pub FAILED_COUNT @ 0x0120 RO<u64>;
    /// Bytes of sources read.
    pub BYTES_COUNT @ 0x0128 RO<u64>;

    /// Where the queue's ring is.
    pub BASE @ 0x1000 + 0x100 * [16] BUS<u64, align 128>;
    /// How many work descriptors it has.
    pub SIZE @ 0x1008 + 0x100 * [16] RW { size: 11:0 }
    /// Control of the queue.
    pub CONTROL @ 0x100c + 0x100 * [16] RW {
        enable: 0,
        /// Sends interrupts.
        interrupt: 1,
        /// Which of the port's user interrupts.
        vector: 31:16,
    }
    /// The next work descriptor that the accelerator takes.
    pub HEAD @ 0x1010 + 0x100 * [16] RO;
    /// The doorbell: the index after the last work descriptor that is filled.
    pub TAIL @ 0x1014 + 0x100 * [16] RW;
    /// State of the queue.
    pub STATE @ 0x1018 + 0x100 * [16] RO {
        /// It may access memory.
        running: 0,
        /// Why it stopped by itself, see [`fault`].
        fault: 7:4,
    }
}

/// A queue that does not run makes no access to its ring and to what is on it.
impl Quiesce for STATE {
    const WHAT: &'static str = "stream queue: stopped";

    fn is_quiet(self) -> bool {
        !self.running()
    }
}

/// Why a queue stopped by itself.
pub mod fault {
    /// It did not.
    pub const NONE: u32 = 0;
    /// A descriptor could not be read.
    pub const READ: u32 = 1;
    /// A completion could not be written.
    pub const WRITE: u32 = 2;
    /// The tail is not below the size.
    pub const TAIL: u32 = 3;
    /// The size is none.
    pub const SIZE: u32 = 4;
}

/// Word 1 of a work descriptor.
pub mod word1 {
    /// Shift of the 32-bit length in bytes, 1 to [`MAX_LENGTH`](super::MAX_LENGTH).
    pub const LENGTH_SHIFT: u32 = 0;
    /// Shift of the 8-bit operation.
    pub const OPERATION_SHIFT: u32 = 32;
    /// Sends an interrupt when the work is done.
    pub const INTERRUPT: u64 = 1 << 40;
}

/// Word 3 of a work descriptor, as written back.
pub mod word3 {
    /// Shift of the 32-bit result.
    pub const RESULT_SHIFT: u32 = 0;
    /// Shift of the 8-bit status.
    pub const STATUS_SHIFT: u32 = 32;
    /// The work is done.
    pub const DONE: u64 = 1 << 63;
}

/// What is done with a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Computes the CRC-32C (RFC 3720, B.4) of the source; the result is the checksum.
    Crc32c = 1,
    /// Copies the source to the destination; the result is the number of bytes.
    Copy = 2,
    /// Copies, and computes the CRC-32C on the way.
    CopyCrc32c = 3,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 3] = [Operation::Crc32c, Operation::Copy, Operation::CopyCrc32c];

    /// Returns the operation of this number.
    pub const fn from_number(number: u8) -> Option<Operation> {
        match number {
            1 => Some(Operation::Crc32c),
            2 => Some(Operation::Copy),
            3 => Some(Operation::CopyCrc32c),
            _ => None,
        }
    }

    /// Returns whether it writes a destination.
    pub const fn has_destination(self) -> bool {
        matches!(self, Operation::Copy | Operation::CopyCrc32c)
    }
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// The accelerator has no such operation.
    Operation = 1,
    /// The length is 0 or above [`MAX_LENGTH`].
    Length = 2,
    /// The source cannot be read.
    Source = 3,
    /// The destination cannot be written.
    Destination = 4,
}

impl Status {
    /// Returns the status of this number, `None` for one that is not defined.
    pub const fn from_number(number: u8) -> Option<Status> {
        match number {
            0 => Some(Status::Ok),
            1 => Some(Status::Operation),
            2 => Some(Status::Length),
            3 => Some(Status::Source),
            4 => Some(Status::Destination),
            _ => None,
        }
    }
}
