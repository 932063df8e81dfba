//! A device that another process serves on a socket: a vfio-user client.
//!
//! - [`UserDevice`] is a [`Device`] whose registers are messages to the server, or memory of the server where it gives a
//!   file for it; whose DMA reaches memory through the files that regions have, or by message where they have none; whose
//!   interrupts are eventfds.
//! - [`Options`] says how much time the server gets, and whether a lost connection is made again.
//! - [`UserError`] is what can go wrong; once a device is in use, drivers see [`DeviceError`] and its latch of lost
//!   devices, as with any other.
//!
//! The protocol itself is `vfio_user_kit`'s; this is what makes a device of it. A server that ends, or breaks the
//! protocol, is a lost device at once: the first fault closes the latch, every register reads all ones.
//!
//! # A new connection
//!
//! With [`Options::reconnect`] a lost connection to a server that kept the device's state is made again, told of all
//! memory and interrupts, and drivers notice a pause. Accesses that were under way are repeated, so a register may be
//! read or written twice. A server that was started anew has a device in its power-on state: that is a lost device,
//! and [`UserDevice::reconnect`] gives it another life, for a driver that starts from the beginning.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::io::Errno;
use vfio_user_kit::client::{Client, ClientError, ClientOptions, Region};
use vfio_user_kit::proto::Capabilities;
use vfio_user_kit::proto::wire::{PCI_REGIONS, REGION_CONFIG};

use crate::addr::{Iova, IovaRange};
use crate::bar::Bar;
use crate::device::{Device, DeviceError, Lost};
use crate::dma::{Dma, DmaCaps, DmaError, DmaMapping, Fence, Unmapped};
use crate::irq::Irqs;

mod describe;
mod error;
mod irq;
mod link;
mod memory;
mod migration;
mod restore;
mod window;

use describe::{Description, Identity, identity, io_fds, sets_master};
use irq::Armed;
use link::Link;
use memory::{Memory, lock};
use restore::Supervisor;
use window::{Mapping, Source};

pub use error::UserError;

/// How a [`UserDevice`] treats its server.
#[derive(Clone, Debug)]
pub struct Options {
    client: ClientOptions,
    posted_writes: bool,
    map_bars: bool,
    trust_files: bool,
    reconnect: Option<Duration>,
}

impl Default for Options {
    /// Ten seconds for an answer; writes to registers are posted; parts of BARs are mapped where that is safe; a lost
    /// connection is a lost device.
    fn default() -> Options {
        Options {
            client: ClientOptions::default(),
            posted_writes: true,
            map_bars: true,
            trust_files: false,
            reconnect: None,
        }
    }
}

impl Options {
    /// Gives the server `limit` for each answer. A server that takes longer is a lost device.
    pub fn timeout(mut self, limit: Duration) -> Options {
        self.client.timeout = limit;
        self
    }

    /// Writes registers without waiting for an answer, as a bus posts writes, or with. Without is for servers that
    /// answer where no answer is wanted.
    pub fn posted_writes(mut self, on: bool) -> Options {
        self.posted_writes = on;
        self
    }

    /// Maps parts of BARs that the server gives a file for, or reaches all registers by message.
    pub fn map_bars(mut self, on: bool) -> Options {
        self.map_bars = on;
        self
    }

    /// Maps parts of BARs whose file could shrink, too. A server that shrinks it ends this process.
    pub fn trust_files(mut self, on: bool) -> Options {
        self.trust_files = on;
        self
    }

    /// Asks for a second socket for the server's own commands, or does not.
    pub fn twin_socket(mut self, on: bool) -> Options {
        self.client.twin_socket = on;
        self
    }

    /// Offers transfers of up to `bytes` in one message.
    pub fn max_transfer(mut self, bytes: u32) -> Options {
        self.client.max_data_xfer_size = bytes.max(8);
        self
    }

    /// Makes a lost connection again by itself, for up to `limit`. Writes to registers wait for their answer then, so
    /// that none is lost.
    pub fn reconnect(mut self, limit: Duration) -> Options {
        self.reconnect = Some(limit);
        self
    }
}

/// A device on a socket.
pub struct UserDevice {
    core: Arc<Core>,
    /// Ends before the connection does.
    supervisor: Option<Supervisor>,
}

