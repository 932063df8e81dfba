//! What an [`IovaSpace`](super::IovaSpace) knows, under its lock.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::addresses::Addresses;
use super::limits::{check_pages, granule, physical_run, usable};
use super::live::Live;
use super::{RegionInfo, RegionOptions, SpaceOptions, SpaceStats};
use crate::addr::{Iova, IovaRange};
use crate::device::Device;
use crate::dma::{Addressing, Dma, DmaCaps, DmaError, Memory, Quiesced, Unmapped};

pub(super) struct State {
    options: SpaceOptions,
    devices: Vec<Attached>,
    /// By first IOVA.
    live: BTreeMap<u64, Live>,
    /// The first process address of each live region, to its first IOVA.
    by_address: BTreeMap<usize, u64>,
    addresses: Addresses,
    /// The devices see physical addresses; `None` until the first device or region decides.
    physical: Option<bool>,
    closed: bool,
    leaked_regions: u64,
    leaked_bytes: u64,
}

pub(super) struct Attached {
    device: Arc<dyn Device>,
    caps: DmaCaps,
}

/// A region that could not be mapped, with its memory, to be dropped outside of the lock.
pub(super) struct Refused {
    pub(super) error: DmaError,
    _memory: Option<Box<dyn Memory>>,
}

impl State {
    pub(super) fn new(options: SpaceOptions) -> State {
        State {
            options,
            devices: Vec::new(),
            live: BTreeMap::new(),
            by_address: BTreeMap::new(),
            addresses: Addresses::new(options.base, options.limit),
            physical: None,
            closed: false,
            leaked_regions: 0,
            leaked_bytes: 0,
        }
    }

    pub(super) fn position(&self, device: &Arc<dyn Device>) -> Option<usize> {
        self.devices.iter().position(|attached| Arc::ptr_eq(&attached.device, device))
    }

    pub(super) fn attach(&mut self, device: &Arc<dyn Device>) -> Result<(), DmaError> {
        if self.closed {
            return Err(DmaError::Closed);
        }
        if self.position(device).is_some() {
            return Err(DmaError::AlreadyAttached);
        }
        let dma = device.dma();
        let caps = dma.caps();
        let physical = caps.addressing == Addressing::Physical;
        if self.physical.is_some_and(|before| before != physical) {
            return Err(DmaError::MixedAddressing);
        }
        self.check_joining(dma, &caps)?;
        let all = self.devices.iter().map(|attached| &attached.caps).chain([&caps]);
        self.addresses.set_usable(&usable(self.options.limit, all))?;
        if let Err(error) = self.replay(dma) {
            self.find_usable();
            return Err(error);
        }
        self.devices.push(Attached { device: device.clone(), caps });
        self.physical = Some(physical);
        Ok(())
    }

    pub(super) fn reattach(&mut self, device: &Arc<dyn Device>) -> Result<(), DmaError> {
        let at = self.position(device).ok_or(DmaError::NotAttached)?;
        // Nothing is unmapped, because nothing is mapped there. The caller has the device, so this drops none.
        self.devices.swap_remove(at);
        self.find_usable();
        self.attach(device).inspect_err(|_| self.forget_kind())
    }

    /// Checks all that can be known of a joining device before anything is mapped.
    fn check_joining(&self, dma: &dyn Dma, caps: &DmaCaps) -> Result<(), DmaError> {
        let granule = granule(caps)?;
        if let Some(limit) = caps.max_mappings
            && self.live.len() > limit as usize
        {
            return Err(DmaError::EntryLimit { limit });
        }
        for (&first, live) in &self.live {
            let iova = Iova(first);
            check_pages(live.memory.as_ref(), granule)?;
            if !first.is_multiple_of(granule) {
                return Err(DmaError::Unaligned { address: first, page: granule });
            }
            if caps.addressing == Addressing::Physical && physical_run(dma, live.memory.as_ref())? != iova {
                // The devices are behind bridges that number memory differently.
                let range = IovaRange::new(iova, live.len()).unwrap_or(IovaRange { first: iova, last: iova });
                return Err(DmaError::IovaReserved { range });
            }
        }
        Ok(())
    }

