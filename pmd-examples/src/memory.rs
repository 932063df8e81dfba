//! Where buffers live: hugepages if there are any, announced 4 KiB pages otherwise.

use vfio_hal::dma::memory::{PAGE_4K, Pages, Request};
use vfio_hal::dma::pool::Pool;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

use crate::fault::Fault;

/// Makes a pool of `count` buffers with `data_room` bytes each; returns it with a line that says what memory it got.
pub(crate) fn pool(
    space: &IovaSpace,
    count: u32,
    data_room: u32,
    no_huge: bool,
) -> Result<(Pool, String), Fault> {
    let bytes = (Pool::stride(data_room) as u64).saturating_mul(count.into());
    let pages = if no_huge { Pages::Size4K } else { Pages::Auto };
    let memory = Request::new(bytes).pages(pages).alloc()?;
    let info = memory.info();
    let what = if info.page > PAGE_4K { "hugepages" } else { "memory" };
    let line = format!("{what}: {count} buffers of {data_room} bytes in {info}");
    let region = Region::alloc(space, memory, DmaAccess::ReadWrite)?;
    Ok((Pool::new(region, count, data_room)?, line))
}
