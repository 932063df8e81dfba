//! The device and its regions: GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, REGION_READ, REGION_WRITE,
//! REGION_WRITE_MULTI, RESET.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::{Client, ClientError};
use crate::proto::wire::{
    CAP_SPARSE_MMAP, CapHeader, DeviceInfo, IO_FD_EVENT, IO_FD_SHADOW, IOEVENTFD_DATAMATCH, IoFd, MultiWrite,
    NO_FD, REGION_CAPS, REGION_MMAP, RegionAccess, RegionInfo, RegionIoFds, SparseArea, SparseHeader,
};
use crate::proto::{Command, Message};

/// Bytes of a description of a region with everything that belongs to it: more than 4,000 areas.
const MAX_DESCRIPTION: u32 = 64 << 10;
const PAGE: u64 = 4096;

/// A region of the device.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its number.
    pub index: u32,
    /// Flags such as [`REGION_READ`](crate::proto::wire::REGION_READ).
    pub flags: u32,
    /// Its size in bytes, 0 if it is not there.
    pub size: u64,
    /// The parts that can be mapped: whole pages inside of the region, sorted, disjoint.
    pub areas: Vec<Area>,
    /// The capabilities other than the list of areas.
    pub capabilities: Vec<RegionCapability>,
}

/// A part of a region that can be mapped.
#[derive(Clone, Debug)]
pub struct Area {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The file to map, and where in it the area starts; `None` if the server sent none.
    pub file: Option<(Arc<OwnedFd>, u64)>,
}

/// A capability of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionCapability {
    /// Which one, [`CAP_TYPE`](crate::proto::wire::CAP_TYPE) for one.
    pub id: u16,
    /// Its version.
    pub version: u16,
    /// What follows its header, up to the next one or the end.
    pub data: Vec<u8>,
}

/// A part of a region where a write can be an eventfd's signal.
#[derive(Clone, Debug)]
pub struct IoEvent {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The eventfd.
    pub fd: Arc<OwnedFd>,
    /// Only a write of this value is a signal.
    pub datamatch: Option<u64>,
}

/// A part of a region whose registers the server has in memory that it looks at by itself.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The memory.
    pub file: Arc<OwnedFd>,
    /// Where in the file the part is, in bytes.
    pub file_offset: u64,
}

/// The parts of a region where a write needs no message.
#[derive(Clone, Debug, Default)]
pub struct IoFds {
    /// Where it can be a signal.
    pub events: Vec<IoEvent>,
    /// Where it can be a store.
    pub shadows: Vec<Shadow>,
}

/// One of several writes.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The region.
    pub region: u32,
    /// From the start of the region, in bytes.
    pub offset: u64,
    /// Up to 8 bytes.
    pub data: &'a [u8],
}