    /// Maps everything live into a joining device, or nothing.
    fn replay(&mut self, dma: &dyn Dma) -> Result<(), DmaError> {
        let mut done = Vec::with_capacity(self.live.len());
        for (&first, live) in &self.live {
            match dma.map(&live.mapping(Iova(first))) {
                Ok(()) => done.push(first),
                Err(error) => {
                    self.take_back(dma, &done, false);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Unmaps live regions from one device that leaves. Without a proof that it let go, they are held.
    fn take_back(&mut self, dma: &dyn Dma, firsts: &[u64], stopped: bool) {
        for first in firsts {
            let Some(live) = self.live.get_mut(first) else { continue };
            match dma.unmap(Iova(*first), live.len()) {
                // What is shared is mapped for a device that stays, whose unmap fences off this one too.
                Ok(Unmapped::Fenced(_) | Unmapped::Shared) => {}
                Ok(Unmapped::Unfenced) if stopped => {}
                Ok(Unmapped::Unfenced) | Err(_) => live.held = true,
            }
        }
    }

    pub(super) fn detach(&mut self, device: &Arc<dyn Device>, reset: bool) -> Result<(), DmaError> {
        let at = self.position(device).ok_or(DmaError::NotAttached)?;
        if reset {
            device.reset()?;
        }
        self.remove(at, reset);
        Ok(())
    }

    fn remove(&mut self, at: usize, stopped: bool) -> Attached {
        let attached = self.devices.swap_remove(at);
        let firsts: Vec<u64> = self.live.keys().copied().collect();
        self.take_back(attached.device.dma(), &firsts, stopped);
        self.find_usable();
        self.forget_kind();
        attached
    }

    pub(super) fn incoherent_devices(&self) -> Vec<Arc<dyn Device>> {
        let incoherent = self.devices.iter().filter(|attached| !attached.caps.coherent);
        incoherent.map(|attached| attached.device.clone()).collect()
    }

    /// Returns the devices, for the caller to drop outside of the lock.
    pub(super) fn close(&mut self) -> Result<Vec<Attached>, DmaError> {
        if let Some(live) = self.live.values().next() {
            let regions = u32::try_from(self.live.len()).unwrap_or(u32::MAX);
            return Err(DmaError::SpaceInUse { regions, name: live.options.name });
        }
        self.closed = true;
        Ok(mem::take(&mut self.devices))
    }

    /// Returns the devices, for the caller to drop outside of the lock.
    pub(super) fn force_close(&mut self) -> (Vec<Attached>, Result<(), DmaError>) {
        self.closed = true;
        let (mut devices, mut result) = (Vec::new(), Ok(()));
        while let Some(at) = self.devices.len().checked_sub(1) {
            let reset = self.devices[at].device.reset();
            devices.push(self.remove(at, reset.is_ok()));
            result = result.and(reset.map_err(DmaError::from));
        }
        (devices, result)
    }

    pub(super) fn map(&mut self, memory: Box<dyn Memory>, options: &RegionOptions) -> Result<Iova, Refused> {
        let iova = match self.check_new(memory.as_ref(), options) {
            Ok(iova) => iova,
            Err(error) => return Err(Refused { error, _memory: Some(memory) }),
        };
        let live = Live { memory, options: *options, held: false };
        for (count, attached) in self.devices.iter().enumerate() {
            if let Err(error) = attached.device.dma().map(&live.mapping(iova)) {
                return Err(Refused { error, _memory: self.undo(iova, live, count) });
            }
        }
        self.by_address.insert(live.memory.ptr().as_ptr().addr(), iova.0);
        self.live.insert(iova.0, live);
        self.physical.get_or_insert(false);
        Ok(iova)
    }

    /// Checks all that can be known before anything is mapped, and takes an address.
    fn check_new(&mut self, memory: &dyn Memory, options: &RegionOptions) -> Result<Iova, DmaError> {
        if self.closed {
            return Err(DmaError::Closed);
        }
        let mut page = memory.page_size();
        for attached in &self.devices {
            let granule = granule(&attached.caps)?;
            check_pages(memory, granule)?;
            page = page.max(granule);
        }
        self.check_twice(memory, options)?;
        if let Some((limit, 0)) = self.limit() {
            return Err(DmaError::EntryLimit { limit });
        }
        self.choose(memory, options, page)
    }

    /// Takes a mapping back that only the first `count` devices took. Nobody was told the address. Returns the
    /// memory if it may be freed.
    fn undo(&mut self, iova: Iova, live: Live, count: usize) -> Option<Box<dyn Memory>> {
        let mut failed = false;
        for attached in &self.devices[..count] {
            failed |= attached.device.dma().unmap(iova, live.len()).is_err();
        }
        if failed {
            self.leak(iova, live);
            return None;
        }
        self.addresses.give_back(iova);
        Some(live.memory)
    }

    /// Refuses memory that a live region has already.
    fn check_twice(&self, memory: &dyn Memory, options: &RegionOptions) -> Result<(), DmaError> {
        let first = memory.ptr().as_ptr().addr();
        // Valid memory does not wrap around.
        let last = first + (memory.len() - 1);
        let before = self.by_address.range(..=last).next_back();
        let Some((&address, &iova)) = before else { return Ok(()) };
        let Some(live) = self.live.get(&iova) else { return Ok(()) };
        if address + (live.memory.len() - 1) < first {
            return Ok(());
        }
        let iova = Iova(iova);
        let same = address == first && live.memory.len() == memory.len();
        Err(if same && live.options.access == options.access {
            DmaError::AlreadyMapped { iova }
        } else {
            DmaError::MappedDifferently { iova }
        })
    }

    /// Takes an address for `memory` out of the allocator.
    fn choose(&mut self, memory: &dyn Memory, options: &RegionOptions, page: u64) -> Result<Iova, DmaError> {
        let len = memory.len() as u64;
        let align = options.align.unwrap_or(1);
        if !align.is_power_of_two() {
            return Err(DmaError::Alignment { align });
        }
        let address = memory.ptr().as_ptr().addr() as u64;
        let fixed = match (self.physical, options.iova) {
            (Some(true), wanted) => {
                let physical = self.physical(memory)?;
                if let Some(first) = wanted.filter(|wanted| *wanted != physical) {
                    let range = IovaRange::new(first, len).unwrap_or(IovaRange { first, last: first });
                    return Err(DmaError::IovaReserved { range });
                }
                Some(physical)
            }
            (_, None) if self.options.identity => Some(Iova(address)),
            (_, wanted) => wanted,
        };
        let Some(iova) = fixed else {
            let align = align.max(page);
            return self.addresses.take(len, align);
        };
        let granule = self.granule();
        if !iova.0.is_multiple_of(align.max(granule)) {
            return Err(DmaError::Unaligned { address: iova.0, page: align.max(granule) });
        }
        let range = IovaRange::new(iova, len).ok_or(DmaError::IovaExhausted { len, align })?;
        self.addresses.take_at(range)?;
        Ok(iova)
    }

    /// Returns where `memory` is physically, in one run that all devices agree on.
    fn physical(&self, memory: &dyn Memory) -> Result<Iova, DmaError> {
        let none = DmaError::NoPhysical { ptr: memory.ptr().as_ptr().addr() as u64 };
        let mut start = None;
        for attached in &self.devices {
            let first = physical_run(attached.device.dma(), memory)?;
            if *start.get_or_insert(first) != first {
                return Err(none);
            }
        }
        start.ok_or(none)
    }

    /// Takes a region away from all devices. Returns its memory if it may be freed, and the bytes leaked if not.
    pub(super) fn unmap(
        &mut self,
        iova: Iova,
        exposed: bool,
        proofs: &[Quiesced],
    ) -> (Option<Box<dyn Memory>>, u64) {
        let Some(live) = self.live.remove(&iova.0) else { return (None, 0) };
        self.by_address.remove(&live.memory.ptr().as_ptr().addr());
        // Each device that cannot be fenced off needs a proof of its own.
        let (mut failed, mut reachable) = (live.held, false);
        // A device said that others have the mapping too: one of them must come and be fenced off.
        let mut shared = false;
        for attached in &self.devices {
            match attached.device.dma().unmap(iova, live.len()) {
                Ok(Unmapped::Fenced(_)) => shared = false,
                Ok(Unmapped::Shared) => shared = true,
                Ok(Unmapped::Unfenced) => {
                    reachable |= !proofs.iter().any(|proof| proof.is_of(attached.device.lost()));
                }
                Err(_) => failed = true,
            }
        }
        let leaked = if failed || shared || (reachable && exposed) {
            let len = live.len();
            self.leak(iova, live);
            (None, len)
        } else {
            if exposed && proofs.is_empty() {
                self.addresses.rest(iova);
            } else {
                self.addresses.give_back(iova);
            }
            (Some(live.memory), 0)
        };
        self.forget_kind();
        leaked
    }

    fn leak(&mut self, iova: Iova, live: Live) {
        self.addresses.retire(iova);
        self.leaked_regions += 1;
        self.leaked_bytes += live.len();
        mem::forget(live.memory);
    }

    fn find_usable(&mut self) {
        let caps = self.devices.iter().map(|attached| &attached.caps);
        // Fewer devices allow more, so everything taken still fits.
        let _ = self.addresses.set_usable(&usable(self.options.limit, caps));
    }

    /// An empty space may become of the other kind.
    fn forget_kind(&mut self) {
        if self.devices.is_empty() && self.live.is_empty() {
            self.physical = None;
        }
    }

    fn granule(&self) -> u64 {
        let granules = self.devices.iter().filter_map(|attached| granule(&attached.caps).ok());
        granules.max().unwrap_or(1)
    }

    /// Returns the smallest mapping limit of the devices and how much of it is left.
    fn limit(&self) -> Option<(u32, u32)> {
        let limit = self.devices.iter().filter_map(|attached| attached.caps.max_mappings).min()?;
        let live = u32::try_from(self.live.len()).unwrap_or(u32::MAX);
        Some((limit, limit.saturating_sub(live)))
    }

    pub(super) fn usable(&self) -> Vec<IovaRange> {
        self.addresses.usable().to_vec()
    }

    pub(super) fn stats(&self) -> SpaceStats {
        let granule = self.granule();
        let common = self.devices.iter().fold(u64::MAX, |mask, attached| mask & attached.caps.page_sizes);
        SpaceStats {
            devices: self.devices.len() as u32,
            regions: self.live.len() as u32,
            mapped_bytes: self.live.values().map(Live::len).sum(),
            leaked_regions: self.leaked_regions,
            leaked_bytes: self.leaked_bytes,
            mappings_left: self.limit().map(|(_, left)| left),
            // A device with a smaller granule takes the larger one too, as several of its pages.
            page_sizes: (common & !(granule - 1)) | granule,
            coherent: self.devices.iter().all(|attached| attached.caps.coherent),
            physical: self.physical == Some(true),
        }
    }

    pub(super) fn regions(&self) -> Vec<RegionInfo> {
        self.live.iter().map(|(&first, live)| live.info(Iova(first))).collect()
    }

    pub(super) fn region_at(&self, iova: Iova) -> Option<RegionInfo> {
        let (&first, live) = self.live.range(..=iova.0).next_back()?;
        (iova.0 - first < live.len()).then(|| live.info(Iova(first)))
    }

    pub(super) fn region_of(&self, address: usize) -> Option<RegionInfo> {
        let (&first, &iova) = self.by_address.range(..=address).next_back()?;
        let live = self.live.get(&iova)?;
        (address - first < live.memory.len()).then(|| live.info(Iova(iova)))
    }
}
