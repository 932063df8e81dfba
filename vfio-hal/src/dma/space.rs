//! An address space that one or more devices see memory in.
//!
//! - [`IovaSpace`] holds the mappings: every region in it is mapped at the same IOVA in every attached device,
//!   whatever their backends. A device that joins late gets the live mappings replayed.
//! - [`SpaceOptions`] says where addresses start and end; [`SpaceStats`] and [`RegionInfo`] answer questions.
//!
//! Memory goes back only when no device can reach it any more. What cannot be proven unreachable is leaked and
//! counted in [`SpaceStats::leaked_bytes`], never freed under a running device.
//!
//! [`Region`](super::Region) is the owned piece of memory in a space, and the only thing that maps.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use super::region::RegionOptions;
use super::{DmaAccess, DmaError, Memory, Quiesced};
use crate::addr::{Iova, IovaRange, SpaceId};
use crate::device::Device;

mod addresses;
mod limits;
mod live;
mod state;

use state::State;

/// How an [`IovaSpace`] chooses addresses.
#[derive(Clone, Copy, Debug)]
pub struct SpaceOptions {
    base: Iova,
    limit: IovaRange,
    identity: bool,
}

impl Default for SpaceOptions {
    /// Addresses from 4 GiB up: out of the way of what platforms reserve below, and never equal to a pointer of
    /// this process, so that a mix-up fails at once.
    fn default() -> Self {
        SpaceOptions { base: Iova(1 << 32), limit: IovaRange::ALL, identity: false }
    }
}

impl SpaceOptions {
    /// Starts to look for free addresses at `base`, and below it only when nothing is left above.
    pub fn base(mut self, base: Iova) -> Self {
        self.base = base;
        self
    }

    /// Keeps all addresses within `limit`, for a device that cannot put 64 bits on its bus.
    pub fn limit(mut self, limit: IovaRange) -> Self {
        self.limit = limit;
        self
    }

    /// Makes every IOVA equal to the address in this process. Regions at another fixed IOVA are still possible.
    pub fn identity(mut self) -> Self {
        self.identity = true;
        self
    }
}

/// The mappings of one or more devices. Clones share it; live regions keep it.
#[derive(Clone)]
pub struct IovaSpace(Arc<Inner>);

struct Inner {
    id: SpaceId,
    /// Set-up only: nothing on the data path takes it.
    state: spin::Mutex<State>,
}

impl IovaSpace {
    /// Returns an empty space with the default options.
    pub fn new() -> IovaSpace {
        IovaSpace::with(SpaceOptions::default())
    }

