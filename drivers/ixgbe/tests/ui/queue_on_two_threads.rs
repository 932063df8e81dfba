//! A queue has one owner.

use pmd_ixgbe::RxQueue;
use vfio_hal::dma::pool::{Burst, Cache};

fn receive(queue: &mut RxQueue, cache: &mut [Cache; 2]) {
    let [first, second] = cache;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = queue.rx_burst(first, &mut Burst::new(32));
        });
        scope.spawn(|| {
            let _ = queue.rx_burst(second, &mut Burst::new(32));
        });
    });
}

fn main() {}
