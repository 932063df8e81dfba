//! Neither is a view of its bytes.

use pmd_ixgbe::TxQueue;
use vfio_hal::dma::pool::{Burst, Cache};

fn send(queue: &mut TxQueue, cache: &mut Cache, burst: &mut Burst) -> u8 {
    let data = burst.as_slice()[0].data();
    let _ = queue.tx_burst(cache, burst);
    data[0]
}

fn main() {}