/// What the device and its BARs share.
struct Core {
    name: String,
    path: Option<PathBuf>,
    options: Options,
    /// Register writes want no answer.
    posted: bool,
    link: Arc<Link>,
    memory: Arc<Memory>,
    armed: Armed,
    description: Mutex<Arc<Description>>,
    identity: Mutex<Identity>,
    /// Bus mastering was switched on, so a device that has it off lost its state.
    master: AtomicBool,
    /// Areas of BARs that are in use.
    mappings: Mutex<Vec<Weak<Mapping>>>,
}

impl UserDevice {
    /// Connects to the server that listens at `path`.
    ///
    /// # Errors
    /// When nobody answers there, or what answers is no PCI function that can be used.
    pub fn connect(path: &Path, options: &Options) -> Result<Arc<UserDevice>, UserError> {
        let core = Core::new(path.display().to_string(), Some(path.to_owned()), options);
        let core = core.begin(|host, options| Client::connect(path, options, host))?;
        let supervisor = match options.reconnect {
            Some(limit) => Some(Supervisor::start(&core, limit)?),
            None => None,
        };
        Ok(Arc::new(UserDevice { core, supervisor }))
    }

    /// Uses a connected socket, such as one inherited from a supervisor, under the name that users know the device by.
    /// Such a connection cannot be made again.
    ///
    /// # Errors
    /// When what answers is no PCI function that can be used.
    pub fn from_socket(name: &str, socket: OwnedFd, options: &Options) -> Result<Arc<UserDevice>, UserError> {
        let options = Options { reconnect: None, ..options.clone() };
        let core = Core::new(name.to_owned(), None, &options);
        let core = core.begin(|host, options| Client::from_socket(socket, options, host))?;
        Ok(Arc::new(UserDevice { core, supervisor: None }))
    }

    /// Returns why the device is lost, if it is.
    pub fn fault(&self) -> Option<UserError> {
        self.core.link.fault()
    }

    /// Returns what was agreed with the server.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn capabilities(&self) -> Result<Capabilities, UserError> {
        Ok(*self.core.link.client()?.capabilities())
    }

    /// Returns all regions: BARs 0 to 5, ROM, configuration space, VGA, and the device's own; those that are not there
    /// have no bytes.
    pub fn regions(&self) -> Vec<Region> {
        self.core.description().regions.clone()
    }

    /// Gives a lost device another life: connects to the same path again, and opens a new latch. Nothing is mapped in
    /// it and no interrupt is armed: [`IovaSpace::reattach`](crate::dma::IovaSpace::reattach) brings the memory back,
    /// and the driver starts from the beginning. BARs of the life before stay lost. Does nothing to a device that is not
    /// lost.
    ///
    /// # Errors
    /// When nobody answers, or another device does. It can be tried again.
    pub fn reconnect(&self) -> Result<(), UserError> {
        self.core.begin_again()
    }
}

impl Core {
    fn new(name: String, path: Option<PathBuf>, options: &Options) -> Core {
        Core {
            name,
            path,
            options: options.clone(),
            posted: options.posted_writes && options.reconnect.is_none(),
            link: Arc::new(Link::new(options.reconnect.is_some())),
            memory: Arc::new(Memory::new()),
            armed: Armed::default(),
            description: Mutex::new(Arc::new(Description::none())),
            identity: Mutex::default(),
            master: AtomicBool::new(false),
            mappings: Mutex::default(),
        }
    }

    /// Makes the first connection.
    fn begin(
        self,
        connect: impl FnOnce(Arc<link::Session>, &ClientOptions) -> Result<Client, ClientError>,
    ) -> Result<Arc<Core>, UserError> {
        let client = Arc::new(connect(self.link.session(&self.memory), &self.options.client)?);
        let description = Description::read(&client)?;
        *lock(&self.identity) = identity(&client)?;
        *lock(&self.description) = Arc::new(description);
        self.memory.agree(client.capabilities());
        self.link.up(client);
        Ok(Arc::new(self))
    }

    fn description(&self) -> Arc<Description> {
        lock(&self.description).clone()
    }

    /// Maps what can be mapped of a BAR.
    fn map(&self, region: &Region) -> Result<Vec<Arc<Mapping>>, UserError> {
        let io = self.link.ask(|client| io_fds(client, region.index))?;
        let mut mappings = Vec::new();
        for source in Source::all(region, &io, &self.name) {
            match Mapping::new(&source, self.options.trust_files) {
                Ok(mapping) => mappings.push(Arc::new(mapping)),
                Err(why) => {
                    log::info!("{}: a part of BAR {} is reached by message: {why}", self.name, region.index);
                }
            }
        }
        let mut all = lock(&self.mappings);
        all.retain(|mapping| mapping.strong_count() > 0);
        all.extend(mappings.iter().map(Arc::downgrade));
        Ok(mappings)
    }

