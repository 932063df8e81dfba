//! Where buffers and rings live: hugepages if there are any, announced 4 KiB pages otherwise.

use vfio_hal::dma::memory::{Memory, MemorySource, PAGE_4K, Pages, Request};
use vfio_hal::dma::pool::Pool;
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region};

use crate::fault::Fault;

/// What memory is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// 4 KiB pages, though there are hugepages.
    pub(crate) no_huge: bool,
    /// The NUMA node of the devices, where they have one.
    pub(crate) node: Option<u32>,
    /// The devices see physical addresses, so pages must stay where they are.
    pub(crate) physical: bool,
}

impl Wanted {
    fn request(self, bytes: u64) -> Request {
        let request = Request::new(bytes).pages(if self.no_huge { Pages::Size4K } else { Pages::Auto });
        let request = if self.physical { request.lock() } else { request };
        match self.node {
            Some(node) => request.node(node),
            None => request,
        }
    }

    /// Makes a pool of `count` buffers with `data_room` bytes each; returns it with a line that says what memory it got.
    pub(crate) fn pool(self, space: &IovaSpace, count: u32, data_room: u32) -> Result<(Pool, String), Fault> {
        let bytes = (Pool::stride(data_room) as u64).saturating_mul(count.into());
        let memory = self.request(bytes).alloc()?;
        let info = memory.info();
        let what = if info.page > PAGE_4K { "hugepages" } else { "memory" };
        let line = format!("{what}: {count} buffers of {data_room} bytes in {info}");
        let region = Region::alloc(space, memory, DmaAccess::ReadWrite).map_err(|error| match error {
            DmaError::NoPhysical { .. } => Fault::Run(format!(
                "without an IOMMU all buffers must be in one piece of memory, and these {bytes} bytes are not: reserve 1 GiB \
                 pages (pmd hugepages -p 1G --setup 1G), or use fewer buffers (--rxd, --txd)"
            )),
            error => error.into(),
        })?;
        Ok((Pool::new(region, count, data_room)?, line))
    }

    /// Returns where drivers get the memory of their rings from: pages of a file, which another process can map too.
    pub(crate) fn rings(self) -> MemorySource {
        MemorySource::new(move |len| Ok(Box::new(self.request(len as u64).alloc()?) as Box<dyn Memory>))
    }
}
