//! Commands: what each checks, does and answers.
//!
//! Every command gets exactly one answer, an error's being the header alone, unless the client wants none. A
//! payload that is shorter than its structure, or longer than what the structure says, is `EINVAL`.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Server;
use super::info::Answer;
use super::logger::say;
use super::migration::Progress;
use crate::context::IrqKind;
use crate::model::{DeviceModel, ResetKind};
use crate::proto::wire::{
    self, DEVICE_PCI, DEVICE_RESET, DMA_READ, DMA_WRITE, DeviceInfo, DmaMap, DmaUnmap, ERROR, IrqInfo,
    IrqSet, MultiWrite, NO_REPLY, PCI_IRQS, PCI_REGIONS, REGION_READ, REGION_WRITE, RegionAccess, RegionInfo,
    RegionIoFds, TYPE_COMMAND, TYPE_MASK, TYPE_REPLY, UNMAP_ALL,
};
use crate::proto::{Capabilities, Channel, Command, Header, Message, TwinSocket};

/// The newest minor version that is spoken.
const MINOR: u16 = 2;

impl Answer {
    fn empty() -> Answer {
        Answer { body: Vec::new(), fds: Vec::new() }
    }

    fn of<T: IntoBytes + Immutable>(structure: &T) -> Answer {
        Answer { body: structure.as_bytes().to_vec(), fds: Vec::new() }
    }
}

impl<M: DeviceModel> Server<M> {
    /// Carries a command out and answers it, or holds it until the model is at rest.
    pub(super) fn handle(&mut self, message: Message, since: Instant) {
        let header = message.header;
        let result = match self.check(&message) {
            Err(errno) => Err(errno),
            Ok(command) if needs_rest(command) => {
                let ready = self.quiesced() && self.let_go(command, &message.body);
                if !ready && since.elapsed() < self.options.quiesce_limit {
                    self.held = Some((message, since));
                    return;
                }
                let result = if ready { self.execute(command, message) } else { Err(Errno::BUSY) };
                let Server { model, core, .. } = self;
                model.resume(&mut core.context());
                result
            }
            Ok(command) => self.execute(command, message),
        };
        match &result {
            Ok(_) => self.stats.commands += 1,
            Err(errno) => {
                self.stats.errors += 1;
                say!(self.core.logger, Debug, "command {} is refused: {errno}", header.command);
            }
        }
        if header.flags & NO_REPLY == 0 {
            self.reply(&header, result);
        }
    }

    /// Checks what does not depend on the command.
    fn check(&self, message: &Message) -> Result<Command, Errno> {
        if let Some(errno) = message.refused {
            return Err(errno);
        }
        if message.header.flags & TYPE_MASK != TYPE_COMMAND {
            return Err(Errno::INVAL);
        }
        let command = Command::try_from(message.header.command).map_err(|_| Errno::NOSYS)?;
        let agreed = self.agreed().is_some();
        if agreed == (command == Command::Version) {
            return Err(Errno::INVAL);
        }
        let takes_fds = matches!(command, Command::DmaMap | Command::DeviceSetIrqs);
        if !message.fds.is_empty() && !takes_fds {
            return Err(Errno::INVAL);
        }
        Ok(command)
    }

    fn quiesced(&mut self) -> bool {
        let Server { model, core, .. } = self;
        model.quiesce(&mut core.context())
    }

    /// Asks the model for the memory that a command is about to take away. Returns whether it holds none of it.
    fn let_go(&mut self, command: Command, body: &[u8]) -> bool {
        let Ok(unmap) = exact::<DmaUnmap>(body) else { return true };
        let wanted = match unmap.flags {
            _ if command != Command::DmaUnmap => return true,
            0 => Some((unmap.address, unmap.size)),
            _ => None,
        };
        let Server { model, core, .. } = self;
        for range in core.table.held(wanted) {
            model.dma_wanted(&mut core.context(), range);
        }
        core.table.held(wanted).is_empty()
    }

