//! The first message: what both sides agree on.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, fstat};
use zerocopy::{FromBytes, IntoBytes};

use super::link::Link;
use super::{ClientError, ClientOptions};
use crate::proto::{Capabilities, Command, Message, TwinSocket, wire};

/// The newest minor version that is spoken.
const MINOR: u16 = 2;

/// What was agreed.
pub(super) struct Agreed {
    pub(super) minor: u16,
    pub(super) capabilities: Capabilities,
    pub(super) twin: Option<OwnedFd>,
}

pub(super) fn negotiate(link: &Link, options: &ClientOptions) -> Result<Agreed, ClientError> {
    let ours = Capabilities {
        max_msg_fds: options.max_msg_fds,
        max_data_xfer_size: options.max_data_xfer_size.into(),
        max_dma_maps: options.max_dma_maps,
        pgsizes: options.pgsizes,
        twin_socket: TwinSocket { supported: options.twin_socket, fd_index: None },
        write_multiple: options.write_multiple,
        migration_pgsize: options.migration_pgsize,
    };
    let mut body = wire::Version { major: 0, minor: MINOR }.as_bytes().to_vec();
    body.extend_from_slice(&ours.to_json());
    let reply = link.request(Command::Version, &body, Vec::new())?;
    agree(&ours, reply).inspect_err(|&error| {
        link.fail(error);
    })
}

fn agree(ours: &Capabilities, reply: Message) -> Result<Agreed, ClientError> {
    let bad = |what| ClientError::BadReply { command: Command::Version, what };
    let Message { body, mut fds, .. } = reply;
    let (version, json) = wire::Version::read_from_prefix(&body).map_err(|_| bad("it is too short"))?;
    let wire::Version { major, minor } = version;
    if major != 0 || minor > MINOR {
        return Err(ClientError::Version { major, minor });
    }
    let theirs = Capabilities::parse(json)?;
    let twin = match theirs.twin_socket {
        TwinSocket { supported: false, .. } if fds.is_empty() => None,
        TwinSocket { supported: true, fd_index: Some(index) } if ours.twin_socket.supported => {
            if index as usize >= fds.len() {
                return Err(bad("the twin socket is not there"));
            }
            let fd = fds.swap_remove(index as usize);
            let stat = fstat(&fd).map_err(|_| bad("the twin socket cannot be used"))?;
            if !fds.is_empty() || FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                return Err(bad("the twin socket is not a socket, or not alone"));
            }
            Some(fd)
        }
        TwinSocket { supported: true, .. } => {
            return Err(bad("a twin socket that was not asked for, or not sent"));
        }
        TwinSocket { .. } => return Err(bad("it has descriptors")),
    };
    let pgsizes = theirs.pgsizes & (u64::MAX << 12);
    if pgsizes == 0 || theirs.max_data_xfer_size == 0 {
        return Err(bad("no page size, or no data, is possible"));
    }
    let capabilities = Capabilities {
        // What the server takes; what it may send is ours.
        max_msg_fds: theirs.max_msg_fds.min(wire::MAX_FDS),
        max_data_xfer_size: theirs.max_data_xfer_size.min(ours.max_data_xfer_size),
        max_dma_maps: theirs.max_dma_maps.min(ours.max_dma_maps),
        pgsizes,
        twin_socket: theirs.twin_socket,
        write_multiple: theirs.write_multiple && ours.write_multiple,
        // In the first version it was another protocol.
        migration_pgsize: theirs.migration_pgsize.filter(|_| ours.migration_pgsize.is_some() && minor > 0),
    };
    Ok(Agreed { minor, capabilities, twin })
}
