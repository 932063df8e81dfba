//! Serves a [`DeviceModel`] on a socket.
//!
//! - [`Server`] owns the model, and one client at a time talks to it. Everything happens on the thread that calls
//!   [`attach`](Server::attach), [`run`](Server::run) or [`serve`](Server::serve); several devices in a process
//!   are several servers, on a thread each or on one thread that waits for their poll descriptors.
//! - [`ServerOptions`] has the bounds and what happens when a client is lost.
//!
//! ```no_run
//! # use vfio_user_kit::{AccessError, Context, DeviceModel, ResetKind, Spec, Work};
//! # use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions};
//! # use std::{path::Path, sync::atomic::AtomicBool};
//! # fn serve(model: impl DeviceModel) -> Result<(), vfio_user_kit::server::ServerError> {
//! // QEMU: -device '{"driver":"vfio-user-pci","socket":{"path":"/run/nic.sock","type":"unix"}}', with guest memory
//! // from a memory-backend-memfd that is shared.
//! let mut server = Server::bind(Path::new("/run/nic.sock"), model, ServerOptions::default())?;
//! let stop = AtomicBool::new(false);
//! server.serve(&stop, IdlePolicy::default())
//! # }
//! ```
//!
//! No message, and no silence, of a client ends the server: every count and size is bounded, replies wait in a
//! queue when a client does not read, and questions to the client have a deadline.
#![doc = include_str!("libvfio_user.md")]

mod bells;
mod bus;
mod command;
mod core;
mod dirty;
mod dma;
mod feature;
mod info;
mod irq;
mod listen;
mod logger;
mod migration;
mod options;
mod peer;
mod region;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::core::Core;
use crate::context::IrqKind;
use crate::model::{DeviceModel, ResetKind, Work};
use crate::proto::{Limits, Message};
use dma::Bounds;
use listen::Listener;
use logger::say;
pub use logger::{Logger, Severity};
pub use options::{IdlePolicy, LostClient, RunError, ServerError, ServerOptions, ServerStats};
use peer::Peer;

/// Bytes of a message beside its data: header, and the largest structure in front of data.
const MESSAGE_EXTRA: usize = 64;
/// Commands that are handled before the model gets its turn.
const COMMANDS_A_TURN: usize = 64;
/// Replies may wait up to this many bytes; a client that does not read them is not listened to.
const MAX_WAITING: usize = 4 << 20;

/// A device on a socket.
pub struct Server<M> {
    model: M,
    core: Core,
    listener: Listener,
    options: ServerOptions,
    stats: ServerStats,
    regions: info::Regions,
    /// A command that waits for the model to come to rest, since when.
    held: Option<(Message, Instant)>,
    /// The device works; otherwise it stands still until a client touches it.
    running: bool,
    /// Rounds without work.
    idled: u32,
    migration: migration::Progress,
}

impl<M: DeviceModel> Server<M> {
    /// Makes a socket at `path` and serves `model` there. A socket that a server left behind is replaced.
    ///
    /// # Errors
    /// When the model cannot be a function, or the socket cannot be made.
    pub fn bind(path: &Path, model: M, options: ServerOptions) -> Result<Server<M>, ServerError> {
        let spec = model.spec();
        spec.check()?;
        Server::new(Listener::bind(path)?, model, options)
    }

    /// Serves `model` on a listening socket that somebody else made, such as one inherited from a supervisor.
    ///
    /// # Errors
    /// When the model cannot be a function.
    pub fn from_listener(
        socket: OwnedFd,
        model: M,
        options: ServerOptions,
    ) -> Result<Server<M>, ServerError> {
        Server::new(Listener::inherited(socket)?, model, options)
    }

    /// Serves `model` to the one client at the other end of a connected socket.
    ///
    /// # Errors
    /// When the model cannot be a function.
    pub fn from_connection(
        socket: OwnedFd,
        model: M,
        options: ServerOptions,
    ) -> Result<Server<M>, ServerError> {
        let mut server = Server::new(Listener::none(), model, options)?;
        server.welcome(socket);
        Ok(server)
    }

    fn new(listener: Listener, model: M, mut options: ServerOptions) -> Result<Server<M>, ServerError> {
        options.max_msg_fds = options.max_msg_fds.clamp(1, 253);
        options.max_data_xfer_size = options.max_data_xfer_size.max(8);
        let bounds = Bounds {
            entries: options.max_dma_maps as usize,
            views: options.max_views.max(1),
            len: options.max_dma_size,
        };
        let spec = model.spec();
        let regions = info::Regions::new(&spec, &model)?;
        let core = Core::new(spec, regions.shared(), bounds, &options)?;
        let stats = ServerStats::default();
        Ok(Server {
            model,
            core,
            listener,
            options,
            stats,
            regions,
            held: None,
            running: true,
            idled: 0,
            migration: Default::default(),
        })
    }