    fn reply(&mut self, request: &Header, result: Result<Answer, Errno>) {
        let Header { id, command, .. } = *request;
        let mut peer = self.core.peer.borrow_mut();
        let Some(peer) = &mut *peer else { return };
        match result {
            Ok(Answer { body, fds }) => {
                peer.send(Header { id, command, size: 0, flags: TYPE_REPLY, errno: 0 }, &body, fds);
            }
            Err(errno) => {
                let errno = errno.raw_os_error().unsigned_abs();
                peer.send(Header { id, command, size: 0, flags: TYPE_REPLY | ERROR, errno }, &[], Vec::new());
            }
        }
    }

    fn execute(&mut self, command: Command, message: Message) -> Result<Answer, Errno> {
        let Message { body, fds, .. } = message;
        match command {
            Command::Version => self.version(&body),
            Command::DmaMap => self.dma_map(exact(&body)?, fds),
            Command::DmaUnmap => self.dma_unmap(exact(&body)?),
            Command::DeviceGetInfo => device_info(exact(&body)?),
            Command::DeviceGetRegionInfo => {
                // Clients send the room they have for the answer along, and what is in it means nothing.
                let (request, _) = RegionInfo::read_from_prefix(&body).map_err(|_| Errno::INVAL)?;
                self.regions.describe(&request, self.peer_fds())
            }
            Command::DeviceGetRegionIoFds => {
                let (request, _) = RegionIoFds::read_from_prefix(&body).map_err(|_| Errno::INVAL)?;
                self.regions.describe_io_fds(&request, self.peer_fds(), &self.core.spec, &self.core.bells)
            }
            Command::DeviceGetIrqInfo => self.irq_info(exact(&body)?),
            Command::DeviceSetIrqs => self.set_irqs(&body, fds),
            Command::RegionRead => self.read(exact(&body)?),
            Command::RegionWrite => self.write(&body),
            Command::RegionWriteMulti => self.write_multi(&body),
            Command::DeviceReset => {
                empty(&body)?;
                self.device_reset();
                Ok(Answer::empty())
            }
            // These go from a server to a client.
            Command::DmaRead | Command::DmaWrite => Err(Errno::INVAL),
            Command::DeviceFeature => self.feature(&body),
            Command::MigDataRead => self.migration_read(&body),
            Command::MigDataWrite => self.migration_write(&body),
        }
    }

    fn agreed(&self) -> Option<Capabilities> {
        self.core.peer.borrow().as_ref()?.agreed
    }

    /// Returns how many descriptors the client takes with one message.
    fn peer_fds(&self) -> usize {
        self.agreed().map_or(1, |agreed| agreed.max_msg_fds as usize)
    }

    fn version(&mut self, body: &[u8]) -> Result<Answer, Errno> {
        let (version, json) = wire::Version::read_from_prefix(body).map_err(|_| Errno::INVAL)?;
        if version.major != 0 {
            return Err(Errno::NOTSUP);
        }
        let theirs = Capabilities::parse(json).map_err(|error| {
            say!(self.core.logger, Warning, "VERSION is refused: {error}");
            Errno::INVAL
        })?;
        let options = &self.options;
        let twin = if theirs.twin_socket.supported && options.twin_socket && theirs.max_msg_fds > 0 {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // The client chooses for its own end whether it waits.
            let (mine, yours) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            Some((mine, yours))
        } else {
            None
        };
        // The reply is a subset of the proposal: QEMU refuses a server that offers more than it asked for.
        let ours = Capabilities {
            max_msg_fds: options.max_msg_fds,
            max_data_xfer_size: u64::from(options.max_data_xfer_size).min(theirs.max_data_xfer_size),
            max_dma_maps: options.max_dma_maps.min(theirs.max_dma_maps),
            pgsizes: theirs.pgsizes & (u64::MAX << 12),
            twin_socket: TwinSocket { supported: twin.is_some(), fd_index: twin.is_some().then_some(0) },
            write_multiple: theirs.write_multiple,
            migration_pgsize: theirs.migration_pgsize.filter(|_| self.model.migration().is_some()),
        };
        if ours.pgsizes == 0 {
            return Err(Errno::INVAL);
        }
        let reply = wire::Version { major: 0, minor: version.minor.min(MINOR) };
        let mut body = reply.as_bytes().to_vec();
        body.extend_from_slice(&ours.to_json());
        let limits = self.limits();
        let mut fds = Vec::new();
        let mut peer = self.core.peer.borrow_mut();
        let Some(peer) = &mut *peer else { return Err(Errno::NOTCONN) };
        if let Some((mine, yours)) = twin {
            peer.twin = Some(Channel::new(mine, limits));
            fds.push(Arc::new(yours));
        }
        let xfer = theirs.max_data_xfer_size.min(ours.max_data_xfer_size).max(1);
        peer.agreed = Some(Capabilities { max_data_xfer_size: xfer, ..theirs });
        Ok(Answer { body, fds })
    }

