//! The listening socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat, lstat, unlink};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};

use super::ServerError;

/// Where clients knock.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Option<OwnedFd>,
    /// The socket's file and its inode number: whoever took the place meanwhile keeps it.
    path: Option<(PathBuf, u64)>,
}

impl Listener {
    /// Makes a socket. One that nobody listens on any more is replaced.
    pub(super) fn bind(path: &Path) -> Result<Listener, ServerError> {
        let failed = |what| move |errno| ServerError::System { what, errno };
        let address = SocketAddrUnix::new(path).map_err(failed("use the path as a socket's name"))?;
        if let Ok(stat) = lstat(path) {
            if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                return Err(ServerError::NotASocket);
            }
            let probe = make().map_err(failed("make a socket"))?;
            match connect(&probe, &address) {
                Err(Errno::CONNREFUSED) => {
                    unlink(path).map_err(failed("remove the socket that a server left behind"))?;
                }
                Ok(()) | Err(Errno::AGAIN) => return Err(ServerError::InUse),
                Err(errno) => return Err(failed("look who listens at the path")(errno)),
            }
        }
        let socket = make().map_err(failed("make a socket"))?;
        bind(&socket, &address).map_err(failed("make the socket's file"))?;
        listen(&socket, 1).map_err(failed("listen"))?;
        let inode = lstat(path).map_err(failed("find the socket's file again"))?.st_ino;
        Ok(Listener { socket: Some(socket), path: Some((path.to_owned(), inode)) })
    }

    /// Takes a socket that listens already.
    pub(super) fn inherited(socket: OwnedFd) -> Result<Listener, ServerError> {
        let stat =
            fstat(&socket).map_err(|errno| ServerError::System { what: "use the descriptor", errno })?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return Err(ServerError::NotASocket);
        }
        rustix::io::ioctl_fionbio(&socket, true)
            .map_err(|errno| ServerError::System { what: "use the socket without waiting", errno })?;
        Ok(Listener { socket: Some(socket), path: None })
    }

    /// Nobody can knock: there is one client from the start.
    pub(super) fn none() -> Listener {
        Listener { socket: None, path: None }
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Returns the socket of a client that knocked.
    pub(super) fn accept(&self) -> Result<Option<OwnedFd>, ServerError> {
        let Some(socket) = &self.socket else { return Ok(None) };
        match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(client) => Ok(Some(client)),
            // The client left before it was let in; or there are no descriptors left, which may pass.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED | Errno::MFILE | Errno::NFILE) => Ok(None),
            Err(errno) => Err(ServerError::System { what: "accept a client", errno }),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, inode)) = &self.path
            && lstat(path.as_path()).is_ok_and(|stat| stat.st_ino == *inode)
        {
            // Nothing to be done about a failure.
            let _ = unlink(path.as_path());
        }
    }
}

fn make() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}
