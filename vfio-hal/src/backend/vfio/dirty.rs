//! Which pages a device writes, noted by the IOMMU.
//!
//! Few devices log their own writes ([`VfioDevice::start_dirty_log`]); an IOMMU with dirty bits does it for any. iommufd
//! gives such a page table to a device as long as a [`DirtyTracking`] lives.

use rustix::io::Errno;
use vfio_user_kit::client::DirtyBitmap;

use super::device::VfioDevice;
use super::iommu::Iommu;
use super::{migration, sys};
use crate::device::DeviceError;

const NO_TRACKING: DeviceError =
    DeviceError::Unsupported { what: "IOMMU that notes written pages, or it is not opened by an iommufd" };

/// A page table that notes what is written.
struct Table {
    iommu: Iommu,
    number: u32,
}

impl Table {
    /// Makes one for the device of a number.
    fn new(iommu: &Iommu, device: u32) -> Result<Table, DeviceError> {
        let ioas = iommu.ioas().ok_or(NO_TRACKING)?;
        let number = sys::dirty_table_alloc(iommu.file(), device, ioas).map_err(|error| match error {
            Errno::OPNOTSUPP | Errno::NOTTY => NO_TRACKING,
            error => system("IOMMU_HWPT_ALLOC", error),
        })?;
        Ok(Table { iommu: iommu.clone(), number })
    }

    fn track(&self, on: bool) -> Result<(), DeviceError> {
        sys::dirty_table_track(self.iommu.file(), self.number, on)
            .map_err(|error| system("IOMMU_HWPT_SET_DIRTY_TRACKING", error))
    }

    fn read(&self, iova: u64, len: u64, page_size: u64) -> Result<DirtyBitmap, DeviceError> {
        let mut words = migration::bitmap(len, page_size)?;
        sys::dirty_table_read(self.iommu.file(), self.number, iova, len, page_size, &mut words)
            .map_err(|error| system("IOMMU_HWPT_GET_DIRTY_BITMAP", error))?;
        Ok(DirtyBitmap { iova, page_size, words })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = sys::destroy(self.iommu.file(), self.number);
    }
}

fn system(what: &'static str, error: Errno) -> DeviceError {
    DeviceError::System { what, errno: error.raw_os_error() }
}

/// The IOMMU notes which pages a device writes, until this is dropped.
pub struct DirtyTracking<'a> {
    device: &'a VfioDevice,
    table: Table,
}

impl VfioDevice {
    /// Lets the IOMMU note which pages the device writes.
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`] if the IOMMU cannot, or the device was not opened by an iommufd.
    pub fn track_dirty_pages(&self) -> Result<DirtyTracking<'_>, DeviceError> {
        self.core().lost.check()?;
        let number = self.core().number.ok_or(NO_TRACKING)?;
        let table = Table::new(self.iommu(), number)?;
        sys::attach(self.core().fd(), table.number)
            .map_err(|error| self.core().error("attach the device to a page table", error))?;
        let tracking = DirtyTracking { device: self, table };
        tracking.table.track(true)?;
        Ok(tracking)
    }
}

impl DirtyTracking<'_> {
    /// Returns the pages that were written among `len` bytes from bus address `iova` on, and clears their marks.
    pub fn pages(&self, iova: u64, len: u64, page_size: u64) -> Result<DirtyBitmap, DeviceError> {
        self.table.read(iova, len, page_size)
    }
}

impl Drop for DirtyTracking<'_> {
    fn drop(&mut self) {
        let _ = self.table.track(false);
        // Back to the page table without marks. If that fails, the device keeps this one, and it works as well.
        if let Some(ioas) = self.device.iommu().ioas() {
            let _ = sys::attach(self.device.core().fd(), ioas);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Iova;
    use crate::backend::vfio::Api;
    use crate::backend::vfio::sys::Buffer;
    use crate::dma::memory::HeapMemory;
    use crate::dma::{Dma, DmaAccess, DmaMapping, Memory, Unmapped};

    const PAGE: u64 = 4096;
    const PAGES: u64 = 128;
    /// The test device sees addresses from 16 MiB on.
    const BASE: u64 = 1 << 24;

    /// A command of `drivers/iommu/iommufd/iommufd_test.h`: size, number, object, then its own fields.
    fn command(number: u32, object: u32, fields: &[u64]) -> Buffer {
        let mut buffer = Buffer::with(72, &[72, number, object, 0]);
        for (place, field) in fields.iter().enumerate() {
            buffer.put(16 + 8 * place, &field.to_ne_bytes());
        }
        buffer
    }

    /// The kernel's test device writes pages, and its IOMMU notes which.
    #[test]
    #[ignore = "runs in a guest: scripts/guest/guest run vfio"]
    fn written_pages_of_the_test_device() {
        const MOCK_DOMAIN: u32 = 2;
        const DIRTY: u32 = 13;
        let iommu = Iommu::new(Api::Iommufd).expect("an iommufd");
        let ioas = iommu.ioas().expect("an address space");
        let mut mock = command(MOCK_DOMAIN, ioas, &[]);
        // SAFETY: the command has no address.
        unsafe { sys::test_command(iommu.file(), &mut mock) }.expect("a test device");
        let device = mock.word(16 + 8);

        let memory = HeapMemory::new((PAGES * PAGE) as usize).expect("memory");
        let mapper = iommu.mapper();
        // Page by page: where memory is contiguous, the IOMMU makes one entry, and one mark, of several pages.
        for page in 0..PAGES {
            let at = page * PAGE;
            // SAFETY: inside of the memory, which lives until the end of the test, after it is unmapped, and nobody else
            // uses it.
            let mapping = unsafe {
                let ptr = memory.ptr().add(at as usize);
                DmaMapping::new(Iova(BASE + at), ptr, PAGE, DmaAccess::ReadWrite, None)
            };
            mapper.map(&mapping).expect("mapped");
        }

        let table = Table::new(&iommu, device).expect("a page table that notes writes");
        table.track(true).expect("on");
        let none = table.read(BASE, PAGES * PAGE, PAGE).expect("a bitmap");
        assert_eq!(none.pages().count(), 0);
        let written = [1u64 << 3 | 1 << 63, 1 << 1];
        let address = written.as_ptr().expose_provenance() as u64;
        let mut dirty = command(DIRTY, table.number, &[0, BASE, PAGES * PAGE, PAGE, address, 0]);
        // SAFETY: the bitmap has a bit for each page, and lives during the call.
        unsafe { sys::test_command(iommu.file(), &mut dirty) }.expect("three pages written");
        let pages: Vec<u64> = table.read(BASE, PAGES * PAGE, PAGE).expect("a bitmap").pages().collect();
        assert_eq!(pages, [3, 63, 65].map(|page| BASE + page * PAGE));
        assert_eq!(table.read(BASE, PAGES * PAGE, PAGE).expect("a bitmap").pages().count(), 0, "cleared");
        table.track(false).expect("off");
        drop(table);
        for page in 0..PAGES {
            assert!(matches!(mapper.unmap(Iova(BASE + page * PAGE), PAGE), Ok(Unmapped::Fenced(_))));
        }
    }

    #[test]
    fn only_an_iommufd_notes_pages() {
        assert_eq!(Table::new(&Iommu::fake(), 1).map(drop), Err(NO_TRACKING));
    }
}
