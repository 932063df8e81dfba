//! A port that is not started has no queues.

use pmd_ixgbe::Configured;
use vfio_hal::dma::pool::{Burst, Cache};

fn send(mut port: Configured, cache: &mut Cache, burst: &mut Burst) {
    let _ = port.tx[0].tx_burst(cache, burst);
}

fn main() {}
