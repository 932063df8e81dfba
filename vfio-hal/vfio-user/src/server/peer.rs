//! The client at the other end: its sockets, what was agreed with it, and questions to it.
//!
//! - [`Peer`] receives commands and sends replies without waiting. Commands that come while the server waits for
//!   a reply of the client are kept in order; how many is bounded.
//! - Client memory without a file is read and written by asking the client (DMA_READ, DMA_WRITE), on the twin
//!   socket if there is one, so that the two directions never wait for each other.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, poll};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::core::Core;
use super::logger::{Logger, say};
use crate::proto::wire::{DmaAccess, ERROR, TYPE_COMMAND};
use crate::proto::{Capabilities, Channel, Command, Header, Limits, Message, Outgoing, Received};

/// Commands that are kept while a reply is awaited.
const MAX_PENDING: usize = 64;

/// The client.
pub(super) struct Peer {
    pub(super) main: Channel,
    pub(super) twin: Option<Channel>,
    /// What was agreed, once it was.
    pub(super) agreed: Option<Capabilities>,
    pending: VecDeque<Message>,
    next_id: u16,
    /// How long a reply may take.
    patience: Duration,
    logger: Logger,
    /// The connection is over.
    pub(super) gone: bool,
}

impl Peer {
    pub(super) fn new(socket: OwnedFd, limits: Limits, patience: Duration, logger: Logger) -> Peer {
        Peer {
            main: Channel::new(socket, limits),
            twin: None,
            agreed: None,
            pending: VecDeque::new(),
            next_id: 0,
            patience,
            logger,
            gone: false,
        }
    }

    /// Returns the next command, if one is there. Replies that nobody waits for are dropped.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Errno> {
        if let Some(message) = self.pending.pop_front() {
            return Ok(Some(message));
        }
        for _ in 0..MAX_PENDING {
            match self.main.receive()? {
                Received::Message(message) if message.header.is_reply() => {
                    let id = message.header.id;
                    say!(self.logger, Debug, "dropped a reply that nobody waits for, id {id}");
                }
                Received::Message(message) => return Ok(Some(message)),
                Received::Pending => return Ok(None),
                Received::Closed { in_message } => {
                    if in_message {
                        say!(
                            self.logger,
                            Warning,
                            "the client closed the connection in the middle of a message"
                        );
                    }
                    self.gone = true;
                    return Ok(None);
                }
            }
        }
        // A client that sends nothing but that does not keep the model from its turn.
        Ok(None)
    }

    /// Sends a message on the main socket, now or when there is room.
    pub(super) fn send(&mut self, header: Header, body: &[u8], fds: Vec<Arc<OwnedFd>>) {
        self.main.push(Outgoing::new(header, body, fds));
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        if let Err(error) = self.main.flush() {
            say!(self.logger, Info, "cannot send to the client: {error}");
            self.gone = true;
        }
    }

    /// Asks the client and waits for its reply.
    fn ask(&mut self, command: Command, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let deadline = Instant::now() + self.patience;
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        let header = Header { id, command: command as u16, flags: TYPE_COMMAND, ..Header::default() };
        let Peer { main, twin, pending, gone, logger, .. } = self;
        let twinned = twin.is_some();
        let channel = twin.as_mut().unwrap_or(main);
        if *gone {
            return Err(Errno::NOTCONN);
        }
        channel.push(Outgoing::new(header, body, Vec::new()));
        let mut asked = 0;
        loop {
            channel.flush()?;
            // A client that sends ever more commands in front of its reply is not waited for.
            if pending.len() >= MAX_PENDING {
                return Err(Errno::NOBUFS);
            }
            // Nor is one that sends answers to other questions without an end.
            if asked > MAX_PENDING && Instant::now() > deadline {
                return Err(Errno::TIMEDOUT);
            }
            asked += 1;
            match channel.receive()? {
                Received::Message(message) if message.header.is_reply() => {
                    if message.header.id != id {
                        say!(logger, Debug, "dropped a late reply, id {}", message.header.id);
                        continue;
                    }
                    return answer(message);
                }
                Received::Message(message) if !twinned => {
                    pending.push_back(message);
                    continue;
                }
                Received::Message(_) => {
                    say!(logger, Warning, "dropped a command that came on the socket for replies");
                    continue;
                }
                Received::Pending => {}
                Received::Closed { .. } => {
                    *gone = true;
                    return Err(Errno::NOTCONN);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.try_into().map_err(|_| Errno::INVAL)?;
            let flags = channel.poll_flags();
            match poll(&mut [PollFd::new(&*channel, flags)], Some(&timeout)) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns what a reply says.
fn answer(reply: Message) -> Result<Vec<u8>, Errno> {
    if let Some(error) = reply.refused {
        return Err(error);
    }
    if reply.header.flags & ERROR != 0 {
        // The number is the client's, and anything may be in it.
        let number = i32::try_from(reply.header.errno).ok().filter(|number| (1..4096).contains(number));
        return Err(number.map_or(Errno::IO, Errno::from_raw_os_error));
    }
    Ok(reply.body)
}

impl Core {
    /// Reads client memory by message.
    pub(super) fn message_read(&self, address: u64, data: &mut [u8]) -> bool {
        let chunk = self.chunk();
        let mut at = address;
        for part in data.chunks_mut(chunk) {
            let request = DmaAccess { address: at, count: part.len() as u64 };
            let Some(reply) = self.ask(Command::DmaRead, request.as_bytes()) else { return false };
            let Ok((echo, got)) = DmaAccess::read_from_prefix(&reply) else { return false };
            if echo != request || got.len() != part.len() {
                say!(
                    self.logger,
                    Warning,
                    "the client's answer to a read at {at:#x} is not what was asked for"
                );
                return false;
            }
            part.copy_from_slice(got);
            at += part.len() as u64;
        }
        true
    }

    /// Writes client memory by message.
    pub(super) fn message_write(&self, address: u64, data: &[u8]) -> bool {
        let chunk = self.chunk();
        let mut at = address;
        for part in data.chunks(chunk) {
            let mut request = DmaAccess { address: at, count: part.len() as u64 }.as_bytes().to_vec();
            request.extend_from_slice(part);
            let Some(reply) = self.ask(Command::DmaWrite, &request) else { return false };
            // The document gives the reply a count of 4 bytes, libvfio-user's has 8.
            let low = reply.get(8..12).and_then(|bytes| u32::read_from_bytes(bytes).ok());
            if low != Some(part.len() as u32) {
                say!(
                    self.logger,
                    Warning,
                    "the client's answer to a write at {at:#x} is not what was asked for"
                );
                return false;
            }
            at += part.len() as u64;
        }
        true
    }

    /// Returns how many bytes one message may carry.
    fn chunk(&self) -> usize {
        let peer = self.peer.borrow();
        let agreed = peer.as_ref().and_then(|peer| peer.agreed);
        agreed.map_or(4096, |agreed| usize::try_from(agreed.max_data_xfer_size).unwrap_or(usize::MAX)).max(1)
    }

    fn ask(&self, command: Command, body: &[u8]) -> Option<Vec<u8>> {
        let mut peer = self.peer.borrow_mut();
        let peer = peer.as_mut()?;
        match peer.ask(command, body) {
            Ok(reply) => Some(reply),
            Err(error) => {
                say!(self.logger, Warning, "the client did not answer {command:?}: {error}");
                None
            }
        }
    }
}
