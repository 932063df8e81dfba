//! One socket with what was received of a message and what waits to be sent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::frame::{Limits, Outbox, Outgoing, Received, Receiver};

/// A connected socket. Nothing here waits: poll for [`poll_flags`](Self::poll_flags), then try again.
#[derive(Debug)]
pub struct Channel {
    socket: Arc<OwnedFd>,
    receiver: Receiver,
    outbox: Outbox,
}

impl Channel {
    /// Returns a channel at the start of a stream.
    pub fn new(socket: impl Into<Arc<OwnedFd>>, limits: Limits) -> Channel {
        Channel { socket: socket.into(), receiver: Receiver::new(limits), outbox: Outbox::default() }
    }

    /// Returns the socket, to be polled or shut down by others too.
    pub fn socket(&self) -> &Arc<OwnedFd> {
        &self.socket
    }

    /// Sets what messages may be from the next one on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.receiver.set_limits(limits);
    }

    /// Reads what is there, up to the end of one message.
    ///
    /// # Errors
    /// What the socket says; a connection that was reset counts as closed.
    pub fn receive(&mut self) -> Result<Received, Errno> {
        self.receiver.receive(self.socket.as_fd())
    }

    /// Appends a message. [`flush`](Self::flush) sends it.
    pub fn push(&mut self, message: Outgoing) {
        self.outbox.push(message);
    }

    /// Sends as much as the socket takes now. Returns whether nothing is left.
    ///
    /// # Errors
    /// What the socket says, `EPIPE` when the peer is gone.
    pub fn flush(&mut self) -> Result<bool, Errno> {
        self.outbox.flush(self.socket.as_fd())
    }

    /// Returns how many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    /// Returns what to poll the socket for.
    pub fn poll_flags(&self) -> PollFlags {
        let out = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        PollFlags::IN | out
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
