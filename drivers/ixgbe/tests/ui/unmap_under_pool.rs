//! A region that became a pool cannot be unmapped: it is the pool's.

use vfio_hal::dma::Region;
use vfio_hal::dma::pool::Pool;

fn unmap(region: Region) {
    let pool = Pool::new(region, 64, 2048);
    drop(region);
    drop(pool);
}

fn main() {}
