//! The socket of DPDK's telemetry: packets in sequence, one for each question and answer.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen as wait, recv, send, socket_with,
};

use super::{Ask, Asker, TICK, commands};
use crate::fault::Fault;

/// Clients that may be connected at once, as many as DPDK allows.
const CLIENTS: usize = 10;

/// The longest question.
const QUESTION: usize = 1024;

/// Runs of one name that may be there at once.
const INSTANCES: u32 = 32;

/// A socket's file, removed with this value.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns the folder where DPDK's client looks for a run.
fn folder(prefix: &str) -> PathBuf {
    let base = match rustix::process::geteuid().is_root() {
        true => "/var/run".into(),
        false => std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| "/tmp".into(), PathBuf::from),
    };
    base.join("dpdk").join(prefix)
}

/// Makes the socket: the first free one of those that the client's option -i counts.
pub(super) fn listen(prefix: &str) -> Result<(Place, OwnedFd), Fault> {
    let folder = folder(prefix);
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Fault::Run(format!("--telemetry: cannot {what} in {}: {error}", folder.display()))
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| failed("make the folder", &error))?;
    for instance in 0..INSTANCES {
        let name = match instance {
            0 => "dpdk_telemetry.v2".to_owned(),
            number => format!("dpdk_telemetry.v2:{number}"),
        };
        let path = folder.join(name);
        let address = SocketAddrUnix::new(&path).map_err(|error| failed("name a socket", &error))?;
        let socket = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .map_err(|error| failed("make a socket", &error))
        };
        let listener = socket()?;
        let bound = match bind(&listener, &address) {
            // Somebody's, or what a run that was killed has left.
            Err(Errno::ADDRINUSE) if connect(socket()?, &address) == Err(Errno::CONNREFUSED) => {
                let _ = std::fs::remove_file(&path);
                bind(&listener, &address)
            }
            result => result,
        };
        match bound {
            Ok(()) => {
                wait(&listener, CLIENTS as i32).map_err(|error| failed("listen", &error))?;
                return Ok((Place(path), listener));
            }
            Err(Errno::ADDRINUSE) => {}
            Err(error) => return Err(failed("bind a socket", &error)),
        }
    }
    Err(failed(
        "find a free name",
        &format!("{INSTANCES} runs are there already: choose another --file-prefix"),
    ))
}

/// Answers clients until the run is over.
pub(super) fn serve(listener: &OwnedFd, asker: &Asker) {
    let mut clients: Vec<OwnedFd> = Vec::new();
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos() as i64 };
    while !asker.is_over() {
        let all = std::iter::once(listener).chain(&clients);
        let mut polled: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if !matches!(poll(&mut polled, Some(&tick)), Ok(1..)) {
            continue;
        }
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(polled);
        let mut ready = ready.into_iter();
        let new = ready.next() == Some(true);
        clients.retain(|client| ready.next() != Some(true) || answer(client, asker));
        if new {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // One too many is told by the end of its connection.
            if let Ok(client) = accept_with(listener, flags)
                && clients.len() < CLIENTS
                && say(&client, &commands::greeting().to_string())
            {
                clients.push(client);
            }
        }
    }
}

/// Answers one question; `false` when the client is gone.
fn answer(client: &OwnedFd, asker: &Asker) -> bool {
    let mut question = [0; QUESTION];
    match recv(client, &mut question, RecvFlags::empty()) {
        Ok((0, _)) => false,
        Ok((len, _)) => {
            let text = String::from_utf8_lossy(question.get(..len).unwrap_or_default()).into_owned();
            let command = text.split(',').next().unwrap_or_default().to_owned();
            let answer = asker.ask(Ask::Telemetry(text));
            say(client, &answer.unwrap_or_else(|| serde_json::json!({ command: null }).to_string()))
        }
        Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
    }
}

/// Sends an answer. A client that does not read is let go: nobody waits for it.
fn say(client: &OwnedFd, text: &str) -> bool {
    send(client, text.as_bytes(), SendFlags::NOSIGNAL).is_ok()
}
