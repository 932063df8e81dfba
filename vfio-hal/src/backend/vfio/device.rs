//! The device that a driver gets.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::core::{Core, LiveWindow, RegionTrap};
use super::error::VfioError;
use super::info::{DeviceInfo, RegionInfo};
use super::iommu::{Iommu, Limits, Mapper};
use super::irqs::Interrupts;
use super::{Api, Options, open, sys};
use crate::bar::{Bar, Width};
use crate::device::{Device, DeviceError, Lost};
use crate::dma::Dma;
use crate::irq::{EventFd, Irqs};
use crate::pci::Command;

/// A device behind the kernel's VFIO. It is closed when the last of its BARs, windows and regions is dropped.
pub struct VfioDevice {
    irqs: Interrupts,
    mapper: Mapper,
    core: Arc<Core>,
}

const NO_DETACH: DeviceError =
    DeviceError::Unsupported { what: "way out of its address space: only iommufd detaches single devices" };

/// Where the command register is in configuration space.
const COMMAND: u64 = 0x04;

impl VfioDevice {
    /// Opens a device by `[domain:]bus:device.function`, a mediated device's UUID, or a path in sysfs. Memory access and
    /// bus mastering are enabled when it returns.
    ///
    /// # Errors
    /// [`VfioError`] names the cause and the way out.
    pub fn open(address: &str, options: &Options) -> Result<Arc<VfioDevice>, VfioError> {
        let core = Arc::new(Core::new(open::open(address, options)?)?);
        let device = VfioDevice::of(core);
        device.set_command(|command| command.with_memory(true).with_bus_master(true))?;
        Ok(Arc::new(device))
    }

    pub(super) fn of(core: Arc<Core>) -> VfioDevice {
        let mapper = core.membership.iommu().mapper();
        VfioDevice { irqs: Interrupts::new(core.clone()), mapper, core }
    }

    /// Changes the command register of a PCI device. Others have none.
    fn set_command(&self, change: impl FnOnce(Command) -> Command) -> Result<(), DeviceError> {
        let Ok(config) = self.core.config() else { return Ok(()) };
        let mut bytes = [0; 2];
        let error = |error| self.core.error("access to configuration space", error);
        self.core.read(config, COMMAND, &mut bytes).map_err(error)?;
        let command = change(Command::new(u16::from_le_bytes(bytes)));
        self.core.write(config, COMMAND, &command.bits().to_le_bytes()).map_err(error)
    }

    /// Returns the interface that the device was opened by; never [`Api::Auto`].
    pub fn api(&self) -> Api {
        self.iommu().api()
    }

    /// Returns the IOMMU context. Devices that are opened with it share its mappings, see [`Options::iommu`].
    pub fn iommu(&self) -> &Iommu {
        self.mapper.iommu()
    }

    /// Returns what may be mapped, and what is.
    pub fn limits(&self) -> Limits {
        self.iommu().limits()
    }

    /// Returns what the device says of itself.
    pub fn info(&self) -> &DeviceInfo {
        &self.core.info
    }

    /// Returns all regions by their index; those that are not there have no length.
    pub fn regions(&self) -> &[RegionInfo] {
        &self.core.regions
    }

    /// Returns a region that is there.
    pub fn region(&self, index: u32) -> Result<&RegionInfo, VfioError> {
        self.core.region(index).ok_or(VfioError::NoRegion { index })
    }

    /// Returns the region of a type and subtype, from the type capability.
    pub fn find_region(&self, kind: u32, subtype: u32) -> Option<&RegionInfo> {
        self.core.regions.iter().find(|region| region.kind == Some((kind, subtype)))
    }

    /// Returns where a byte of a region is in the device's file; `None` where there is no such byte.
    pub fn file_offset(&self, index: u32, offset: u64) -> Option<u64> {
        let region = self.core.region(index).filter(|region| offset < region.len)?;
        region.file_offset.checked_add(offset)
    }

