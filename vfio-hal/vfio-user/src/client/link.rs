//! The connection: requests with their replies, and what the server asks in between.
//!
//! - [`Link`] has the main socket behind a lock, which is held for the time of a request: a server handles commands in
//!   order, so nothing is gained by more. Who waits for a reply serves the server's own commands meanwhile, so that a
//!   model's DMA by message cannot deadlock with the register access that it happens in.
//! - The first fault sticks: the sockets are shut down, and every later request fails at once with it.
//!
//! Lock order: the main socket, then whatever the [`Host`] locks. Who holds a lock of the host never asks.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use super::ClientError;
use super::host::{Host, answer};
use crate::proto::wire::{ERROR, NO_REPLY, TYPE_COMMAND};
use crate::proto::{Channel, Command, Header, Message, Outgoing, Received};

/// Replies may wait up to this many bytes; a server that does not read them is not listened to.
pub(super) const MAX_WAITING: usize = 4 << 20;

/// Commands of the server that are served before a deadline or the end of the thread is looked at.
pub(super) const COMMANDS_A_TURN: usize = 64;

/// What all users of a connection share.
pub(super) struct Link {
    main: Mutex<Main>,
    /// The main socket, for those who do not hold its lock.
    socket: Arc<OwnedFd>,
    /// The socket for the server's commands.
    twin: OnceLock<Arc<OwnedFd>>,
    fault: OnceLock<ClientError>,
    pub(super) host: Arc<dyn Host>,
    /// In nanoseconds.
    timeout: AtomicU64,
    /// The largest transfer that the server may ask for, in bytes.
    pub(super) max_transfer: usize,
}

/// The main socket.
pub(super) struct Main {
    pub(super) channel: Channel,
    next_id: u16,
}

/// What a request waits for.
struct Wait {
    id: u16,
    command: Command,
    limit: Duration,
    deadline: Instant,
    /// A posted request only waits until it is sent.
    reply: bool,
}

impl Link {
    pub(super) fn new(channel: Channel, host: Arc<dyn Host>, timeout: Duration, max_transfer: usize) -> Link {
        Link {
            socket: channel.socket().clone(),
            main: Mutex::new(Main { channel, next_id: 0 }),
            twin: OnceLock::new(),
            fault: OnceLock::new(),
            host,
            timeout: AtomicU64::new(nanos(timeout)),
            max_transfer,
        }
    }

    /// Names the socket for the server's commands, so that it is shut down with the other one.
    pub(super) fn set_twin(&self, twin: Arc<OwnedFd>) {
        // There is one negotiation, so it is not set yet.
        let _ = self.twin.set(twin);
    }

    /// Gives the server so much time for each answer from now on.
    pub(super) fn set_timeout(&self, limit: Duration) {
        self.timeout.store(nanos(limit), Ordering::Relaxed);
    }

    /// Returns the main socket, to be polled.
    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Returns the main socket, with all of its requests done.
    pub(super) fn main(&self) -> MutexGuard<'_, Main> {
        self.main.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why the connection is over, if it is.
    pub(super) fn fault(&self) -> Option<ClientError> {
        self.fault.get().copied()
    }

    /// Ends the connection. Returns the first fault, which may be another one.
    pub(super) fn fail(&self, error: ClientError) -> ClientError {
        let mut first = false;
        let kept = *self.fault.get_or_init(|| {
            first = true;
            error
        });
        if first {
            self.shut_down();
            self.host.lost(kept);
        }
        kept
    }

    /// Ends the connection without calling it a fault of the server's.
    pub(super) fn shut_down(&self) {
        for socket in [Some(&self.socket), self.twin.get()].into_iter().flatten() {
            // One that is closed already needs nothing.
            let _ = shutdown(socket, Shutdown::Both);
        }
    }