    fn config_range(&self, offset: u16, len: usize) -> Result<(), DeviceError> {
        let size = self.description().region(REGION_CONFIG).map_or(0, |region| region.size);
        if u64::from(offset) + len as u64 <= size {
            return Ok(());
        }
        Err(DeviceError::ConfigRange { offset, len: u16::try_from(len).unwrap_or(u16::MAX) })
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl Drop for UserDevice {
    fn drop(&mut self) {
        self.core.link.stop();
        drop(self.supervisor.take());
    }
}

impl Device for UserDevice {
    fn name(&self) -> &str {
        &self.core.name
    }

    fn lost(&self) -> &Lost {
        self.core.link.latch()
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        const BARS: u32 = 6;
        let description = self.core.description();
        let region = description.region(index.into()).filter(|_| u32::from(index) < BARS.min(PCI_REGIONS));
        window::bar(&self.core, region.ok_or(DeviceError::NoBar { index })?)
    }

    fn dma(&self) -> &dyn Dma {
        self
    }

    fn irqs(&self) -> Option<&dyn Irqs> {
        Some(self)
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.core.config_range(offset, data.len())?;
        let len = data.len();
        let read = self.core.link.ask(|client| {
            let mut bytes = vec![0; len];
            client.region_read(REGION_CONFIG, offset.into(), &mut bytes)?;
            Ok(bytes)
        })?;
        data.copy_from_slice(&read);
        Ok(())
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        self.core.config_range(offset, data.len())?;
        self.core.link.ask(|client| client.region_write(REGION_CONFIG, offset.into(), data))?;
        if let Some(on) = sets_master(offset, data) {
            self.core.master.store(on, Ordering::Relaxed);
        }
        Ok(())
    }

    fn reset(&self) -> Result<(), DeviceError> {
        if !self.core.description().can_reset {
            return Err(DeviceError::Unsupported { what: "function reset" });
        }
        self.core.link.ask(|client| client.reset())?;
        self.core.master.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Dma for UserDevice {
    fn caps(&self) -> DmaCaps {
        self.core.memory.caps()
    }

    fn map(&self, mapping: &DmaMapping<'_>) -> Result<(), DmaError> {
        let Core { memory, link, .. } = &*self.core;
        let iova = mapping.iova();
        memory.add(mapping)?;
        link.ask(|client| memory.tell(client, iova)).map_err(|error| {
            memory.remove(iova, None);
            match error {
                UserError::Client(ClientError::Refused { errno: Errno::EXIST, .. }) => {
                    let range =
                        IovaRange::new(iova, mapping.len()).unwrap_or(IovaRange { first: iova, last: iova });
                    DmaError::IovaInUse { range }
                }
                UserError::Client(ClientError::Refused { errno: Errno::NOSPC, .. }) => {
                    DmaError::EntryLimit { limit: memory.caps().max_mappings.unwrap_or(u32::MAX) }
                }
                error => DeviceError::from(error).into(),
            }
        })
    }

    fn unmap(&self, iova: Iova, len: u64) -> Result<Unmapped, DmaError> {
        let Core { memory, link, .. } = &*self.core;
        let has_file = memory.has_file(iova, len).ok_or(DmaError::NotMapped { iova, len })?;
        let result = link.ask(|client| {
            client.dma_unmap(iova.0, len)?;
            Ok(memory.remove(iova, Some(client)))
        });
        match result {
            Ok(false) => {}
            // The connection was made anew in between, and the new server was told of it.
            Ok(true) => link.ask(|client| client.dma_unmap(iova.0, len)).map_err(DeviceError::from)?,
            // Refused by a server that has the file: it may go on using the memory.
            Err(UserError::Client(error)) if has_file && !error.ends_connection() => {
                return Err(DeviceError::from(UserError::from(error)).into());
            }
            // Nobody is left to answer, or it was refused. What the server has no file of, it can reach no more.
            Err(_) => {
                memory.remove(iova, None);
                if has_file {
                    return Ok(Unmapped::Unfenced);
                }
            }
        }
        // SAFETY: 1. the server said that its device lets go of the memory, or never could reach it but through this
        // process; 2. it is not in the table any more, so no message reaches it, and copies that were under way have
        // ended, because they hold the table's lock.
        Ok(Unmapped::Fenced(unsafe { Fence::new() }))
    }
}

impl core::fmt::Debug for UserDevice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UserDevice")
            .field("name", &self.core.name)
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}