    /// Reads a little-endian number from a region: one access of that width.
    pub fn read_region(&self, index: u32, offset: u64, width: Width) -> Result<u64, VfioError> {
        let mut bytes = [0; 8];
        let (data, _) = bytes.split_at_mut(width.bytes() as usize);
        self.access(index, offset, data.len(), Some(width))?;
        self.read_region_bytes(index, offset, data)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a little-endian number to a region: one access of that width.
    pub fn write_region(&self, index: u32, offset: u64, width: Width, value: u64) -> Result<(), VfioError> {
        let bytes = value.to_le_bytes();
        let (data, _) = bytes.split_at(width.bytes() as usize);
        self.access(index, offset, data.len(), Some(width))?;
        self.write_region_bytes(index, offset, data)
    }

    /// Reads all of `data` from a region, in accesses of the kernel's choice.
    pub fn read_region_bytes(&self, index: u32, offset: u64, data: &mut [u8]) -> Result<(), VfioError> {
        let region = self.access(index, offset, data.len(), None)?;
        let result = self.core.read(region, offset, data);
        result.map_err(|error| self.core.error("read a region", error).into())
    }

    /// Writes all of `data` to a region, in accesses of the kernel's choice.
    pub fn write_region_bytes(&self, index: u32, offset: u64, data: &[u8]) -> Result<(), VfioError> {
        let region = self.access(index, offset, data.len(), None)?;
        let result = self.core.write(region, offset, data);
        result.map_err(|error| self.core.error("write a region", error).into())
    }

    fn access(
        &self,
        index: u32,
        offset: u64,
        len: usize,
        width: Option<Width>,
    ) -> Result<&RegionInfo, VfioError> {
        self.core.lost.check()?;
        let region = self.region(index)?;
        let inside = offset.checked_add(len as u64).is_some_and(|end| end <= region.len);
        if !inside || width.is_some_and(|width| !offset.is_multiple_of(width.bytes())) {
            return Err(VfioError::OutOfRegion { index, offset, len: len as u64, size: region.len });
        }
        Ok(region)
    }

    /// Lets `eventfd` unmask INTx when it is signalled, without a call of the driver; `None` ends that.
    pub fn unmask_intx_by(&self, eventfd: Option<&EventFd>) -> Result<(), DeviceError> {
        self.irqs.unmask_by(eventfd)
    }

    /// Takes the device out of its address space: every DMA of it faults from now on. What is mapped stays mapped for the
    /// other devices there. For an iommufd only; a group shares its fate in a container.
    pub fn detach_from_iommu(&self) -> Result<(), DeviceError> {
        self.core.lost.check()?;
        self.iommu().ioas().ok_or(NO_DETACH)?;
        sys::detach(self.core.fd())
            .map_err(|error| self.core.error("detach the device from the IOMMU", error))
    }

    /// Puts the device back into its address space.
    pub fn attach_to_iommu(&self) -> Result<(), DeviceError> {
        self.core.lost.check()?;
        let ioas = self.iommu().ioas().ok_or(NO_DETACH)?;
        sys::attach(self.core.fd(), ioas)
            .map_err(|error| self.core.error("attach the device to the IOMMU", error))
    }

    /// Returns the files that a program must keep open across `exec`: the device, its group and container, or the
    /// iommufd.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let group = self.core.membership.group_file();
        [Some(self.core.fd()), group].into_iter().flatten().chain(self.iommu().fds()).collect()
    }

    pub(super) fn interrupts(&self) -> &Interrupts {
        &self.irqs
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Device for VfioDevice {
    fn name(&self) -> &str {
        &self.core.name
    }

    fn lost(&self) -> &Lost {
        &self.core.lost
    }

    fn bar(&self, index: u8) -> Result<Bar, DeviceError> {
        self.core.lost.check()?;
        let bar = (index < 6).then(|| self.core.region(index.into())).flatten();
        let region = bar.ok_or(DeviceError::NoBar { index })?;
        let page = rustix::param::page_size() as u64;
        // A window that can only be read is not what a driver expects of a mapped one.
        let both = region.readable && region.writable;
        let areas = if both { region.mappable_areas(page) } else { Vec::new() };
        let trap = Arc::new(RegionTrap { core: self.core.clone(), index: index.into() });
        let mut builder = Bar::builder(index, region.len, self.core.lost.clone());
        let mut windows: Vec<LiveWindow> = Vec::with_capacity(areas.len());
        let mut end = 0;
        for (offset, len) in areas {
            if offset > end {
                builder = builder.trapped(end, offset - end, trap.clone());
            }
            let window = self.core.map(region, offset, len, true, true);
            let window = window.map_err(|error| self.core.error("map a BAR", error))?;
            // SAFETY: 1. the window is mapped for reading and writing, from a page's start, as long as the `Vec` lives
            // that `keep_alive` gets; 2. its address goes nowhere else.
            builder = unsafe { builder.mapped(offset, window.window.ptr(), window.window.len()) };
            windows.push(window);
            end = offset + len;
        }
        if end < region.len {
            builder = builder.trapped(end, region.len - end, trap);
        }
        let core = self.core.clone();
        builder.keep_alive(Arc::new(windows)).presence(Arc::new(move || core.is_present())).build()
    }

    fn dma(&self) -> &dyn Dma {
        &self.mapper
    }

    fn irqs(&self) -> Option<&dyn Irqs> {
        Some(&self.irqs)
    }

    fn config_read(&self, offset: u16, data: &mut [u8]) -> Result<(), DeviceError> {
        self.core.lost.check()?;
        let region = self.core.config()?;
        check_config(region, offset, data.len())?;
        let result = self.core.read(region, offset.into(), data);
        result.map_err(|error| self.core.error("read configuration space", error))
    }

    fn config_write(&self, offset: u16, data: &[u8]) -> Result<(), DeviceError> {
        self.core.lost.check()?;
        let region = self.core.config()?;
        check_config(region, offset, data.len())?;
        let result = self.core.write(region, offset.into(), data);
        result.map_err(|error| self.core.error("write configuration space", error))
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.core.reset()
    }
}

impl AsFd for VfioDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.fd()
    }
}

impl Drop for VfioDevice {
    fn drop(&mut self) {
        // Windows may keep the device open for longer, but nobody drives it any more. The kernel does the same when its
        // file is closed.
        let _ = self.set_command(|command| command.with_bus_master(false));
    }
}

impl fmt::Debug for VfioDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VfioDevice").field("name", &self.core.name).field("api", &self.api()).finish()
    }
}

fn check_config(region: &RegionInfo, offset: u16, len: usize) -> Result<(), DeviceError> {
    if u64::from(offset) + len as u64 > region.len {
        return Err(DeviceError::ConfigRange { offset, len: u16::try_from(len).unwrap_or(u16::MAX) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
