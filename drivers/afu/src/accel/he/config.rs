//! What an exerciser can do, and what it is told to.

use core::time::Duration;

use crate::AfuError;
use crate::accel::loopback::Mode;
use crate::regs::he::{CFG, INFO0};

/// The most lines of one test: what the register holds.
pub const MAX_LINES: u32 = 1 << 20;
/// The largest stride.
const MAX_STRIDE: u32 = 63;

/// What an exerciser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// It has memory of its own (HE-MEM).
    pub memory: bool,
    /// Version of its registers.
    pub api: u8,
    /// Its clock in MHz, where it tells.
    pub mhz: Option<u32>,
    /// Bytes of a line: the width of the host's bus.
    pub bus_bytes: u32,
    /// Width of the memory's bus in bytes, of HE-MEM.
    pub local_bus_bytes: Option<u32>,
    /// It does atomic operations.
    pub atomics: bool,
    /// The most lines of one request.
    pub max_length: u32,
}

impl Info {
    pub(super) fn of(info: INFO0, memory: bool) -> Info {
        // Eight bits.
        let api = info.api() as u8;
        Info {
            memory,
            api,
            mhz: Some(info.mhz() as u32).filter(|&mhz| mhz != 0),
            bus_bytes: if api >= 3 { 32 << info.bus() } else { 64 },
            local_bus_bytes: memory.then(|| {
                if api >= 4 {
                    4u32.checked_shl(info.local_bus() as u32).filter(|&bytes| bytes != 0).unwrap_or(64)
                } else {
                    64
                }
            }),
            atomics: api != 0 && !info.no_atomics(),
            max_length: if api >= 2 { 16 } else { 8 },
        }
    }
}

/// What an atomic operation does with the word at the start of a line. The operand of line n is n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOperation {
    /// Adds the operand.
    FetchAdd,
    /// Stores the operand.
    Swap,
    /// Stores the operand's complement where the word equals the operand.
    CompareSwap,
}

/// An atomic operation of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Atomic {
    /// What it does.
    pub operation: AtomicOperation,
    /// On 8 bytes; otherwise on 4.
    pub wide: bool,
}

impl Atomic {
    /// Every operation in every width, with the names that `host_exerciser` has for them.
    pub const ALL: [(&'static str, Atomic); 6] = {
        const fn atomic(operation: AtomicOperation, wide: bool) -> Atomic {
            Atomic { operation, wide }
        }
        [
            ("fadd_4", atomic(AtomicOperation::FetchAdd, false)),
            ("fadd_8", atomic(AtomicOperation::FetchAdd, true)),
            ("swap_4", atomic(AtomicOperation::Swap, false)),
            ("swap_8", atomic(AtomicOperation::Swap, true)),
            ("cas_4", atomic(AtomicOperation::CompareSwap, false)),
            ("cas_8", atomic(AtomicOperation::CompareSwap, true)),
        ]
    };

    fn bits(self) -> u64 {
        let operation = match self.operation {
            AtomicOperation::FetchAdd => 0,
            AtomicOperation::Swap => 1,
            AtomicOperation::CompareSwap => 2,
        };
        1 | u64::from(self.wide) << 1 | operation << 2
    }

    /// Returns what the 8 bytes at the start of line `line` are after the operation.
    pub fn applied(self, old: u64, line: u64) -> u64 {
        let mask = if self.wide { u64::MAX } else { 0xffff_ffff };
        let new = match self.operation {
            AtomicOperation::FetchAdd => old.wrapping_add(line),
            AtomicOperation::Swap => line,
            AtomicOperation::CompareSwap if old & mask == line & mask => !line,
            AtomicOperation::CompareSwap => old,
        };
        old & !mask | new & mask
    }
}

/// How requests are encoded on the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As the exerciser was built.
    #[default]
    Default,
    /// As a data mover does.
    DataMover,
    /// As PCIe has it (power user).
    PowerUser,
    /// Both, mixed.
    Random,
}

impl Encoding {
    /// Every encoding, with the names that `host_exerciser` has for them.
    pub const ALL: [(&'static str, Encoding); 4] = [
        ("default", Encoding::Default),
        ("dm", Encoding::DataMover),
        ("pu", Encoding::PowerUser),
        ("random", Encoding::Random),
    ];
}

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is done.
    pub mode: Mode,
    /// How many lines of the bus's width, 1 to 2^20. In throughput mode reads and writes share them.
    pub lines: u32,
    /// Lines a request: 1, 2, 4, 8 or 16.
    pub length: u32,
    /// From one request to the next, in requests, 1 to 63.
    pub stride: u32,
    /// Starts over at the end, until it is stopped.
    pub continuous: bool,
    /// Random delays between requests.
    pub delay: bool,
    /// An atomic operation on each line, which then is copied.
    pub atomic: Option<Atomic>,
    /// How requests are encoded.
    pub encoding: Encoding,
    /// In throughput mode: 0 one read, one write; 1 two and two; 2 four and four.
    pub interleave: u8,
    /// The user interrupt that tells the end.
    pub interrupt: Option<u16>,
    /// Interrupts when an error ends the test, too.
    pub interrupt_on_error: bool,
    /// Clocks without progress after which the exerciser gives up; `None` for its default.
    pub inactivity: Option<u32>,
    /// How long a test may take that is not continuous.
    pub timeout: Duration,
}

