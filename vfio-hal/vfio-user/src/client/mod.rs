//! Uses a device that a vfio-user server has, ours or another's.
//!
//! - [`Client`] is one connection: agreed on when it is made, usable from any thread, over with its first fault. Every
//!   command of the protocol is a method; what a server answers is checked before it is believed.
//! - [`Host`] is the memory that the device reaches by message.
//! - [`ClientOptions`] has the bounds and the time that a server gets; [`ClientError`] is what can go wrong.
//!
//! ```no_run
//! # use vfio_user_kit::client::{Client, ClientError, ClientOptions};
//! # use std::{path::Path, sync::Arc};
//! # fn read() -> Result<(), ClientError> {
//! let client = Client::connect(Path::new("/run/nic.sock"), &ClientOptions::default(), Arc::new(()))?;
//! let mut ids = [0; 4];
//! client.region_read(7, 0, &mut ids)?;
//! # Ok(())
//! # }
//! ```
//!
//! A thread serves what the server asks and notices its end; it ends when the client is dropped. `vfio-hal` makes a
//! device of a client (`backend::user`), which is what drivers use.

mod dma;
mod error;
mod feature;
mod host;
mod irq;
mod link;
mod region;
mod thread;
mod version;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::proto::{Capabilities, Channel, Limits, wire};
use link::Link;
use thread::Listener;

pub use error::ClientError;
pub use feature::{DirtyBitmap, MigrationSupport};
pub use host::Host;
pub use irq::IrqAction;
pub use region::{Area, IoEvent, IoFds, Region, RegionCapability, Shadow, Write};

/// Bytes of a message beside its data: header, and the largest structure in front of data.
const MESSAGE_EXTRA: usize = 64;
/// What a message may have at least, whatever the transfer size: room for capabilities and lists of areas.
const MESSAGE_LEAST: usize = 128 << 10;

/// Bounds and manners of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Descriptors that are taken with one message, 1 to 253.
    pub max_msg_fds: u32,
    /// Bytes of data in one message.
    pub max_data_xfer_size: u32,
    /// Mappings of memory.
    pub max_dma_maps: u32,
    /// Page sizes of memory, as bits.
    pub pgsizes: u64,
    /// Ask for a second socket for the server's commands.
    pub twin_socket: bool,
    /// Ask for several register writes in one message.
    pub write_multiple: bool,
    /// The page size of dirty-page bitmaps in bytes, to migrate.
    pub migration_pgsize: Option<u64>,
    /// How long a server may take for an answer.
    pub timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            max_msg_fds: 64,
            max_data_xfer_size: 1 << 20,
            max_dma_maps: u32::MAX,
            // 4 KiB, 2 MiB, 1 GiB.
            pgsizes: 1 << 12 | 1 << 21 | 1 << 30,
            twin_socket: true,
            write_multiple: true,
            migration_pgsize: Some(4096),
            // A server may wait for its model to come to rest before it answers.
            timeout: Duration::from_secs(10),
        }
    }
}

/// A connection to a server.
pub struct Client {
    /// Ends before the sockets do.
    _listener: Listener,
    link: Arc<Link>,
    agreed: Capabilities,
    minor: u16,
}

impl Client {
    /// Connects to the server that listens at `path`.
    ///
    /// # Errors
    /// When nobody listens there, or nothing can be agreed on.
    pub fn connect(path: &Path, options: &ClientOptions, host: Arc<dyn Host>) -> Result<Client, ClientError> {
        Client::from_socket(open(path, options.timeout)?, options, host)
    }

    /// Uses a connected socket, such as one inherited from a supervisor.
    ///
    /// # Errors
    /// When it is no socket, or nothing can be agreed on.
    pub fn from_socket(
        socket: OwnedFd,
        options: &ClientOptions,
        host: Arc<dyn Host>,
    ) -> Result<Client, ClientError> {
        let max_fds = options.max_msg_fds.clamp(1, wire::MAX_FDS);
        let options = ClientOptions { max_msg_fds: max_fds, ..options.clone() };
        let data = options.max_data_xfer_size as usize;
        let limits = Limits { message: (data + MESSAGE_EXTRA).max(MESSAGE_LEAST), fds: max_fds as usize };
        let link = Arc::new(Link::new(Channel::new(socket, limits), host, options.timeout, data));
        let agreed = version::negotiate(&link, &options)?;
        let twin = agreed.twin.map(|socket| Channel::new(socket, limits));
        if let Some(twin) = &twin {
            link.set_twin(twin.socket().clone());
        }
        let listener = Listener::start(link.clone(), twin)?;
        Ok(Client { _listener: listener, link, agreed: agreed.capabilities, minor: agreed.minor })
    }

    /// Returns what was agreed: how much the server takes of each.
    pub fn capabilities(&self) -> &Capabilities {
        &self.agreed
    }

    /// Returns the minor version that the server speaks.
    pub fn minor_version(&self) -> u16 {
        self.minor
    }

    /// Gives the server `limit` for each answer from now on.
    pub fn set_timeout(&self, limit: Duration) {
        self.link.set_timeout(limit);
    }

    /// Returns why the connection is over, `None` as long as it is not.
    pub fn fault(&self) -> Option<ClientError> {
        self.link.fault()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("agreed", &self.agreed)
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

/// Connects, and waits for a server that has other clients to welcome first.
fn open(path: &Path, limit: Duration) -> Result<OwnedFd, ClientError> {
    let failed = |errno| ClientError::Connect { errno };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
    let deadline = Instant::now() + limit;
    loop {
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            // A UNIX socket whose backlog is full cannot be polled for room.
            Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}
