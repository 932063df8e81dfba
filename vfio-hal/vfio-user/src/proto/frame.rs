//! Messages out of a stream and into it, with the descriptors that travel beside them.
//!
//! - [`Receiver`] reads exactly one message at a time, so that a descriptor belongs to the message it came with.
//!   A message that is too large is read to its end and thrown away, so that the stream stays in step.
//! - [`Outbox`] keeps what the socket does not take yet: nobody waits for a peer that stopped reading.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use zerocopy::{FromBytes, IntoBytes};

use super::wire::{HEADER_BYTES, Header};

/// The most descriptors that the kernel passes with one message (SCM_MAX_FD).
const KERNEL_MAX_FDS: usize = 253;
const FD_SPACE: usize = rustix::cmsg_space!(ScmRights(KERNEL_MAX_FDS));

/// What a message may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, its header included.
    pub message: usize,
    /// Descriptors beside a message.
    pub fds: usize,
}

/// A message that arrived.
#[derive(Debug)]
pub struct Message {
    /// Its header, as it came.
    pub header: Header,
    /// What follows the header; empty if the message was refused.
    pub body: Vec<u8>,
    /// The descriptors that came with it; none if it was refused.
    pub fds: Vec<OwnedFd>,
    /// Why its contents were thrown away.
    pub refused: Option<Errno>,
}

/// What a look at the socket brought.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message(Message),
    /// Nothing that is complete: try again when the socket is readable.
    Pending,
    /// The peer closed the stream; in the middle of a message, if so said.
    Closed {
        /// A message was begun and is not complete.
        in_message: bool,
    },
}

/// Cuts the stream into messages.
#[derive(Debug)]
pub struct Receiver {
    limits: Limits,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are there.
    have: usize,
    body: Vec<u8>,
    /// Bytes of the body that are there.
    filled: usize,
    /// Bytes of a refused message that are still to come.
    discard: u64,
    fds: Vec<OwnedFd>,
    refused: Option<Errno>,
}

impl Receiver {
    /// Returns a receiver at the start of a stream.
    pub fn new(limits: Limits) -> Receiver {
        Receiver {
            limits,
            header: [0; HEADER_BYTES],
            have: 0,
            body: Vec::new(),
            filled: 0,
            discard: 0,
            fds: Vec::new(),
            refused: None,
        }
    }

    /// Sets what messages may be from the next one on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Reads what is there, up to the end of one message. Does not wait.
    ///
    /// # Errors
    /// What the socket says; a connection that was reset counts as closed.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Received, Errno> {
        loop {
            if self.have < HEADER_BYTES {
                let mut header = self.header;
                match self.read(socket, &mut header[self.have..])? {
                    Read::Bytes(count) => {
                        self.header = header;
                        self.have += count;
                        if self.have == HEADER_BYTES {
                            self.begin();
                        }
                    }
                    Read::Nothing => return Ok(Received::Pending),
                    Read::End => return Ok(Received::Closed { in_message: self.have > 0 }),
                }
                continue;
            }
            let got = if self.discard > 0 {
                let mut waste = [0; 4096];
                let part = usize::try_from(self.discard).unwrap_or(usize::MAX).min(waste.len());
                let got = self.read(socket, &mut waste[..part])?;
                if let Read::Bytes(count) = got {
                    self.discard -= count as u64;
                }
                got
            } else if self.filled < self.body.len() {
                let mut body = std::mem::take(&mut self.body);
                let got = self.read(socket, &mut body[self.filled..]);
                self.body = body;
                let got = got?;
                if let Read::Bytes(count) = got {
                    self.filled += count;
                }
                got
            } else {
                return Ok(Received::Message(self.finish()));
            };
            match got {
                Read::Bytes(_) => {}
                Read::Nothing => return Ok(Received::Pending),
                Read::End => return Ok(Received::Closed { in_message: true }),
            }
        }
    }

    /// The header is complete: decides what to do with the rest.
    fn begin(&mut self) {
        let header = self.parsed();
        match usize::try_from(header.size).unwrap_or(usize::MAX) {
            // There is no telling what the sender meant; taken for a message without a body.
            size if size < HEADER_BYTES => self.refused = Some(Errno::INVAL),
            size if size > self.limits.message => {
                self.refused = Some(Errno::MSGSIZE);
                self.discard = u64::from(header.size) - HEADER_BYTES as u64;
            }
            size => self.body.resize(size - HEADER_BYTES, 0),
        }
    }

    fn finish(&mut self) -> Message {
        let header = self.parsed();
        let mut fds = std::mem::take(&mut self.fds);
        if fds.len() > self.limits.fds {
            self.refused = self.refused.or(Some(Errno::INVAL));
        }
        let mut body = std::mem::take(&mut self.body);
        if self.refused.is_some() {
            fds.clear();
            body.clear();
        }
        (self.have, self.filled) = (0, 0);
        Message { header, body, fds, refused: self.refused.take() }
    }

    fn parsed(&self) -> Header {
        Header::read_from_bytes(&self.header).unwrap_or_default()
    }

    fn read(&mut self, socket: BorrowedFd<'_>, to: &mut [u8]) -> Result<Read, Errno> {
        let mut space = [MaybeUninit::uninit(); FD_SPACE];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let got = loop {
            match recvmsg(socket, &mut [IoSliceMut::new(to)], &mut ancillary, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Read::Nothing),
                Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Read::End),
                other => break other?,
            }
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                // A message that comes byte by byte could bring descriptors with each.
                for fd in fds {
                    if self.fds.len() <= self.limits.fds {
                        self.fds.push(fd);
                    }
                }
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            // Descriptors are missing: this process has no room for more, or there were too many.
            self.refused = Some(Errno::MFILE);
        }
        Ok(if got.bytes == 0 { Read::End } else { Read::Bytes(got.bytes) })
    }
}

enum Read {
    Bytes(usize),
    Nothing,
    End,
}

/// A message to be sent.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Vec<u8>,
    fds: Vec<Arc<OwnedFd>>,
    sent: usize,
}

impl Outgoing {
    /// Puts a message together. The header's size is filled in.
    pub fn new(header: Header, body: &[u8], fds: Vec<Arc<OwnedFd>>) -> Outgoing {
        let size = HEADER_BYTES + body.len();
        let header = Header { size: u32::try_from(size).unwrap_or(u32::MAX), ..header };
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(body);
        Outgoing { bytes, fds, sent: 0 }
    }
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Outgoing>,
    bytes: usize,
}

impl Outbox {
    /// Appends a message. [`flush`](Self::flush) sends it.
    pub fn push(&mut self, message: Outgoing) {
        self.bytes += message.bytes.len();
        self.queue.push_back(message);
    }

    /// Returns whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns how many bytes wait.
    pub fn waiting(&self) -> usize {
        self.bytes
    }

    /// Sends as much as the socket takes now. Returns whether nothing is left.
    ///
    /// # Errors
    /// What the socket says, `EPIPE` when the peer is gone.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<bool, Errno> {
        while let Some(first) = self.queue.front_mut() {
            let mut space = [MaybeUninit::uninit(); FD_SPACE];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let fds: Vec<BorrowedFd<'_>> = first.fds.iter().map(|fd| fd.as_fd()).collect();
            if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(Errno::TOOMANYREFS);
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(socket, &[IoSlice::new(&first.bytes[first.sent..])], &mut ancillary, flags) {
                Ok(count) => {
                    drop(fds);
                    first.sent += count;
                    // They went with the first byte.
                    first.fds.clear();
                    if first.sent == first.bytes.len() {
                        self.bytes -= first.bytes.len();
                        self.queue.pop_front();
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
