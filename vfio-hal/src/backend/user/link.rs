//! The connection to the server, and what happens when it is lost.
//!
//! - [`Link`] has the client of the moment. Whoever finds it gone waits for the next one, if a new connection is made by
//!   itself, or is told so.
//! - [`Session`] is what one client's thread calls back into.
//! - [`Latches`] has the latch of lost devices, a new one for every life of the device.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use rustix::io::Errno;
use vfio_user_kit::client::{Client, ClientError, Host};

use super::UserError;
use super::memory::{Memory, lock};
use crate::device::Lost;

/// How often something is asked before the device is thought to be unable to answer it.
const ATTEMPTS: u32 = 3;

/// The connection.
pub(super) struct Link {
    state: Mutex<State>,
    changed: Condvar,
    latches: Latches,
    /// A lost connection is made again by itself.
    automatic: bool,
}

struct State {
    phase: Phase,
    /// The last client. A client is never let go of under the lock or by its own thread, because it waits for the end
    /// of that thread, which may wait for the lock.
    client: Option<Arc<Client>>,
    /// Number of the connection; clients of earlier ones have nothing to say any more.
    number: u64,
    /// The device is being dropped.
    stop: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Up,
    /// It is about to be made again.
    Down,
    Dead(UserError),
}

impl Link {
    pub(super) fn new(automatic: bool) -> Link {
        let state = State { phase: Phase::Down, client: None, number: 0, stop: false };
        Link { state: Mutex::new(state), changed: Condvar::new(), latches: Latches::default(), automatic }
    }

    pub(super) fn latch(&self) -> &Lost {
        self.latches.last()
    }

    /// Returns what a new client calls back into. From here on, earlier ones are not listened to.
    pub(super) fn session(self: &Arc<Link>, memory: &Arc<Memory>) -> Arc<Session> {
        let mut state = self.state();
        state.number += 1;
        Arc::new(Session { number: state.number, link: self.clone(), memory: memory.clone() })
    }

    /// Lets everybody use a client.
    pub(super) fn up(&self, client: Arc<Client>) {
        let mut state = self.state();
        // What it had to say before was not heard.
        state.phase = client.fault().map_or(Phase::Up, |fault| self.after(state.stop, fault));
        let before = state.client.replace(client);
        drop(state);
        self.changed.notify_all();
        drop(before);
    }

    /// Gives the device up.
    pub(super) fn give_up(&self, error: UserError) {
        self.state().phase = self.dead(error);
        self.changed.notify_all();
    }

    fn dead(&self, error: UserError) -> Phase {
        log::warn!("the device is lost: {error}");
        self.latch().latch();
        Phase::Dead(error)
    }

    /// Starts another life of a device that was given up. Returns whether it was.
    pub(super) fn revive(&self) -> bool {
        let mut state = self.state();
        let dead = matches!(state.phase, Phase::Dead(_));
        if dead {
            self.latches.renew();
            state.phase = Phase::Down;
        }
        dead
    }

    /// Returns why the device was given up, if it was.
    pub(super) fn fault(&self) -> Option<UserError> {
        match self.state().phase {
            Phase::Dead(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the client, or waits for the next one.
    pub(super) fn client(&self) -> Result<Arc<Client>, UserError> {
        let mut state = self.state();
        loop {
            match (state.phase, &state.client) {
                (Phase::Dead(error), _) => return Err(error),
                (Phase::Up, Some(client)) => return Ok(client.clone()),
                (Phase::Up | Phase::Down, _) => state = self.wait(state),
            }
        }
    }

    /// Asks the server. What was not answered because the connection was lost is asked again on the next one, if there
    /// is one, a few times: it may then have happened more than once.
    pub(super) fn ask<R>(
        &self,
        ask: impl Fn(&Arc<Client>) -> Result<R, ClientError>,
    ) -> Result<R, UserError> {
        let mut attempts = 1;
        loop {
            let client = self.client()?;
            match ask(&client) {
                Err(error) if error.ends_connection() && self.automatic && attempts < ATTEMPTS => {
                    self.leave(&client, error);
                    attempts += 1;
                }
                result => return result.map_err(UserError::from),
            }
        }
    }

    /// Asks the server once.
    pub(super) fn ask_once<R>(
        &self,
        ask: impl FnOnce(&Arc<Client>) -> Result<R, ClientError>,
    ) -> Result<R, UserError> {
        let client = self.client()?;
        ask(&client).map_err(UserError::from)
    }

    /// Makes sure that a client whose connection is over is not used again, whoever hears of it first.
    fn leave(&self, gone: &Arc<Client>, error: ClientError) {
        let mut state = self.state();
        if state.phase == Phase::Up && state.client.as_ref().is_some_and(|client| Arc::ptr_eq(client, gone)) {
            state.phase = self.after(state.stop, error);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Returns what comes after a lost connection.
    fn after(&self, stop: bool, error: ClientError) -> Phase {
        if self.automatic && !stop {
            log::warn!("the connection to the server is lost: {error}");
            Phase::Down
        } else {
            self.dead(error.into())
        }
    }

    /// Waits until a new connection is to be made; `false` when the device is dropped.
    pub(super) fn wait_for_loss(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.stop {
                return false;
            }
            if state.phase == Phase::Down {
                return true;
            }
            state = self.wait(state);
        }
    }

    /// Waits, but at most `limit`; returns whether the device is being dropped.
    pub(super) fn pause(&self, limit: std::time::Duration) -> bool {
        let state = self.state();
        if state.stop {
            return true;
        }
        match self.changed.wait_timeout(state, limit) {
            Ok((state, _)) => state.stop,
            Err(poisoned) => poisoned.into_inner().0.stop,
        }
    }

    /// The device is dropped: ends who waits for a connection.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stop = true;
        if state.phase == Phase::Down {
            state.phase = self.dead(UserError::NotBack { millis: 0 });
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Closes the connection, and waits for the end of its thread. Called by nobody but who drops the device.
    pub(super) fn close(&self) {
        let client = self.state().client.take();
        drop(client);
    }

    fn lost(&self, number: u64, error: ClientError) {
        let mut state = self.state();
        if state.number != number || state.phase != Phase::Up {
            return;
        }
        state.phase = self.after(state.stop, error);
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the thread of one client calls.
pub(super) struct Session {
    number: u64,
    link: Arc<Link>,
    memory: Arc<Memory>,
}

impl Host for Session {
    fn dma_read(&self, iova: u64, data: &mut [u8]) -> Result<(), Errno> {
        self.memory.read(iova, data)
    }

    fn dma_write(&self, iova: u64, data: &[u8]) -> Result<(), Errno> {
        self.memory.write(iova, data)
    }

    fn lost(&self, error: ClientError) {
        self.link.lost(self.number, error);
    }
}

impl Drop for Latches {
    fn drop(&mut self) {
        // One by one, so that a device with many lives does not need as much stack.
        while let Some(mut next) = self.next.take() {
            self.next = std::mem::take(&mut next.next);
        }
    }
}

/// The latches of the device's lives. A latch never opens again, and whoever uses a BAR of an earlier life still sees it
/// closed.
#[derive(Default)]
struct Latches {
    lost: Lost,
    next: OnceLock<Box<Latches>>,
}

impl Latches {
    fn last(&self) -> &Lost {
        let mut at = self;
        while let Some(next) = at.next.get() {
            at = next;
        }
        &at.lost
    }

    fn renew(&self) {
        let mut at = self;
        while let Some(next) = at.next.get() {
            at = next;
        }
        // The link's lock is held, so nobody else is at it.
        let _ = at.next.set(Box::default());
    }
}