    /// Asks, and returns the reply of a command that was carried out.
    pub(super) fn request(
        &self,
        command: Command,
        body: &[u8],
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<Message, ClientError> {
        let mut main = self.main();
        let reply = self.exchange(&mut main, command, body, fds, true)?;
        drop(main);
        let Some(reply) = reply else { return Err(ClientError::Closed { in_message: false }) };
        self.check(command, reply)
    }

    /// Asks without wanting a reply: returns when the request is sent.
    pub(super) fn post(&self, command: Command, body: &[u8]) -> Result<(), ClientError> {
        self.exchange(&mut self.main(), command, body, Vec::new(), false).map(drop)
    }

    /// Returns a reply that is no error and carries no descriptors that nobody wants.
    fn check(&self, command: Command, reply: Message) -> Result<Message, ClientError> {
        if Command::try_from(reply.header.command) != Ok(command) {
            return Err(self.bad(command, "it names another command"));
        }
        if reply.refused.is_some() {
            return Err(self.bad(command, "it is too long, or has too many descriptors"));
        }
        if reply.header.flags & ERROR != 0 {
            // The number is the server's, and anything may be in it.
            let number = i32::try_from(reply.header.errno).ok().filter(|number| (1..4096).contains(number));
            return Err(ClientError::Refused {
                command,
                errno: number.map_or(Errno::IO, Errno::from_raw_os_error),
            });
        }
        let takes_fds = matches!(
            command,
            Command::Version | Command::DeviceGetRegionInfo | Command::DeviceGetRegionIoFds
        );
        if !reply.fds.is_empty() && !takes_fds {
            return Err(self.bad(command, "it has descriptors"));
        }
        Ok(reply)
    }

    /// Ends the connection because of a reply that cannot be right.
    pub(super) fn bad(&self, command: Command, what: &'static str) -> ClientError {
        let error = ClientError::BadReply { command, what };
        self.fail(error);
        error
    }

    fn exchange(
        &self,
        main: &mut Main,
        command: Command,
        body: &[u8],
        fds: Vec<Arc<OwnedFd>>,
        reply: bool,
    ) -> Result<Option<Message>, ClientError> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        main.next_id = main.next_id.wrapping_add(1);
        let limit = Duration::from_nanos(self.timeout.load(Ordering::Relaxed));
        let wait = Wait { id: main.next_id, command, limit, deadline: Instant::now() + limit, reply };
        let flags = if reply { TYPE_COMMAND } else { TYPE_COMMAND | NO_REPLY };
        let header = Header { id: wait.id, command: command as u16, flags, ..Header::default() };
        main.channel.push(Outgoing::new(header, body, fds));
        self.await_reply(main, &wait).inspect_err(|&error| {
            self.fail(error);
        })
    }

    fn await_reply(&self, main: &mut Main, wait: &Wait) -> Result<Option<Message>, ClientError> {
        let expected = wait.reply.then_some(wait.id);
        loop {
            let sent = main.channel.flush().map_err(of_socket)?;
            if sent && !wait.reply {
                return Ok(None);
            }
            if let Some(reply) = self.receive(main, expected)? {
                return Ok(Some(reply));
            }
            let left = wait.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let millis = u32::try_from(wait.limit.as_millis()).unwrap_or(u32::MAX);
                return Err(ClientError::Timeout { command: wait.command, millis });
            }
            wait_for(&main.channel, left)?;
        }
    }

    /// Receives what is there: serves commands, and returns the reply that is expected.
    fn receive(&self, main: &mut Main, expected: Option<u16>) -> Result<Option<Message>, ClientError> {
        for _ in 0..COMMANDS_A_TURN {
            if main.channel.waiting() > MAX_WAITING {
                return Ok(None);
            }
            match main.channel.receive().map_err(of_socket)? {
                Received::Message(message) if message.header.is_reply() => {
                    let got = message.header.id;
                    return match expected == Some(got) {
                        true => Ok(Some(message)),
                        false => Err(ClientError::WrongReply { expected, got }),
                    };
                }
                Received::Message(message) => {
                    if let Some(reply) = answer(&*self.host, &message, self.max_transfer) {
                        main.channel.push(reply);
                    }
                    main.channel.flush().map_err(of_socket)?;
                }
                Received::Pending => return Ok(None),
                Received::Closed { in_message } => return Err(ClientError::Closed { in_message }),
            }
        }
        Ok(None)
    }

    /// Serves the commands that came on the main socket while nobody waited there. Returns whether replies wait for
    /// room.
    pub(super) fn serve(&self) -> Result<bool, ClientError> {
        let mut main = self.main();
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let main = &mut *main;
        main.channel.flush().map_err(of_socket)?;
        self.receive(main, None)?;
        Ok(main.channel.waiting() > 0)
    }
}

fn nanos(time: Duration) -> u64 {
    // A century is enough for every server, and an instant can be so late.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(3_000_000_000_000_000_000)
}

/// Waits until a socket has something, or room for what waits to be sent.
fn wait_for(channel: &Channel, limit: Duration) -> Result<(), ClientError> {
    let timeout = Timespec::try_from(limit)
        .map_err(|_| ClientError::System { what: "wait for the server", errno: Errno::INVAL })?;
    let mut flags = channel.poll_flags();
    if channel.waiting() > MAX_WAITING {
        flags.remove(PollFlags::IN);
    }
    match poll(&mut [PollFd::new(channel, flags)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(ClientError::System { what: "wait for the server", errno }),
    }
}

/// Returns what a failure of the socket means.
pub(super) fn of_socket(errno: Errno) -> ClientError {
    match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => ClientError::Closed { in_message: false },
        errno => ClientError::System { what: "use the connection to the server", errno },
    }
}
