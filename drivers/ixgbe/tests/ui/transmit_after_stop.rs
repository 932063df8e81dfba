//! A queue that went back to its port sends nothing any more.

use pmd_ixgbe::Started;
use vfio_hal::dma::pool::{Burst, Cache};

fn stop(started: Started, cache: &mut Cache, burst: &mut Burst) {
    let Started { port, rx, mut tx } = started;
    let _ = port.stop(rx, tx);
    let _ = tx[0].tx_burst(cache, burst);
}

fn main() {}