impl Default for Config {
    /// A loopback of 1,024 lines.
    fn default() -> Config {
        Config {
            mode: Mode::Loopback,
            lines: 1024,
            length: 1,
            stride: 1,
            continuous: false,
            delay: false,
            atomic: None,
            encoding: Encoding::Default,
            interleave: 0,
            interrupt: None,
            interrupt_on_error: false,
            inactivity: None,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks that the exerciser can do it; returns the bytes of each buffer that the test uses.
    pub fn check(&self, info: &Info) -> Result<u64, AfuError> {
        let refuse =
            |what, value: u32, reason| Err(AfuError::Parameter { what, value: value.into(), reason });
        if !self.length.is_power_of_two() || self.length > info.max_length {
            return refuse(
                "lines per request",
                self.length,
                "this exerciser takes 1, 2, 4, 8 and from version 2 on 16",
            );
        }
        if self.lines == 0 || self.lines > MAX_LINES || !self.lines.is_multiple_of(self.length) {
            return refuse("lines", self.lines, "it must be whole requests, from one to 2^20 lines");
        }
        if self.mode == Mode::Throughput
            && !self.lines.is_multiple_of(2 * self.length)
            && self.atomic.is_none()
        {
            return refuse("lines", self.lines, "reads and writes share them, in whole requests");
        }
        if !(1..=MAX_STRIDE).contains(&self.stride) {
            return refuse("the stride", self.stride, "it is 1 to 63 requests");
        }
        if self.interleave > 2 {
            return refuse("the interleave pattern", self.interleave.into(), "there are 0, 1 and 2");
        }
        if self.atomic.is_some() && !info.atomics {
            return refuse("atomic operations", 1, "this exerciser or platform has none");
        }
        if self.atomic.is_some() && self.mode == Mode::Loopback && self.length != 1 {
            return refuse("lines per request", self.length, "atomic operations in loopback take one");
        }
        if self.encoding != Encoding::Default && info.api == 0 {
            return refuse("the encoding", self.encoding as u32, "version 0 of the exerciser has one only");
        }
        if self.continuous && self.interrupt.is_some() {
            return refuse(
                "the interrupt",
                self.interrupt.unwrap_or(0).into(),
                "a continuous test does not end by itself",
            );
        }
        Ok(self.span() * u64::from(info.bus_bytes))
    }

    /// Returns the lines from the first to the last that the test touches.
    fn span(&self) -> u64 {
        let (requests, length) = (u64::from(self.lines / self.length.max(1)), u64::from(self.length));
        (requests.saturating_sub(1) * u64::from(self.stride) + 1) * length
    }

    /// Returns the lines that a loopback touches.
    pub(super) fn touched(&self) -> impl Iterator<Item = u64> + use<> {
        let (requests, length, stride) =
            (u64::from(self.lines / self.length.max(1)), u64::from(self.length), u64::from(self.stride));
        (0..requests).flat_map(move |request| (0..length).map(move |line| request * stride * length + line))
    }

    /// Returns lines read and written by the test, as the exerciser is to count them; `None` for a continuous test.
    pub fn expected(&self) -> Option<(u64, u64)> {
        if self.continuous {
            return None;
        }
        let lines = u64::from(self.lines);
        Some(match (self.mode, self.atomic) {
            // The atomic request writes too.
            (Mode::Loopback, Some(_)) => (lines, 2 * lines),
            (_, Some(_)) => return None,
            (Mode::Loopback, None) => (lines, lines),
            (Mode::Read, None) => (lines, 0),
            (Mode::Write, None) => (0, lines),
            (Mode::Throughput, None) => (lines / 2, lines / 2),
        })
    }

    pub(super) fn register(&self) -> CFG {
        let length = u64::from(self.length.trailing_zeros());
        CFG::default()
            .with_delay(self.delay)
            .with_continuous(self.continuous)
            .with_mode(self.mode.number().into())
            .with_length(length & 3)
            .with_length_high(length >> 2)
            .with_atomic(self.atomic.map_or(0, Atomic::bits))
            .with_encoding(self.encoding as u64)
            .with_interleave(self.interleave.into())
            .with_interrupt_on_error(self.interrupt_on_error)
            .with_interrupt_test(self.interrupt.is_some())
    }
}
