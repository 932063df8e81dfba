//! What a client is told of regions, and the descriptors that go with it.
//!
//! Key type: [`Regions`]. It knows sizes and flags of all regions, the areas of BARs that can be mapped, and the
//! registers that take their writes by eventfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::ServerError;
use super::bells::Bells;
use super::dma::PAGE;
use crate::model::{DeviceModel, NotifyArea, SharedArea};
use crate::proto::wire::{
    CAP_SPARSE_MMAP, CapHeader, IO_FD_EVENT, IO_FD_SHADOW, IOEVENTFD_DATAMATCH, IoFd, NO_FD, PCI_REGIONS,
    REGION_CAPS, REGION_MMAP, REGION_READ, REGION_WRITE, RegionInfo, RegionIoFds, SparseArea, SparseHeader,
};
use crate::spec::{OneWay, Spec};

/// The regions of a function.
pub(super) struct Regions {
    sizes: [u64; PCI_REGIONS as usize],
    flags: [u32; PCI_REGIONS as usize],
    shared: Vec<SharedArea>,
    notify: Vec<(NotifyArea, Arc<OwnedFd>)>,
}

/// An answer with descriptors.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) fds: Vec<Arc<OwnedFd>>,
}

impl Regions {
    pub(super) fn new<M: DeviceModel>(spec: &Spec, model: &M) -> Result<Regions, ServerError> {
        let mut sizes = [0; PCI_REGIONS as usize];
        let mut flags = [REGION_READ | REGION_WRITE; PCI_REGIONS as usize];
        for (index, (size, flags)) in (0..).zip(sizes.iter_mut().zip(&mut flags)) {
            *size = match index {
                Spec::CONFIG => spec.pci_type.config_bytes().into(),
                _ => spec.region_bytes(index),
            };
            match spec.one_way(index) {
                _ if *size == 0 => *flags = 0,
                None => {}
                Some(OneWay::ReadOnly) => *flags = REGION_READ,
                Some(OneWay::WriteOnly) => *flags = REGION_WRITE,
            }
        }
        let mut shared = model.shared_areas();
        shared.sort_by_key(|area| (area.bar, area.offset));
        for (at, area) in shared.iter().enumerate() {
            let size = spec.region_bytes(area.bar);
            let inside = area.offset.checked_add(area.len).is_some_and(|end| end <= size);
            let pages = (area.offset | area.len | area.file_offset).is_multiple_of(PAGE) && area.len > 0;
            let before = at.checked_sub(1).and_then(|at| shared.get(at));
            let apart =
                before.is_none_or(|other| other.bar != area.bar || other.offset + other.len <= area.offset);
            if !inside || !pages || !apart {
                return Err(ServerError::Area { bar: area.bar, offset: area.offset });
            }
            let start = |area: &SharedArea| area.file_offset.wrapping_sub(area.offset);
            if before.is_some_and(|other| other.bar == area.bar && start(other) != start(area)) {
                return Err(ServerError::AreaFiles { bar: area.bar, offset: area.offset });
            }
        }
        let mut notify = Vec::new();
        for area in model.notify_areas() {
            let size = spec.bar(area.bar).map_or(0, |bar| bar.size);
            let inside = area.offset.checked_add(area.len.into()).is_some_and(|end| end <= size);
            if !inside || !matches!(area.len, 1 | 2 | 4 | 8) {
                return Err(ServerError::Area { bar: area.bar, offset: area.offset });
            }
            let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|errno| ServerError::System { what: "make an eventfd", errno })?;
            notify.push((area, Arc::new(fd)));
        }
        Ok(Regions { sizes, flags, shared, notify })
    }

    /// Returns the areas that can be mapped.
    pub(super) fn shared(&self) -> &[SharedArea] {
        &self.shared
    }

    /// Returns the flags of a region: whether it can be read and written.
    pub(super) fn flags(&self, region: u32) -> u32 {
        self.flags.get(region as usize).copied().unwrap_or(0)
    }

    /// Returns the size of a region in bytes, 0 for one that is not there; `None` beyond the last.
    pub(super) fn size(&self, region: u32) -> Option<u64> {
        self.sizes.get(region as usize).copied()
    }

    /// Answers a GET_REGION_INFO. Capabilities and descriptors are left out where the client has no room.
    pub(super) fn describe(&self, request: &RegionInfo, max_fds: usize) -> Result<Answer, Errno> {
        const FIXED: usize = size_of::<RegionInfo>();
        if (request.argsz as usize) < FIXED {
            return Err(Errno::INVAL);
        }
        let size = self.size(request.index).ok_or(Errno::INVAL)?;
        let areas: Vec<&SharedArea> =
            self.shared.iter().filter(|area| u32::from(area.bar) == request.index).collect();
        let whole = matches!(areas[..], [area] if area.offset == 0 && area.len == size);
        let mut flags = self.flags(request.index);
        let mut info = RegionInfo { flags, cap_offset: 0, size, offset: 0, ..*request };
        if areas.is_empty() || areas.len() > max_fds {
            info.flags = flags;
            info.argsz = FIXED as u32;
            return Ok(Answer { body: info.as_bytes().to_vec(), fds: Vec::new() });
        }
        flags |= REGION_MMAP;
        let mut caps = Vec::new();
        if !whole {
            flags |= REGION_CAPS;
            caps.extend_from_slice(CapHeader { id: CAP_SPARSE_MMAP, version: 1, next: 0 }.as_bytes());
            caps.extend_from_slice(SparseHeader { areas: areas.len() as u32, reserved: 0 }.as_bytes());
            for area in &areas {
                caps.extend_from_slice(SparseArea { offset: area.offset, size: area.len }.as_bytes());
            }
        }
        let need = FIXED + caps.len();
        info.argsz = need as u32;
        info.flags = flags;
        // An area is at this and its own offset in its file: all of them agree on it.
        info.offset = areas[0].file_offset.wrapping_sub(areas[0].offset);
        if need > request.argsz as usize {
            return Ok(Answer { body: info.as_bytes().to_vec(), fds: Vec::new() });
        }
        if !whole {
            info.cap_offset = FIXED as u32;
        }
        let mut body = info.as_bytes().to_vec();
        body.extend_from_slice(&caps);
        let mut fds: Vec<Arc<OwnedFd>> = areas.iter().map(|area| area.file.clone()).collect();
        // Areas of one file need it once.
        if fds.iter().all(|fd| Arc::ptr_eq(fd, &fds[0])) {
            fds.truncate(1);
        }
        Ok(Answer { body, fds })
    }

    /// Answers a GET_REGION_IO_FDS: registers that signal, then doorbells in shadow memory, all of them in one file.
    pub(super) fn describe_io_fds(
        &self,
        request: &RegionIoFds,
        max_fds: usize,
        spec: &Spec,
        bells: &Bells,
    ) -> Result<Answer, Errno> {
        const FIXED: usize = size_of::<RegionIoFds>();
        if (request.argsz as usize) < FIXED || request.flags != 0 || request.count != 0 {
            return Err(Errno::INVAL);
        }
        if self.size(request.index).is_none_or(|size| size == 0) {
            return Err(Errno::INVAL);
        }
        let of_region = self.notify.iter().filter(|(area, _)| u32::from(area.bar) == request.index);
        let places =
            spec.doorbells.iter().enumerate().filter(|(_, place)| u32::from(place.0) == request.index);
        let shadows: Vec<(u64, u64)> =
            places.filter_map(|(index, place)| Some((place.1, bells.shadow_place(index)?))).collect();
        let shadow = bells.shadow().filter(|_| !shadows.is_empty() && max_fds > 0);
        let entries: Vec<_> = of_region.take(max_fds - usize::from(shadow.is_some())).collect();
        let count = entries.len() + if shadow.is_some() { shadows.len() } else { 0 };
        let need = FIXED + count * size_of::<IoFd>();
        let mut head = RegionIoFds { argsz: need as u32, flags: 0, index: request.index, count: 0 };
        if need > request.argsz as usize {
            return Ok(Answer { body: head.as_bytes().to_vec(), fds: Vec::new() });
        }
        head.count = count as u32;
        let mut body = head.as_bytes().to_vec();
        for (index, (area, _)) in entries.iter().enumerate() {
            let entry = IoFd {
                offset: area.offset,
                size: area.len.into(),
                fd_index: index as u32,
                kind: IO_FD_EVENT,
                flags: if area.datamatch.is_some() { IOEVENTFD_DATAMATCH } else { 0 },
                padding: 0,
                datamatch: area.datamatch.unwrap_or(0),
            };
            body.extend_from_slice(entry.as_bytes());
        }
        let mut fds: Vec<Arc<OwnedFd>> = entries.into_iter().map(|(_, fd)| fd.clone()).collect();
        if let Some(file) = shadow {
            for (offset, place) in shadows {
                let entry = IoFd {
                    offset,
                    size: 4,
                    fd_index: NO_FD,
                    kind: IO_FD_SHADOW,
                    flags: 0,
                    padding: fds.len() as u32,
                    datamatch: place,
                };
                body.extend_from_slice(entry.as_bytes());
            }
            fds.push(file);
        }
        Ok(Answer { body, fds })
    }

    pub(super) fn notify_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.notify.iter().map(|(_, fd)| fd.as_fd())
    }

    /// Returns the registers that were signalled since the last call.
    pub(super) fn take_notified(&self) -> Vec<usize> {
        let mut count = [0; 8];
        let signalled = |fd: &OwnedFd, count: &mut [u8; 8]| rustix::io::read(fd, count).is_ok();
        let all = self.notify.iter().enumerate();
        all.filter(|(_, (_, fd))| signalled(fd, &mut count)).map(|(index, _)| index).collect()
    }
}