    fn dma_map(&mut self, map: DmaMap, mut fds: Vec<OwnedFd>) -> Result<Answer, Errno> {
        if (map.argsz as usize) < size_of::<DmaMap>()
            || map.flags & !(DMA_READ | DMA_WRITE) != 0
            || fds.len() > 1
        {
            return Err(Errno::INVAL);
        }
        if self.core.spec.no_dma {
            return Ok(Answer::empty());
        }
        let rights = (map.flags & DMA_READ != 0, map.flags & DMA_WRITE != 0);
        let file = fds.pop().map(|fd| (fd, map.offset));
        let Server { model, core, .. } = self;
        core.table.map(map.address, map.size, rights, file)?;
        if let Some(range) = core.table.exact(map.address, map.size) {
            model.dma_mapped(&mut core.context(), range);
        }
        Ok(Answer::empty())
    }

    fn dma_unmap(&mut self, unmap: DmaUnmap) -> Result<Answer, Errno> {
        if (unmap.argsz as usize) < size_of::<DmaUnmap>() {
            return Err(Errno::INVAL);
        }
        let Server { model, core, .. } = self;
        match unmap.flags {
            0 if core.spec.no_dma => {}
            0 => {
                let range = core.table.exact(unmap.address, unmap.size).ok_or(Errno::NOENT)?;
                model.dma_unmapped(&mut core.context(), range);
                core.table.unmap(unmap.address, unmap.size)?;
            }
            UNMAP_ALL if unmap.address == 0 && unmap.size == 0 => {
                for range in core.table.ranges() {
                    model.dma_unmapped(&mut core.context(), range);
                }
                core.table.clear();
            }
            _ => return Err(Errno::INVAL),
        }
        *core.recent.borrow_mut() = [None, None];
        Ok(Answer::of(&unmap))
    }

    fn irq_info(&self, request: IrqInfo) -> Result<Answer, Errno> {
        if (request.argsz as usize) < size_of::<IrqInfo>() {
            return Err(Errno::INVAL);
        }
        let kind = IrqKind::from_index(request.index).ok_or(Errno::INVAL)?;
        let vectors = self.core.vectors.borrow();
        let argsz = size_of::<IrqInfo>() as u32;
        Ok(Answer::of(&IrqInfo {
            argsz,
            flags: vectors.flags(kind),
            index: request.index,
            count: vectors.count(kind),
        }))
    }

    fn set_irqs(&mut self, body: &[u8], fds: Vec<OwnedFd>) -> Result<Answer, Errno> {
        let (set, data) = IrqSet::read_from_prefix(body).map_err(|_| Errno::INVAL)?;
        if (set.argsz as usize) < size_of::<IrqSet>() {
            return Err(Errno::INVAL);
        }
        let Server { model, core, .. } = self;
        for (kind, vector, masked) in core.set_irqs(&set, data, fds)? {
            model.irq_masked(&mut core.context(), kind, vector, masked);
        }
        Ok(Answer::empty())
    }

