//! What a server may ask of its client.
//!
//! [`Host`] is the client's memory, reached by message. [`answer`] turns one command of the server into its reply.

use rustix::io::Errno;
use zerocopy::FromBytes;

use super::ClientError;
use crate::proto::wire::{DmaAccess, ERROR, NO_REPLY, TYPE_REPLY};
use crate::proto::{Command, Header, Message, Outgoing};

/// The memory that a device reaches by message, and who is told of the connection's end.
///
/// Calls come from whichever thread waits for the server, with the connection's lock held: they must not wait, and
/// must not call the client.
pub trait Host: Send + Sync {
    /// Fills `data` from memory at `iova`.
    ///
    /// # Errors
    /// The errno that the server gets: `EFAULT` for what is not mapped, `EACCES` for what it may not read.
    fn dma_read(&self, iova: u64, data: &mut [u8]) -> Result<(), Errno>;

    /// Writes `data` to memory at `iova`. A store that follows is seen after it.
    ///
    /// # Errors
    /// As for [`dma_read`](Self::dma_read).
    fn dma_write(&self, iova: u64, data: &[u8]) -> Result<(), Errno>;

    /// The connection is over. Called once.
    fn lost(&self, error: ClientError) {
        let _ = error;
    }
}

/// A client that maps no memory.
impl Host for () {
    fn dma_read(&self, _: u64, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::FAULT)
    }

    fn dma_write(&self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::FAULT)
    }
}

/// Bytes of an access with an address of 8 bytes and a count of 4, as QEMU has it: data follow at byte 28 of the
/// message. The document and libvfio-user have a count of 8 bytes, and data at byte 32.
const SHORT: usize = 12;
const LONG: usize = size_of::<DmaAccess>();

/// Carries a command of the server out. Returns the reply, if it wants one. `max` is the largest transfer in bytes.
pub(super) fn answer(host: &dyn Host, message: &Message, max: usize) -> Option<Outgoing> {
    let Header { id, command, flags, .. } = message.header;
    let result = execute(host, message, max);
    if flags & NO_REPLY != 0 {
        return None;
    }
    let reply = Header { id, command, size: 0, flags: TYPE_REPLY, errno: 0 };
    Some(match result {
        Ok(body) => Outgoing::new(reply, &body, Vec::new()),
        Err(errno) => {
            log::debug!("the server's command {command} is refused: {errno}");
            let errno = errno.raw_os_error().unsigned_abs();
            Outgoing::new(Header { flags: TYPE_REPLY | ERROR, errno, ..reply }, &[], Vec::new())
        }
    })
}

fn execute(host: &dyn Host, message: &Message, max: usize) -> Result<Vec<u8>, Errno> {
    if let Some(errno) = message.refused {
        return Err(errno);
    }
    if !message.fds.is_empty() {
        return Err(Errno::INVAL);
    }
    let body = &message.body[..];
    match Command::try_from(message.header.command) {
        Ok(Command::DmaRead) => {
            let (address, count) = long(body)
                .filter(|_| body.len() == LONG)
                .or(short(body).filter(|_| body.len() == SHORT))
                .ok_or(Errno::INVAL)?;
            let count = usize::try_from(count).ok().filter(|&count| count <= max).ok_or(Errno::INVAL)?;
            let head = body.len();
            let mut reply = body.to_vec();
            reply.resize(head + count, 0);
            host.dma_read(address, &mut reply[head..])?;
            Ok(reply)
        }
        Ok(Command::DmaWrite) => {
            // The count says which layout it is: it cannot be right in both.
            let fits = |head: usize| move |&(_, count): &(u64, u64)| count == (body.len() - head) as u64;
            let (head, (address, _)) = match (long(body).filter(fits(LONG)), short(body).filter(fits(SHORT)))
            {
                (Some(access), _) => (LONG, access),
                (None, Some(access)) => (SHORT, access),
                (None, None) => return Err(Errno::INVAL),
            };
            if body.len() - head > max {
                return Err(Errno::INVAL);
            }
            host.dma_write(address, &body[head..])?;
            Ok(body[..head].to_vec())
        }
        // The others go from a client to its server.
        Ok(_) => Err(Errno::INVAL),
        Err(_) => Err(Errno::NOSYS),
    }
}

/// Returns address and count of the long layout, if there are as many bytes.
fn long(body: &[u8]) -> Option<(u64, u64)> {
    let (access, _) = DmaAccess::read_from_prefix(body).ok()?;
    Some((access.address, access.count))
}

/// Returns address and count of the short layout, if there are as many bytes.
fn short(body: &[u8]) -> Option<(u64, u64)> {
    let (address, rest) = u64::read_from_prefix(body).ok()?;
    let (count, _) = u32::read_from_prefix(rest).ok()?;
    Some((address, count.into()))
}