    /// Returns an empty space.
    ///
    /// # Panics
    /// After 2^32 spaces in one process, because two of them would be the same to [`BusAddr`](crate::BusAddr).
    pub fn with(options: SpaceOptions) -> IovaSpace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1))
            .expect("fewer than 2^32 IOVA spaces in one process");
        IovaSpace(Arc::new(Inner { id: SpaceId(id), state: spin::Mutex::new(State::new(options)) }))
    }

    /// Returns the identity that every bus address of this space carries.
    pub fn id(&self) -> SpaceId {
        self.0.id
    }

    /// Lets `device` see every region, those that live already and those to come. All or nothing: a device that
    /// cannot use a live range, or that sees addresses of another kind, is refused and the others do not notice.
    pub fn attach(&self, device: &Arc<dyn Device>) -> Result<(), DmaError> {
        self.0.state.lock().attach(device)
    }

    /// Maps every region again into `device`, whose other side forgot all mappings and may have new limits: a
    /// server that was restarted. If the device cannot use a live range any more, it is detached.
    pub fn reattach(&self, device: &Arc<dyn Device>) -> Result<(), DmaError> {
        self.0.state.lock().reattach(device)
    }

    /// Takes every region away from `device`. What the device cannot be proven to have let go of is leaked and
    /// counted when its region is dropped.
    pub fn detach(&self, device: &Arc<dyn Device>) -> Result<(), DmaError> {
        self.0.state.lock().detach(device, false)
    }

    /// Resets `device` and takes every region away from it. The reset has stopped its DMA, so nothing leaks for
    /// want of an IOMMU. If the reset fails, the device stays attached.
    pub fn detach_with_reset(&self, device: &Arc<dyn Device>) -> Result<(), DmaError> {
        self.0.state.lock().detach(device, true)
    }

    /// Returns whether `device` is attached.
    pub fn is_attached(&self, device: &Arc<dyn Device>) -> bool {
        self.0.state.lock().position(device).is_some()
    }

    /// Detaches all devices, for good. [`DmaError::SpaceInUse`] names a live region if there is one, and nothing
    /// changes then.
    pub fn close(&self) -> Result<(), DmaError> {
        let devices = self.0.state.lock().close()?;
        drop(devices);
        Ok(())
    }

    /// Resets and detaches all devices, for good, whatever still lives: live regions stay valid memory that no
    /// device sees. Devices that cannot be reset are detached too, and the first such error is returned.
    pub fn force_close(&self) -> Result<(), DmaError> {
        let (devices, result) = self.0.state.lock().force_close();
        drop(devices);
        result
    }

    /// Returns the devices that do not see processor caches.
    pub(crate) fn incoherent_devices(&self) -> Vec<Arc<dyn Device>> {
        self.0.state.lock().incoherent_devices()
    }

    /// Returns what the space holds and what is left.
    pub fn stats(&self) -> SpaceStats {
        self.0.state.lock().stats()
    }

    /// Returns where addresses may be: what all devices and the options allow, sorted, disjoint.
    pub fn usable(&self) -> Vec<IovaRange> {
        self.0.state.lock().usable()
    }

    /// Returns the live regions in the order of their IOVAs.
    pub fn regions(&self) -> Vec<RegionInfo> {
        self.0.state.lock().regions()
    }

    /// Returns the live region that holds the byte a device sees at `iova`.
    pub fn region_at(&self, iova: Iova) -> Option<RegionInfo> {
        self.0.state.lock().region_at(iova)
    }

    /// Returns the live region that holds the byte at `ptr` in this process.
    pub fn region_of(&self, ptr: *const u8) -> Option<RegionInfo> {
        self.0.state.lock().region_of(ptr.addr())
    }

    /// Returns the address that devices see the byte at `ptr` at.
    pub fn iova_of(&self, ptr: *const u8) -> Option<Iova> {
        let info = self.region_of(ptr)?;
        info.iova.checked_add((ptr.addr() - info.address) as u64)
    }

    pub(super) fn map(&self, memory: Box<dyn Memory>, options: &RegionOptions) -> Result<Iova, DmaError> {
        // What comes back is dropped after the lock is released: an owner's `drop` may use the space.
        let result = self.0.state.lock().map(memory, options);
        result.map_err(|refused| refused.error)
    }

    /// Takes the region at `iova` away from all devices and frees its memory if that is safe. Returns the bytes
    /// that had to be leaked.
    pub(super) fn unmap(&self, iova: Iova, exposed: bool, proofs: &[Quiesced]) -> u64 {
        let (memory, leaked) = self.0.state.lock().unmap(iova, exposed, proofs);
        // As in `map`: not under the lock.
        drop(memory);
        leaked
    }
}

impl Default for IovaSpace {
    fn default() -> Self {
        IovaSpace::new()
    }
}

impl core::fmt::Debug for IovaSpace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("IovaSpace").field("id", &self.0.id.0).finish_non_exhaustive()
    }
}

/// What an [`IovaSpace`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceStats {
    /// Attached devices.
    pub devices: u32,
    /// Live regions.
    pub regions: u32,
    /// Bytes of all live regions.
    pub mapped_bytes: u64,
    /// Regions whose memory was leaked, because a device might still have reached it.
    pub leaked_regions: u64,
    /// Their bytes.
    pub leaked_bytes: u64,
    /// Regions that still fit under the smallest mapping limit of the devices; `None` without a limit.
    pub mappings_left: Option<u32>,
    /// Bit n is set when all devices take mappings aligned to 2^n bytes; the lowest bit is the granule.
    pub page_sizes: u64,
    /// No device needs [`Dma::sync_for_cpu`](super::Dma::sync_for_cpu) and its counterpart.
    pub coherent: bool,
    /// The devices see physical addresses.
    pub physical: bool,
}

/// One live region of an [`IovaSpace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// The name it was allocated under.
    pub name: &'static str,
    /// Its first address on the bus.
    pub iova: Iova,
    /// Its first address in this process.
    pub address: usize,
    /// Its length in bytes.
    pub len: u64,
    /// The size of its pages in bytes.
    pub page_size: u64,
    /// Which way devices may use it.
    pub access: DmaAccess,
}
