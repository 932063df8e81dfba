//! How a server is set up, what it answers to its owner, and what it counts.
//!
//! Key types: [`ServerOptions`], [`IdlePolicy`], [`ServerError`], [`RunError`], [`ServerStats`], all of
//! [`Server`](super::Server).

use std::time::Duration;

use rustix::io::Errno;

use super::Logger;
use crate::check::SpecError;

/// What happens to the device when its client is gone without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostClient {
    /// It stands still and keeps its state. It goes on when a client comes and first touches a register, so that
    /// memory and interrupts can be set up again before.
    #[default]
    Keep,
    /// It is reset, configuration space included.
    Reset,
}

/// Bounds and manners of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Descriptors that are taken with one message, 1 to 253.
    pub max_msg_fds: u32,
    /// Bytes of data in one message.
    pub max_data_xfer_size: u32,
    /// Mappings of client memory.
    pub max_dma_maps: u32,
    /// Bytes of one mapping.
    pub max_dma_size: u64,
    /// Mappings that are in this process' address space at a time. The kernel allows 65,530.
    pub max_views: usize,
    /// Offer a second socket for questions to the client.
    pub twin_socket: bool,
    /// How long the client may take for an answer.
    pub patience: Duration,
    /// How long a model may take to come to rest.
    pub quiesce_limit: Duration,
    /// What happens when the client is lost.
    pub lost_client: LostClient,
    /// Let clients map the doorbells that the model's spec names: a write is a store without a message, of which the server
    /// learns when it looks. Clients that do not ask for it go on with messages.
    pub mapped_doorbells: bool,
    /// Where the log goes.
    pub logger: Logger,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            // QEMU takes no more than 16 in a server's answer.
            max_msg_fds: 16,
            max_data_xfer_size: 1 << 20,
            max_dma_maps: 1_000_000,
            // What libvfio-user takes.
            max_dma_size: 8 << 40,
            max_views: 32_768,
            twin_socket: true,
            patience: Duration::from_secs(5),
            quiesce_limit: Duration::from_secs(5),
            lost_client: LostClient::Keep,
            mapped_doorbells: false,
            logger: Logger::default(),
        }
    }
}

/// Why a server cannot be, or cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The model describes a function that PCI does not know.
    #[error("the model cannot be a PCI function: {0}")]
    Spec(#[from] SpecError),
    /// Another server answers at the path.
    #[error("another server listens at this path: end it, or choose another path")]
    InUse,
    /// The path is taken by something that is no socket.
    #[error("something that is no socket is at this path: remove it, or choose another path")]
    NotASocket,
    /// An area that the model shares is not in a BAR, or not whole pages.
    #[error(
        "the shared area at offset {offset:#x} of BAR {bar} is not made of whole pages inside of the BAR, or overlaps another"
    )]
    Area {
        /// The BAR.
        bar: u8,
        /// The offset in bytes.
        offset: u64,
    },
    /// The areas of a region do not agree on where it starts in their files.
    #[error(
        "the shared area at offset {offset:#x} of BAR {bar} has another distance to its place in its file than the area before it: a client is told one for all"
    )]
    AreaFiles {
        /// The BAR.
        bar: u8,
        /// The offset in bytes.
        offset: u64,
    },
    /// The operating system refused.
    #[error("cannot {what}: {errno}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        errno: Errno,
    },
}

/// Why there was nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// No client is attached.
    #[error("no client is attached: call `attach`")]
    NotConnected,
    /// A command waits until the model has come to rest.
    #[error("the model has not come to rest yet: let it step, and call `run` again")]
    Busy,
}

/// What happens while there is no work: spin, yield, then sleep until the client writes or the time is over.
///
/// Packets from outside and time do not wake a server, so the sleep is the delay that they may meet.
#[derive(Clone, Copy, Debug)]
pub struct IdlePolicy {
    /// Idle rounds with nothing but a processor pause in between.
    pub spins: u32,
    /// Idle rounds after those that let other threads run in between.
    pub yields: u32,
    /// How long to sleep in idle rounds after those.
    pub sleep: Duration,
}

impl Default for IdlePolicy {
    fn default() -> IdlePolicy {
        IdlePolicy { spins: 8, yields: 16, sleep: Duration::from_micros(50) }
    }
}

/// How often what happened, since the server was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Commands that were answered without an error.
    pub commands: u64,
    /// Commands that were answered with an error.
    pub errors: u64,
    /// Clients that came.
    pub clients: u64,
    /// Register accesses that the model refused; the client's reads got all ones for them.
    pub refused_accesses: u64,
}