impl Client {
    /// Returns what the device is.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn device_info(&self) -> Result<DeviceInfo, ClientError> {
        let request = DeviceInfo { argsz: size_of::<DeviceInfo>() as u32, flags: 0, regions: 0, irqs: 0 };
        let reply = self.link.request(Command::DeviceGetInfo, request.as_bytes(), Vec::new())?;
        DeviceInfo::read_from_bytes(&reply.body).map_err(|_| self.bad_length(Command::DeviceGetInfo))
    }

    /// Returns what a region is, and where it can be mapped.
    ///
    /// # Errors
    /// When the server refuses, or describes a region that cannot be.
    pub fn region_info(&self, index: u32) -> Result<Region, ClientError> {
        const COMMAND: Command = Command::DeviceGetRegionInfo;
        let mut argsz = size_of::<RegionInfo>() as u32;
        loop {
            let request = RegionInfo { argsz, flags: 0, index, cap_offset: 0, size: 0, offset: 0 };
            let reply = self.link.request(COMMAND, request.as_bytes(), Vec::new())?;
            let Ok((info, _)) = RegionInfo::read_from_prefix(&reply.body) else {
                return Err(self.bad_length(COMMAND));
            };
            if info.index != index {
                return Err(self.link.bad(COMMAND, "it is about another region"));
            }
            if info.argsz > argsz {
                if argsz > size_of::<RegionInfo>() as u32 || info.argsz > MAX_DESCRIPTION {
                    return Err(self.link.bad(COMMAND, "it needs ever more room"));
                }
                argsz = info.argsz;
                continue;
            }
            return describe(&info, reply).map_err(|what| self.link.bad(COMMAND, what));
        }
    }

    /// Returns where writes to a region need no message.
    ///
    /// # Errors
    /// When the server refuses, or describes what cannot be.
    pub fn region_io_fds(&self, index: u32) -> Result<IoFds, ClientError> {
        const COMMAND: Command = Command::DeviceGetRegionIoFds;
        let mut argsz = size_of::<RegionIoFds>() as u32;
        loop {
            let request = RegionIoFds { argsz, flags: 0, index, count: 0 };
            let reply = self.link.request(COMMAND, request.as_bytes(), Vec::new())?;
            let Ok((head, entries)) = RegionIoFds::read_from_prefix(&reply.body) else {
                return Err(self.bad_length(COMMAND));
            };
            if head.index != index {
                return Err(self.link.bad(COMMAND, "it is about another region"));
            }
            if head.argsz > argsz {
                if argsz > size_of::<RegionIoFds>() as u32 || head.argsz > MAX_DESCRIPTION {
                    return Err(self.link.bad(COMMAND, "it needs ever more room"));
                }
                argsz = head.argsz;
                continue;
            }
            let (count, entries) = (head.count, entries.to_vec());
            let result = io_fds(count, &entries, reply.fds.into_iter().map(Arc::new).collect());
            return result.map_err(|what| self.link.bad(COMMAND, what));
        }
    }

    /// Fills `data` from a region. What is larger than a message may be is read in several.
    ///
    /// # Errors
    /// When the server refuses, `EINVAL` for what is not in the region.
    pub fn region_read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), ClientError> {
        let mut at = offset;
        for part in data.chunks_mut(self.max_transfer()) {
            let request = RegionAccess { offset: at, region, count: part.len() as u32 };
            let reply = self.link.request(Command::RegionRead, request.as_bytes(), Vec::new())?;
            match RegionAccess::read_from_prefix(&reply.body) {
                Ok((echo, got)) if echo == request && got.len() == part.len() => part.copy_from_slice(got),
                _ => return Err(self.link.bad(Command::RegionRead, "it is not what was asked for")),
            }
            at = at.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    /// Writes `data` to a region, and waits until it is done.
    ///
    /// # Errors
    /// When the server refuses, `EINVAL` for what is not in the region.
    pub fn region_write(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), ClientError> {
        let mut at = offset;
        for part in data.chunks(self.max_transfer()) {
            let (request, body) = write_body(region, at, part);
            let reply = self.link.request(Command::RegionWrite, &body, Vec::new())?;
            if reply.body != request.as_bytes() {
                return Err(self.link.bad(Command::RegionWrite, "it is not what was asked for"));
            }
            at = at.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    /// Writes `data` to a region without waiting until it is done, as a bus posts a write. What is asked after it
    /// happens after it. Nobody hears if the server refuses it.
    ///
    /// # Errors
    /// When the connection is over, or the server takes nothing for too long.
    pub fn region_post(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), ClientError> {
        let mut at = offset;
        for part in data.chunks(self.max_transfer()) {
            let (_, body) = write_body(region, at, part);
            self.link.post(Command::RegionWrite, &body)?;
            at = at.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    /// Does several writes with one message, in order, and waits until they are done.
    ///
    /// # Errors
    /// [`ClientError::NotOffered`] if it was not agreed on; when a write has more than 8 bytes; when the server
    /// refuses: none was done then, if it is ours.
    pub fn region_write_multi(&self, writes: &[Write<'_>]) -> Result<(), ClientError> {
        let body = self.multi_body(writes)?;
        let reply = self.link.request(Command::RegionWriteMulti, &body, Vec::new())?;
        if reply.body != (writes.len() as u64).as_bytes() {
            return Err(self.link.bad(Command::RegionWriteMulti, "it counts other writes"));
        }
        Ok(())
    }

    /// Does several writes with one message, in order, without waiting.
    ///
    /// # Errors
    /// As for [`region_write_multi`](Self::region_write_multi), but nobody hears if the server refuses.
    pub fn region_post_multi(&self, writes: &[Write<'_>]) -> Result<(), ClientError> {
        let body = self.multi_body(writes)?;
        self.link.post(Command::RegionWriteMulti, &body)
    }

    /// Resets the device. Its DMA has stopped when this returns.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn reset(&self) -> Result<(), ClientError> {
        self.expect_empty(Command::DeviceReset, &[], Vec::new())
    }

    fn multi_body(&self, writes: &[Write<'_>]) -> Result<Vec<u8>, ClientError> {
        const COMMAND: Command = Command::RegionWriteMulti;
        if !self.agreed.write_multiple {
            return Err(ClientError::NotOffered { what: "several writes in one message" });
        }
        if size_of::<u64>() + writes.len() * size_of::<MultiWrite>() > self.max_transfer() {
            return Err(ClientError::Invalid { command: COMMAND, what: "too many writes for one message" });
        }
        let mut body = (writes.len() as u64).as_bytes().to_vec();
        for &Write { region, offset, data } in writes {
            let mut bytes = [0; 8];
            let Some(place) = bytes.get_mut(..data.len()) else {
                return Err(ClientError::Invalid { command: COMMAND, what: "a write has more than 8 bytes" });
            };
            place.copy_from_slice(data);
            let write = MultiWrite { offset, region, count: data.len() as u32, data: bytes };
            body.extend_from_slice(write.as_bytes());
        }
        Ok(body)
    }

    /// Asks for something whose answer has nothing in it.
    pub(super) fn expect_empty(
        &self,
        command: Command,
        body: &[u8],
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<(), ClientError> {
        let reply = self.link.request(command, body, fds)?;
        if reply.body.is_empty() { Ok(()) } else { Err(self.bad_length(command)) }
    }

    pub(super) fn bad_length(&self, command: Command) -> ClientError {
        self.link.bad(command, "it has another length than it must")
    }

    /// Returns how many bytes one message may carry.
    pub(super) fn max_transfer(&self) -> usize {
        usize::try_from(self.agreed.max_data_xfer_size).unwrap_or(usize::MAX)
    }
}

fn write_body(region: u32, offset: u64, data: &[u8]) -> (RegionAccess, Vec<u8>) {
    let request = RegionAccess { offset, region, count: data.len() as u32 };
    let mut body = request.as_bytes().to_vec();
    body.extend_from_slice(data);
    (request, body)
}

/// Reads a description that is complete.
fn describe(info: &RegionInfo, reply: Message) -> Result<Region, &'static str> {
    let Message { body, fds, .. } = reply;
    let (mut listed, mut capabilities) = (None, Vec::new());
    let mut at = if info.flags & REGION_CAPS != 0 { info.cap_offset as usize } else { 0 };
    while at != 0 {
        let rest = body.get(at..).filter(|_| at >= size_of::<RegionInfo>());
        let Some((head, data)) = rest.and_then(|rest| CapHeader::read_from_prefix(rest).ok()) else {
            return Err("a capability is outside of it");
        };
        let next = head.next as usize;
        if next != 0 && next < at + size_of::<CapHeader>() {
            return Err("its capabilities do not end");
        }
        let data = match next {
            0 => data,
            _ => data.get(..next - at - size_of::<CapHeader>()).ok_or("a capability is outside of it")?,
        };
        if head.id == CAP_SPARSE_MMAP {
            listed = Some(sparse(data)?);
        } else {
            capabilities.push(RegionCapability { id: head.id, version: head.version, data: data.to_vec() });
        }
        at = next;
    }
    let RegionInfo { flags, index, size, offset, .. } = *info;
    let mut areas = match listed {
        _ if flags & REGION_MMAP == 0 => Vec::new(),
        Some(areas) => areas,
        None if size > 0 => vec![SparseArea { offset: 0, size }],
        None => Vec::new(),
    };
    if fds.len() > 1 && fds.len() != areas.len() {
        return Err("there are not as many descriptors as areas");
    }
    let files: Vec<Arc<OwnedFd>> = fds.into_iter().map(Arc::new).collect();
    let file = |at: usize| if files.len() > 1 { files.get(at) } else { files.first() };
    let with_file = areas.drain(..).enumerate().map(|(at, area)| {
        // A region is mapped at its own offset from where the region starts in the file, which may be before it.
        let file = file(at).map(|file| (file.clone(), offset.wrapping_add(area.offset)));
        Area { offset: area.offset, size: area.size, file }
    });
    let mut areas: Vec<Area> = with_file.filter(|area| area.size > 0).collect();
    areas.sort_by_key(|area| area.offset);
    let mut end = 0;
    for area in &areas {
        let last = area.offset.checked_add(area.size).filter(|&last| last <= size);
        let whole = (area.offset | area.size).is_multiple_of(PAGE);
        if area.offset < end || !whole {
            return Err("its areas overlap, or are not whole pages");
        }
        end = last.ok_or("an area is outside of the region")?;
    }
    Ok(Region { index, flags, size, areas, capabilities })
}

fn sparse(data: &[u8]) -> Result<Vec<SparseArea>, &'static str> {
    const SHORT: &str = "its list of areas is too short";
    let (head, areas) = SparseHeader::read_from_prefix(data).map_err(|_| SHORT)?;
    let (areas, _) = areas.as_chunks::<{ size_of::<SparseArea>() }>();
    let areas = areas.get(..head.areas as usize).ok_or(SHORT)?;
    areas.iter().map(|bytes| SparseArea::read_from_bytes(bytes).map_err(|_| SHORT)).collect()
}

fn io_fds(count: u32, entries: &[u8], fds: Vec<Arc<OwnedFd>>) -> Result<IoFds, &'static str> {
    const LENGTH: &str = "it has another length than it must";
    let (entries, rest) = entries.as_chunks::<{ size_of::<IoFd>() }>();
    if entries.len() != count as usize || !rest.is_empty() {
        return Err(LENGTH);
    }
    let fd = |index: u32| fds.get(index as usize).cloned().ok_or("a descriptor is missing");
    let mut result = IoFds::default();
    for bytes in entries {
        let IoFd { offset, size, fd_index, kind, flags, padding, datamatch } =
            IoFd::read_from_bytes(bytes).map_err(|_| LENGTH)?;
        match kind {
            IO_FD_EVENT => {
                let datamatch = (flags & IOEVENTFD_DATAMATCH != 0).then_some(datamatch);
                result.events.push(IoEvent { offset, size, fd: fd(fd_index)?, datamatch });
            }
            // With an eventfd to be signalled, a store is not enough.
            IO_FD_SHADOW if fd_index == NO_FD => {
                result.shadows.push(Shadow { offset, size, file: fd(padding)?, file_offset: datamatch });
            }
            // There are other kinds, and there may be more.
            _ => {}
        }
    }
    Ok(result)
}