    /// Takes a client that knocks, without waiting. Returns whether one is attached now.
    ///
    /// # Errors
    /// What the listening socket says.
    pub fn attach(&mut self) -> Result<bool, ServerError> {
        if self.is_attached() {
            return Ok(true);
        }
        match self.listener.accept()? {
            Some(socket) => {
                self.welcome(socket);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Waits for a client and takes it; `false` if none came in time.
    ///
    /// # Errors
    /// What the listening socket says.
    pub fn attach_wait(&mut self, limit: Duration) -> Result<bool, ServerError> {
        let start = Instant::now();
        while !self.attach()? {
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            self.wait(left);
        }
        Ok(true)
    }

    /// Returns whether a client is attached.
    pub fn is_attached(&self) -> bool {
        self.core.peer.borrow().is_some()
    }

    /// Returns the descriptor that is readable when there is something to do: the client's socket or, without a
    /// client, the listening one. It changes with [`attach`](Self::attach) and with the loss of a client.
    pub fn with_poll_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        match &*self.core.peer.borrow() {
            Some(peer) => Some(look(peer.main.as_fd())),
            None => self.listener.socket().map(look),
        }
    }

    /// Handles the commands that are there, without waiting, a bounded number at a time. Returns how many.
    ///
    /// # Errors
    /// [`RunError::NotConnected`] without a client, also when it has just gone; [`RunError::Busy`] when a command
    /// waits for the model.
    pub fn run(&mut self) -> Result<usize, RunError> {
        let mut handled = 0;
        if let Some((message, since)) = self.held.take() {
            self.handle(message, since);
            if self.held.is_some() {
                return Err(RunError::Busy);
            }
            handled += 1;
        }
        while handled < COMMANDS_A_TURN {
            let next = {
                let mut peer = self.core.peer.borrow_mut();
                let Some(peer) = &mut *peer else { return Err(RunError::NotConnected) };
                peer.flush();
                if peer.gone {
                    Err(Errno::NOTCONN)
                } else if peer.main.waiting() > MAX_WAITING {
                    Ok(None)
                } else {
                    peer.next()
                }
            };
            match next {
                Ok(Some(message)) => {
                    self.handle(message, Instant::now());
                    handled += 1;
                    if self.held.is_some() {
                        return Ok(handled);
                    }
                }
                Ok(None) if self.is_gone() => self.farewell(),
                Ok(None) => return Ok(handled),
                Err(error) => {
                    say!(self.core.logger, Info, "the connection to the client is over: {error}");
                    self.farewell();
                }
            }
        }
        Ok(handled)
    }

    /// Lets the model do one step. A device that stands still is idle.
    pub fn step(&mut self) -> Work {
        if !self.works() {
            return Work::Idle;
        }
        self.poll_signals();
        let Server { model, core, .. } = self;
        let work = model.step(&mut core.context());
        self.follow_reset();
        work
    }

    /// Returns whether the device works, and does not stand still for a client to come or to migrate it.
    fn works(&self) -> bool {
        self.running && self.migration.works()
    }

    /// Serves one client after the other until `stop` is set: handles commands, lets the model work, and idles as
    /// `idle` says. A device without a client works on as long as no client was lost.
    ///
    /// # Errors
    /// What the listening socket says.
    pub fn serve(&mut self, stop: &AtomicBool, idle: IdlePolicy) -> Result<(), ServerError> {
        while !stop.load(Ordering::Acquire) {
            self.serve_round(idle)?;
        }
        Ok(())
    }

    /// Does one round of [`serve`](Self::serve).
    ///
    /// # Errors
    /// What the listening socket says.
    pub fn serve_round(&mut self, idle: IdlePolicy) -> Result<(), ServerError> {
        let attached = self.attach()?;
        let handled = if attached { self.run().unwrap_or(0) } else { 0 };
        let worked = self.step() == Work::Done;
        if handled > 0 || worked {
            self.idled = 0;
            return Ok(());
        }
        self.idled = self.idled.saturating_add(1);
        if self.idled <= idle.spins {
            std::hint::spin_loop();
        } else if self.idled - idle.spins <= idle.yields {
            std::thread::yield_now();
        } else {
            self.wait(self.pause(idle.sleep));
        }
        Ok(())
    }

    /// Returns how long to sleep, at most `limit`: until the model's next timer, exactly.
    pub fn pause(&self, limit: Duration) -> Duration {
        if !self.works() {
            return limit;
        }
        let deadline = self.model.next_deadline();
        deadline.map_or(limit, |at| at.saturating_sub(self.core.now()).min(limit))
    }

    /// Waits until the client, or one that knocks, has something to say, but at most `limit`.
    pub fn wait(&self, limit: Duration) {
        // A time that the system cannot express is long enough to be looked at again after.
        let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        let peer = self.core.peer.borrow();
        let mut fds = Vec::new();
        match &*peer {
            // While a command waits for the model, the client is not listened to.
            Some(_) if self.held.is_some() => {}
            Some(peer) => fds.push(PollFd::new(&peer.main, peer.main.poll_flags())),
            None => {
                if let Some(socket) = self.listener.socket() {
                    fds.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
                }
            }
        }
        let vectors = self.core.vectors.borrow();
        let signals = self.regions.notify_fds().chain(vectors.switch_fds());
        fds.extend(signals.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // An interrupted or failed wait is a short one.
        let _ = poll(&mut fds, Some(&limit));
    }

    /// Asks the client to give the device back. Returns whether the client listens for that.
    pub fn request_removal(&self) -> bool {
        self.core.fire(IrqKind::Request, 0)
    }

    /// Tells the client of an error that the device cannot recover from. Returns whether the client listens.
    pub fn report_error(&self) -> bool {
        self.core.fire(IrqKind::Error, 0)
    }

    /// Logs a message where the server's own go.
    pub fn log(&self, severity: Severity, message: ::core::fmt::Arguments<'_>) {
        self.core.logger.log(severity, message);
    }

    /// Returns how often what happened.
    pub fn stats(&self) -> ServerStats {
        self.stats
    }

    /// Returns the model, to look at or to change between two of its calls.
    pub fn model(&mut self) -> &mut M {
        &mut self.model
    }

    /// Returns how many mappings of client memory there are.
    pub fn dma_maps(&self) -> usize {
        self.core.table.len()
    }

    /// Sends the client away, if there is one, and gives the model back.
    pub fn into_model(mut self) -> M {
        if self.is_attached() {
            self.farewell();
        }
        self.model
    }

    fn is_gone(&self) -> bool {
        self.core.peer.borrow().as_ref().is_some_and(|peer| peer.gone)
    }

    fn limits(&self) -> Limits {
        let message = self.options.max_data_xfer_size as usize + MESSAGE_EXTRA;
        Limits { message, fds: self.options.max_msg_fds as usize }
    }

    fn welcome(&mut self, socket: OwnedFd) {
        let peer = Peer::new(socket, self.limits(), self.options.patience, self.core.logger.clone());
        *self.core.peer.borrow_mut() = Some(peer);
        self.stats.clients += 1;
        let Server { model, core, .. } = self;
        model.opened(&mut core.context());
    }

    /// The client is gone: nothing of it stays.
    fn farewell(&mut self) {
        self.held = None;
        self.core.forget_client();
        self.running = false;
        let Server { model, core, .. } = self;
        model.released(&mut core.context());
        if self.options.lost_client == LostClient::Reset {
            self.reset(ResetKind::LostClient);
            self.running = true;
        }
    }

    /// Puts the whole function back.
    fn reset(&mut self, kind: ResetKind) {
        let Server { model, core, .. } = self;
        core.change(|function, _| {
            function.reset();
            function.set_access(true);
        });
        model.reset(&mut core.context(), kind);
        core.rearm();
        self.migration = migration::Progress::default();
        self.running = true;
    }

    /// Takes in what the client says by eventfds.
    fn poll_signals(&mut self) {
        let Server { model, core, regions, .. } = self;
        if !any_signalled(regions.notify_fds().chain(core.vectors.borrow().switch_fds())) {
            return;
        }
        for (kind, vector, masked) in core.take_switched() {
            model.irq_masked(&mut core.context(), kind, vector, masked);
        }
        for area in regions.take_notified() {
            model.notified(&mut core.context(), area);
        }
    }
}

/// Returns whether any descriptor is readable, with one system call for all, and none for none.
fn any_signalled<'a>(fds: impl Iterator<Item = BorrowedFd<'a>>) -> bool {
    let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    !fds.is_empty() && poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

impl<M> ::core::fmt::Debug for Server<M> {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Server").field("stats", &self.stats).finish_non_exhaustive()
    }
}
