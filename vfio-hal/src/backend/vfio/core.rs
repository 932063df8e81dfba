//! An open device: its file, what it says of itself, access to its regions.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

use super::error::{VfioError, device_error};
use super::info::{DeviceInfo, RegionInfo};
use super::open::{Membership, Opened};
use super::sys::{self, Window};
use crate::bar::{Trap, Width};
use crate::device::{DeviceError, Lost};

/// The most regions that are asked for, whatever a driver claims.
const MAX_REGIONS: u32 = 256;

/// What the device, its BARs and its interrupts share.
pub(super) struct Core {
    pub(super) name: String,
    /// Closed before the membership ends.
    file: OwnedFd,
    pub(super) info: DeviceInfo,
    pub(super) regions: Vec<RegionInfo>,
    pub(super) lost: Lost,
    power: Mutex<Power>,
    pub(super) membership: Arc<Membership>,
    /// The device's number in its iommufd.
    pub(super) number: Option<u32>,
}

/// What must not be at the same time: an access to registers that sleep ends the process.
#[derive(Default)]
pub(super) struct Power {
    /// Mappings of registers that live.
    pub(super) windows: usize,
    /// The device may sleep.
    pub(super) low: bool,
}

impl Core {
    pub(super) fn new(opened: Opened) -> Result<Core, VfioError> {
        let Opened { name, file, membership, number } = opened;
        let system = |what, error| VfioError::system(what, &name, error);
        let info = sys::device_info(file.as_fd()).map_err(|error| system("DEVICE_GET_INFO", error))?;
        let info = DeviceInfo::parse(&info);
        let mut regions = Vec::new();
        for index in 0..info.regions.min(MAX_REGIONS) {
            let region = match sys::region_info(file.as_fd(), index) {
                Ok(region) => region,
                // A region that this device lacks, such as VGA; its place stays.
                Err(Errno::INVAL) => sys::Buffer::with(32, &[32, 0, index]),
                Err(error) => return Err(system("DEVICE_GET_REGION_INFO", error)),
            };
            regions.push(RegionInfo::parse(&region));
        }
        Ok(Core { file, info, regions, lost: Lost::new(), power: Mutex::default(), membership, number, name })
    }

    /// An open file that is a device by its regions alone.
    #[cfg(test)]
    pub(super) fn of(opened: Opened, regions: Vec<RegionInfo>) -> Core {
        let Opened { name, file, membership, number } = opened;
        let info = DeviceInfo::parse(&sys::Buffer::with(24, &[24, 2, regions.len() as u32, 0]));
        Core { file, info, regions, lost: Lost::new(), power: Mutex::default(), membership, number, name }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns a region that is there.
    pub(super) fn region(&self, index: u32) -> Option<&RegionInfo> {
        self.regions.get(index as usize).filter(|region| region.len > 0)
    }

    /// Reads from a region, all of `data` in one call: 1, 2, 4 or 8 aligned bytes are one access of the device.
    pub(super) fn read(&self, region: &RegionInfo, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        let at = place(region, offset, data.len())?;
        let done = loop {
            match rustix::io::pread(&self.file, &mut *data, at) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        if done == data.len() { Ok(()) } else { Err(Errno::IO) }
    }

    /// Writes to a region, all of `data` in one call, see [`read`](Self::read).
    pub(super) fn write(&self, region: &RegionInfo, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let at = place(region, offset, data.len())?;
        let done = loop {
            match rustix::io::pwrite(&self.file, data, at) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        if done == data.len() { Ok(()) } else { Err(Errno::IO) }
    }

    pub(super) fn config(&self) -> Result<&RegionInfo, DeviceError> {
        self.region(abi::VFIO_PCI_CONFIG_REGION_INDEX)
            .ok_or(DeviceError::Unsupported { what: "configuration space" })
    }

    /// Returns whether the device still answers. If not, it is lost for good.
    pub(super) fn is_present(&self) -> bool {
        let mut vendor = [0; 2];
        let Ok(config) = self.config() else { return !self.lost.is_lost() };
        // No vendor has FFFFh: it is what a read of an empty place gives (PCI 6.1).
        let present = self.read(config, 0, &mut vendor).is_ok() && vendor != [0xff; 2];
        if !present {
            self.lost.latch();
        }
        present && !self.lost.is_lost()
    }

    /// Returns the error of a call on the device, which may be that it is gone.
    pub(super) fn error(&self, what: &'static str, error: Errno) -> DeviceError {
        let error = device_error(what, error);
        if error == DeviceError::Lost {
            self.lost.latch();
        }
        error
    }

    /// Maps a part of a region; [`Errno::BUSY`] while the device may sleep.
    pub(super) fn map(
        self: &Arc<Self>,
        region: &RegionInfo,
        offset: u64,
        len: u64,
        read: bool,
        write: bool,
    ) -> Result<LiveWindow, Errno> {
        let at = place(region, offset, usize::try_from(len).map_err(|_| Errno::INVAL)?)?;
        let mut power = self.power();
        if power.low {
            return Err(Errno::BUSY);
        }
        let window = Window::new(self.fd(), at, len, read, write)?;
        power.windows += 1;
        Ok(LiveWindow { window, core: self.clone() })
    }

    pub(super) fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns where an access is in the device's file, if it is inside of the region.
fn place(region: &RegionInfo, offset: u64, len: usize) -> Result<u64, Errno> {
    let end = offset.checked_add(len as u64).filter(|&end| end <= region.len);
    end.and_then(|_| region.file_offset.checked_add(offset)).ok_or(Errno::INVAL)
}

/// A mapped window that keeps its device open.
pub(super) struct LiveWindow {
    pub(super) window: Window,
    core: Arc<Core>,
}

impl Drop for LiveWindow {
    fn drop(&mut self) {
        self.core.power().windows -= 1;
    }
}

/// A region, or a part of a BAR that cannot be mapped, reached by calls.
pub(super) struct RegionTrap {
    pub(super) core: Arc<Core>,
    pub(super) index: u32,
}

impl Trap for RegionTrap {
    fn read(&self, offset: u64, width: Width) -> Option<u64> {
        let mut bytes = [0; 8];
        let data = bytes.get_mut(..width.bytes() as usize)?;
        self.core.read(self.core.region(self.index)?, offset, data).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    fn write(&self, offset: u64, width: Width, value: u64) -> Option<()> {
        let bytes = value.to_le_bytes();
        let data = bytes.get(..width.bytes() as usize)?;
        self.core.write(self.core.region(self.index)?, offset, data).ok()
    }
}
