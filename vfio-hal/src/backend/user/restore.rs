//! Connecting again.
//!
//! - [`Supervisor`] is the thread that does it for a device with [`Options::reconnect`](super::Options::reconnect).
//! - [`Core::begin_again`] does it once, for a device that was given up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vfio_user_kit::client::Client;

use super::describe::{Description, identity, io_fds, is_master};
use super::memory::lock;
use super::window::Source;
use super::{Core, UserError};

/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// The thread that connects again. Dropping it waits for its end; the link is to be stopped before.
pub(super) struct Supervisor(Option<JoinHandle<()>>);

impl Supervisor {
    pub(super) fn start(core: &Arc<Core>, limit: Duration) -> Result<Supervisor, UserError> {
        let core = core.clone();
        let handle = std::thread::Builder::new()
            .name("vfio-user-link".into())
            .spawn(move || {
                while core.link.wait_for_loss() {
                    core.restore_within(limit);
                }
            })
            .map_err(|error| UserError::System {
                what: "start a thread",
                errno: error.raw_os_error().unwrap_or(0),
            })?;
        Ok(Supervisor(Some(handle)))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // A panic there has been reported.
            let _ = handle.join();
        }
    }
}

impl Core {
    /// Tries to connect again for as long as is allowed, and gives the device up after that.
    fn restore_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let error = match self.restore() {
                Ok(()) => return,
                Err(error) => error,
            };
            let again = matches!(error, UserError::Client(error) if error.ends_connection());
            if !again {
                return self.link.give_up(error);
            }
            if Instant::now() >= deadline {
                let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
                return self.link.give_up(UserError::NotBack { millis });
            }
            log::debug!("{}: {error}", self.name);
            if self.link.pause(PAUSE) {
                return;
            }
        }
    }

    /// Connects to a server that kept the device's state, and brings memory and interrupts back before the device is
    /// touched: until then it stands still.
    fn restore(&self) -> Result<(), UserError> {
        let (client, description) = self.open()?;
        self.memory.agree(client.capabilities());
        self.memory.tell_all(&client)?;
        self.armed.tell(&client)?;
        self.exchange_areas(&client, &description)?;
        self.check_identity(&client)?;
        if self.master.load(Ordering::Relaxed) && !is_master(&client)? {
            return Err(UserError::StateLost);
        }
        *lock(&self.description) = Arc::new(description);
        self.link.up(client);
        log::info!("{}: connected again", self.name);
        Ok(())
    }

    pub(super) fn begin_again(&self) -> Result<(), UserError> {
        if self.link.fault().is_none() {
            return Ok(());
        }
        // One at a time.
        let mut kept = lock(&self.description);
        if self.link.fault().is_none() {
            return Ok(());
        }
        let (client, description) = self.open_like(&kept)?;
        self.check_identity(&client)?;
        self.memory.clear();
        self.armed.clear();
        self.master.store(false, Ordering::Relaxed);
        self.memory.agree(client.capabilities());
        *kept = Arc::new(description);
        drop(kept);
        self.link.revive();
        self.link.up(client);
        Ok(())
    }

    fn open(&self) -> Result<(Arc<Client>, Description), UserError> {
        self.open_like(&self.description())
    }

    /// Connects to a device that has the same shape.
    fn open_like(&self, before: &Description) -> Result<(Arc<Client>, Description), UserError> {
        let path = self.path.as_ref().ok_or(UserError::NoPath)?;
        let host = self.link.session(&self.memory);
        let client = Arc::new(Client::connect(path, &self.options.client, host)?);
        let description = Description::read(&client)?;
        before.check_same(&description)?;
        Ok((client, description))
    }

    fn check_identity(&self, client: &Client) -> Result<(), UserError> {
        if identity(client)? == *lock(&self.identity) {
            Ok(())
        } else {
            Err(UserError::OtherDevice { what: "ids or class" })
        }
    }

    /// Puts the new server's memory in the place of the old one's.
    fn exchange_areas(&self, client: &Client, description: &Description) -> Result<(), UserError> {
        const OTHER: UserError = UserError::OtherDevice { what: "a mapped area" };
        let mappings: Vec<_> = lock(&self.mappings).iter().filter_map(|mapping| mapping.upgrade()).collect();
        for mapping in mappings {
            let region = description.region(mapping.region).ok_or(OTHER)?;
            let sources = Source::all(region, &io_fds(client, mapping.region)?, &self.name);
            let source = sources.iter().find(|source| source.what == mapping.what).ok_or(OTHER)?;
            mapping.replace(source, self.options.trust_files).map_err(|why| {
                log::warn!(
                    "{}: a mapped part of BAR {} cannot be exchanged: {why}",
                    self.name,
                    mapping.region
                );
                OTHER
            })?;
        }
        Ok(())
    }
}
