//! What a client does.

use arbitrary::Arbitrary;

/// A run.
#[derive(Arbitrary, Debug)]
pub(crate) struct Input {
    /// The device: bits that switch its parts on.
    pub(crate) device: u16,
    /// Questions until the model comes to rest, and until it lets memory go.
    pub(crate) unrest: u8,
    pub(crate) stubborn: u8,
    /// The model has time for that.
    pub(crate) patient: bool,
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Arbitrary, Debug)]
pub(crate) enum Step {
    /// A good VERSION.
    Version {
        twin: bool,
        multi: bool,
        fds: u8,
        transfer: u16,
        master: bool,
    },
    /// A message with a body that may be right.
    Command {
        body: Body,
        flags: Flags,
        fds: Vec<Fd>,
    },
    /// A register of BAR 0 is written: the model's own commands are behind them.
    Register {
        register: u8,
        value: u32,
    },
    /// The model is told to do something to memory.
    Act {
        command: u8,
        page: u8,
        offset: u16,
        len: u16,
    },
    /// Memory is mapped, the model holds some of it, and the client takes it back.
    Hold {
        page: u8,
        pages: u8,
        file: Option<Fd>,
        all: bool,
    },
    /// Vectors are armed, or masked and unmasked, by eventfd.
    Arm {
        action: u8,
        index: u8,
        start: u8,
        count: u8,
    },
    /// Commands that are there when the model asks the client for memory.
    Cross {
        page: u8,
        read: bool,
        bodies: Vec<Body>,
    },
    /// Any command with any body.
    Any {
        command: u16,
        flags: u32,
        body: Vec<u8>,
        fds: Vec<Fd>,
    },
    /// A message of many bytes, beyond what is allowed perhaps.
    Large {
        command: u8,
        len: u32,
    },
    /// A message whose header tells another size.
    Lie {
        command: u8,
        size: u32,
        body: Vec<u8>,
    },
    /// The front of a message, and the rest later, perhaps with a descriptor in between.
    Halves {
        body: Body,
        at: u8,
        fd: Option<Fd>,
    },
    /// Bytes.
    Raw(Vec<u8>),
    /// An answer to a question, asked or not.
    Answer {
        twin: bool,
        command: u8,
        id: u8,
        flags: u8,
        address: u8,
        count: u8,
        data: Vec<u8>,
    },
    /// An eventfd that was handed over is signalled, or a register's.
    Signal {
        which: u8,
        count: u8,
    },
    /// A file that was handed over shrinks.
    Shrink {
        which: u8,
    },
    /// The server has its turn.
    Run,
    Work,
    /// The client reads its answers.
    Read,
    /// It goes and comes back.
    Reconnect,
}

/// The header's flags.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) enum Flags {
    None,
    NoReply,
    Any(u8),
}

/// A descriptor.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) enum Fd {
    Event,
    Sealed(u8),
    Memory(u8),
    ReadOnly(u8),
    Pipe,
    Socket,
    Null,
}

/// A body that may be right.
#[derive(Arbitrary, Debug)]
pub(crate) enum Body {
    DmaMap {
        flags: u8,
        offset: u8,
        page: u8,
        pages: u8,
        file: Option<Fd>,
    },
    DmaUnmap {
        all: bool,
        page: u8,
        pages: u8,
    },
    Info,
    RegionInfo {
        argsz: u8,
        index: u8,
    },
    IoFds {
        argsz: u8,
        index: u8,
    },
    IrqInfo {
        index: u8,
    },
    SetIrqs {
        data: u8,
        action: u8,
        index: u8,
        start: u8,
        count: u8,
        bools: Vec<u8>,
        fds: Vec<Fd>,
    },
    Read {
        region: u8,
        offset: u32,
        count: u16,
    },
    Write {
        region: u8,
        offset: u32,
        data: Vec<u8>,
    },
    Config {
        write: bool,
        offset: u16,
        data: Vec<u8>,
    },
    Reset,
    Multi {
        writes: Vec<(u8, u16, u8, u64)>,
    },
    State {
        state: u8,
    },
    Feature {
        index: u8,
        how: u8,
        data: Vec<u8>,
    },
    LogStart {
        page: u8,
        ranges: Vec<(u8, u8)>,
    },
    LogReport {
        page: u8,
        first: u8,
        pages: u16,
    },
    Save {
        size: u16,
    },
    Restore {
        data: Vec<u8>,
    },
    /// What was saved last is given back.
    Echo,
}
