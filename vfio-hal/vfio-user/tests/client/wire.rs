//! A wire between client and server that can be cut, at any moment and after any byte.

// Each program uses a part of it.
#![allow(dead_code)]

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
};

/// The wire. Clients connect to [`path`](Self::path).
pub(crate) struct Wire {
    pub(crate) path: PathBuf,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

struct Shared {
    stop: AtomicBool,
    /// Nobody gets through.
    shut: AtomicBool,
    /// Bytes from the server that still come through, on the next connection too.
    from_server: AtomicU64,
    open: Mutex<Vec<Arc<(UnixStream, UnixStream)>>>,
    connections: AtomicU64,
}

impl Wire {
    pub(crate) fn to(server: &Path) -> Wire {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wire");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            from_server: AtomicU64::new(u64::MAX),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
        });
        let (server, told) = (server.to_owned(), shared.clone());
        let accepting = std::thread::spawn(move || accept(&listener, &server, &told));
        Wire { path, shared, accepting: Some(accepting), _folder: folder }
    }

    /// Ends the connections of the moment.
    pub(crate) fn cut(&self) {
        for pair in self.shared.open.lock().unwrap().drain(..) {
            hang_up(&pair);
        }
    }

    /// Ends the connections of the moment, and lets nobody through until it is opened again.
    pub(crate) fn shut(&self, shut: bool) {
        self.shared.shut.store(shut, Ordering::Release);
        if shut {
            self.cut();
        }
    }

    /// Lets so many bytes come from the server, and then ends the connection.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.from_server.store(bytes, Ordering::Release);
    }

    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.cut();
        self.accepting.take().unwrap().join().unwrap();
    }
}

fn hang_up(pair: &(UnixStream, UnixStream)) {
    for end in [&pair.0, &pair.1] {
        let _ = shutdown(end, Shutdown::Both);
    }
}

fn accept(listener: &UnixListener, server: &Path, shared: &Arc<Shared>) {
    let mut pumps = Vec::new();
    while !shared.stop.load(Ordering::Acquire) {
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        if shared.shut.load(Ordering::Acquire) {
            continue;
        }
        let Ok(server) = UnixStream::connect(server) else { continue };
        client.set_nonblocking(false).unwrap();
        let pair = Arc::new((client, server));
        shared.open.lock().unwrap().push(pair.clone());
        shared.connections.fetch_add(1, Ordering::AcqRel);
        for back in [false, true] {
            let (pair, shared) = (pair.clone(), shared.clone());
            pumps.push(std::thread::spawn(move || {
                pump(&pair, back, &shared);
                hang_up(&pair);
            }));
        }
    }
    pumps.into_iter().for_each(|pump| pump.join().unwrap());
}

fn pump(pair: &(UnixStream, UnixStream), back: bool, shared: &Shared) {
    let (from, to) = if back { (&pair.1, &pair.0) } else { (&pair.0, &pair.1) };
    let mut bytes = [0; 4096];
    loop {
        let left = if back { shared.from_server.load(Ordering::Acquire) } else { u64::MAX };
        if left == 0 {
            return;
        }
        let room = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(
            from,
            &mut [IoSliceMut::new(&mut bytes[..room])],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        let Ok(got) = got else { return };
        let mut fds: Vec<OwnedFd> = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                fds.extend(more);
            }
        }
        if got.bytes == 0 {
            return;
        }
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        let mut part = &bytes[..got.bytes];
        while !part.is_empty() {
            let Ok(sent) = sendmsg(to, &[IoSlice::new(part)], &mut ancillary, SendFlags::NOSIGNAL) else {
                return;
            };
            ancillary.clear();
            part = &part[sent..];
        }
        if back && left != u64::MAX {
            shared.from_server.store(left - got.bytes as u64, Ordering::Release);
        }
    }
}
