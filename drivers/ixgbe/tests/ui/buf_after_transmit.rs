//! A packet that was given to a queue is not the application's any more.

use pmd_ixgbe::TxQueue;
use vfio_hal::dma::pool::{Buf, Burst, Cache};

fn send(queue: &mut TxQueue, cache: &mut Cache, mut packet: Buf) {
    let mut burst = Burst::new(32);
    let _ = burst.push(packet);
    let _ = queue.tx_burst(cache, &mut burst);
    packet.data_mut()[0] = 1;
}

fn main() {}
