//! The thread that listens to the server while nobody asks it something.
//!
//! It serves the server's commands, on the twin socket or on the main one, and notices the end of the connection. With
//! a twin socket it is not woken by replies on the main one.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::ClientError;
use super::host::answer;
use super::link::{COMMANDS_A_TURN, Link, MAX_WAITING, of_socket};
use crate::proto::{Channel, Received};

/// The thread. Dropping it ends it.
pub(super) struct Listener {
    stop: Arc<Stop>,
    handle: Option<JoinHandle<()>>,
}

struct Stop {
    flag: AtomicBool,
    wake: OwnedFd,
}

impl Listener {
    pub(super) fn start(link: Arc<Link>, twin: Option<Channel>) -> Result<Listener, ClientError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| ClientError::System { what: "make an eventfd", errno })?;
        let stop = Arc::new(Stop { flag: AtomicBool::new(false), wake });
        let told = stop.clone();
        let handle = std::thread::Builder::new()
            .name("vfio-user".into())
            .spawn(move || {
                if let Err(error) = listen(&link, twin, &told) {
                    // Who waits for a reply that has arrived gets it.
                    let main = link.main();
                    link.fail(error);
                    drop(main);
                }
            })
            .map_err(|error| ClientError::System {
                what: "start a thread",
                errno: error.raw_os_error().map_or(Errno::AGAIN, Errno::from_raw_os_error),
            })?;
        Ok(Listener { stop, handle: Some(handle) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.flag.store(true, Ordering::Release);
        // An eventfd that is full wakes as well.
        let _ = rustix::io::write(&self.stop.wake, &1u64.to_ne_bytes());
        if let Some(handle) = self.handle.take() {
            // A panic there has been reported.
            let _ = handle.join();
        }
    }
}

fn listen(link: &Link, mut twin: Option<Channel>, stop: &Stop) -> Result<(), ClientError> {
    let mut replies_wait = false;
    loop {
        let hung_up = PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP;
        let main_flags = match (&twin, replies_wait) {
            (Some(_), _) => PollFlags::RDHUP,
            (None, true) => PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP,
            (None, false) => PollFlags::IN | PollFlags::RDHUP,
        };
        let mut fds = vec![PollFd::new(&stop.wake, PollFlags::IN), PollFd::new(link.socket(), main_flags)];
        if let Some(twin) = &twin {
            let mut flags = twin.poll_flags();
            if twin.waiting() > MAX_WAITING {
                flags.remove(PollFlags::IN);
            }
            fds.push(PollFd::from_borrowed_fd(twin.as_fd(), flags));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(ClientError::System { what: "wait for the server", errno }),
        }
        let main = fds[1].revents();
        if stop.flag.load(Ordering::Acquire) || link.fault().is_some() {
            return Ok(());
        }
        if let Some(twin) = &mut twin {
            serve_twin(link, twin)?;
            if main.intersects(hung_up) {
                return Err(ClientError::Closed { in_message: false });
            }
        } else if !main.is_empty() {
            replies_wait = link.serve()?;
        }
    }
}

/// Serves commands that are there, a bounded number, so that a server that asks without end cannot keep the thread.
fn serve_twin(link: &Link, twin: &mut Channel) -> Result<(), ClientError> {
    for _ in 0..COMMANDS_A_TURN {
        twin.flush().map_err(of_socket)?;
        if twin.waiting() > MAX_WAITING {
            return Ok(());
        }
        match twin.receive().map_err(of_socket)? {
            Received::Message(message) if message.header.is_reply() => {
                return Err(ClientError::BadPeer { what: "a reply on the socket for the server's commands" });
            }
            Received::Message(message) => {
                if let Some(reply) = answer(&*link.host, &message, link.max_transfer) {
                    twin.push(reply);
                }
            }
            Received::Pending => return Ok(()),
            Received::Closed { in_message } => return Err(ClientError::Closed { in_message }),
        }
    }
    twin.flush().map(drop).map_err(of_socket)
}