    fn read(&mut self, request: RegionAccess) -> Result<Answer, Errno> {
        let count = self.data_count(request.count)?;
        self.check_range(request.region, request.offset, count, REGION_READ)?;
        let mut body = request.as_bytes().to_vec();
        body.resize(size_of::<RegionAccess>() + count, 0);
        let data = &mut body[size_of::<RegionAccess>()..];
        self.region_read(request.region, request.offset, data)?;
        Ok(Answer { body, fds: Vec::new() })
    }

    fn write(&mut self, body: &[u8]) -> Result<Answer, Errno> {
        let (request, data) = RegionAccess::read_from_prefix(body).map_err(|_| Errno::INVAL)?;
        if self.data_count(request.count)? != data.len() {
            return Err(Errno::INVAL);
        }
        self.check_range(request.region, request.offset, data.len(), REGION_WRITE)?;
        self.region_write(request.region, request.offset, data)?;
        Ok(Answer::of(&request))
    }

    /// All writes are checked before the first is done.
    fn write_multi(&mut self, body: &[u8]) -> Result<Answer, Errno> {
        if !self.agreed().is_some_and(|agreed| agreed.write_multiple) {
            return Err(Errno::NOTSUP);
        }
        let (count, writes) = u64::read_from_prefix(body).map_err(|_| Errno::INVAL)?;
        let (writes, rest) = writes.as_chunks::<{ size_of::<MultiWrite>() }>();
        if count != writes.len() as u64 || !rest.is_empty() {
            return Err(Errno::INVAL);
        }
        let writes: Vec<MultiWrite> =
            writes.iter().filter_map(|bytes| MultiWrite::read_from_bytes(bytes).ok()).collect();
        for write in &writes {
            if write.count > 8 {
                return Err(Errno::INVAL);
            }
            self.check_range(write.region, write.offset, write.count as usize, REGION_WRITE)?;
        }
        for write in &writes {
            self.region_write(write.region, write.offset, &write.data[..write.count as usize])?;
        }
        Ok(Answer::of(&count))
    }

    /// Checks a count of data bytes against what was agreed.
    fn data_count(&self, count: u32) -> Result<usize, Errno> {
        if count > self.options.max_data_xfer_size { Err(Errno::INVAL) } else { Ok(count as usize) }
    }

    /// Resets the device as the kernel's VFIO does: bus mastering is off, addresses and interrupts are as they were.
    fn device_reset(&mut self) {
        let Server { model, core, .. } = self;
        core.change(|function, _| function.set_bus_master(false));
        model.reset(&mut core.context(), ResetKind::Function);
        self.migration = Progress::default();
        self.running = true;
    }
}

fn device_info(request: DeviceInfo) -> Result<Answer, Errno> {
    if (request.argsz as usize) < size_of::<DeviceInfo>() {
        return Err(Errno::INVAL);
    }
    Ok(Answer::of(&DeviceInfo {
        argsz: size_of::<DeviceInfo>() as u32,
        flags: DEVICE_RESET | DEVICE_PCI,
        regions: PCI_REGIONS,
        irqs: PCI_IRQS,
    }))
}

/// Returns whether memory or state changes under the device.
fn needs_rest(command: Command) -> bool {
    use Command::{DeviceFeature, DeviceReset, DmaMap, DmaUnmap};
    matches!(command, DmaMap | DmaUnmap | DeviceReset | DeviceFeature)
}

/// Returns a payload that is exactly one structure.
fn exact<T: FromBytes + KnownLayout + Immutable>(body: &[u8]) -> Result<T, Errno> {
    T::read_from_bytes(body).map_err(|_| Errno::INVAL)
}

fn empty(body: &[u8]) -> Result<(), Errno> {
    if body.is_empty() { Ok(()) } else { Err(Errno::INVAL) }
}
