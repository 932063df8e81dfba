//! What a run consists of.

use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
pub struct Input {
    pub twin: bool,
    pub posted: bool,
    /// What the server does with its requests, one after the other; what comes later is answered as it should be.
    pub acts: Vec<Act>,
    pub calls: Vec<Call>,
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Act {
    /// The right answer.
    Honest,
    /// The right answer, with bytes changed, cut or added, and other descriptors.
    Spoiled {
        changes: Vec<(u8, u8)>,
        word: Option<(u8, Number)>,
        len: Option<u8>,
        keep_size: bool,
        fds: Vec<Fd>,
    },
    /// An answer of its own, with a right header.
    Answer { errno: Option<u16>, body: Vec<u8>, fds: Vec<Fd> },
    /// Asks for memory first, and then answers.
    Ask {
        twin: bool,
        write: bool,
        short: bool,
        address: Number,
        count: Number,
        data: Vec<u8>,
        flags: u8,
        fds: Vec<Fd>,
    },
    /// A message of its own first.
    Message { twin: bool, id: u16, command: u8, flags: u8, body: Vec<u8>, fds: Vec<Fd> },
    /// Bytes, and then nothing fits any more.
    Bytes(Vec<u8>),
    /// No answer.
    Silence,
    /// The end, after so many bytes of the answer.
    End(Option<u8>),
}

/// Numbers that mean something, and others.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    /// Small.
    Small(u8),
    /// In what is mapped.
    Mapped(u16),
    /// Around powers of two.
    Power(u8, i8),
    Any(u64),
}

impl Number {
    pub fn get(self) -> u64 {
        match self {
            Number::Small(value) => value.into(),
            Number::Mapped(offset) => super::device::BASE + u64::from(offset),
            Number::Power(shift, more) => (1u64 << (shift % 64)).wrapping_add_signed(more.into()),
            Number::Any(value) => value,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Fd {
    /// Memory of so many pages.
    Memory {
        pages: u8,
        sealed: bool,
    },
    Event,
    Socket,
    ReadOnly,
}

#[derive(Arbitrary, Debug)]
pub enum Call {
    Bar { index: u8, offset: Number, width: u8, write: Option<u64> },
    Config { offset: u16, len: u8, write: bool },
    Map { file: bool, pages: u8 },
    Unmap,
    Enable { kind: u8, first: u16, count: u8, holes: u8 },
    Mask { kind: u8, vector: u16, masked: bool },
    Trigger { kind: u8, vector: u16 },
    Disable { kind: u8 },
    Reset,
    State(u8),
    Migrate { write: bool, len: u16 },
    Log { page: Number, ranges: Vec<(Number, Number)> },
    Dirty { iova: Number, len: Number, page: Number },
    EndLog,
    IoEvents(u8),
    WriteMany(Vec<(u32, u16, u8)>),
    Feature { index: u16, set: bool, len: u8 },
}
