//! The hot functions, each as a function of its own, for `scripts/check-hot-path` to look at the built code of.
//!
//! Nothing here is run. [`hot`] is everything that the kit promises to be free of panics, allocation and dynamic calls;
//! [`control`] is what the check must find guilty, so that a check that sees nothing fails.
#![forbid(unsafe_code)]

use std::hint::black_box;

/// One function for each thing that a data path calls, with the driver's own formats.
mod hot {
    use pmd_ixgbe::desc::Advanced;
    use pmd_ixgbe::inplace::Forwarder;
    use pmd_ixgbe::{RxQueue, TxQueue};
    use vfio_hal::DeviceError;
    use vfio_hal::dma::pool::{Buf, Burst, Cache, SharedBuf};
    use vfio_hal::ring::mpmc::Mpmc;
    use vfio_hal::ring::spsc::{Consumer, Producer};
    use vfio_hal::ring::{Outputs, RxError, RxRing, TxError, TxRing};

    #[inline(never)]
    pub(crate) fn rx_ring(
        ring: &mut RxRing<Advanced>,
        cache: &mut Cache,
        out: &mut Burst,
    ) -> Result<usize, RxError> {
        ring.burst(cache, out)
    }

    #[inline(never)]
    pub(crate) fn rx_queue(
        queue: &mut RxQueue,
        cache: &mut Cache,
        out: &mut Burst,
    ) -> Result<usize, RxError> {
        queue.rx_burst(cache, out)
    }

    #[inline(never)]
    pub(crate) fn rx_pending(queue: &RxQueue, limit: u32) -> u32 {
        queue.pending(limit)
    }

    #[inline(never)]
    pub(crate) fn tx_ring(
        ring: &mut TxRing<Advanced>,
        cache: &mut Cache,
        burst: &mut Burst,
    ) -> Result<usize, TxError> {
        ring.burst(cache, burst)
    }

    #[inline(never)]
    pub(crate) fn tx_queue(
        queue: &mut TxQueue,
        cache: &mut Cache,
        burst: &mut Burst,
    ) -> Result<usize, TxError> {
        queue.tx_burst(cache, burst)
    }

    #[inline(never)]
    pub(crate) fn tx_shared(
        queue: &mut TxQueue,
        cache: &mut Cache,
        burst: &mut Burst<SharedBuf>,
    ) -> Result<usize, TxError> {
        queue.tx_burst_shared(cache, burst)
    }

    #[inline(never)]
    pub(crate) fn tx_reap(queue: &mut TxQueue, cache: &mut Cache) -> u32 {
        queue.reap(cache)
    }

    #[inline(never)]
    pub(crate) fn forward(forwarder: &mut Forwarder) -> Result<usize, DeviceError> {
        forwarder.forward(|packet| Outputs(packet.len() as u32))
    }

    #[inline(never)]
    pub(crate) fn cache_alloc(cache: &mut Cache) -> Option<Buf> {
        cache.alloc()
    }

    #[inline(never)]
    pub(crate) fn cache_free(cache: &mut Cache, buf: Buf) {
        cache.free(buf);
    }

    #[inline(never)]
    pub(crate) fn cache_free_all(cache: &mut Cache, burst: &mut Burst) {
        cache.free_all(burst);
    }

    #[inline(never)]
    pub(crate) fn buf_drop(buf: Buf) {
        drop(buf);
    }

    #[inline(never)]
    pub(crate) fn shared_clone_drop(shared: &SharedBuf) {
        drop(shared.clone());
    }

    #[inline(never)]
    pub(crate) fn buf_fill(buf: &mut Buf, data: &[u8]) -> bool {
        buf.fill(data)
    }

    #[inline(never)]
    pub(crate) fn buf_edit(buf: &mut Buf, bytes: usize) -> bool {
        let moved = buf.prepend(bytes).is_some() | buf.append(bytes).is_some();
        moved | buf.trim_front(bytes) | buf.truncate(bytes)
    }

    #[inline(never)]
    pub(crate) fn burst_pass(burst: &mut Burst, out: &mut Burst) -> Result<(), Buf> {
        burst.take().map_or(Ok(()), |buf| out.push(buf))
    }

    #[inline(never)]
    pub(crate) fn spsc_push(ring: &mut Producer<u64>, value: u64) -> Result<(), u64> {
        ring.push(value)
    }

    #[inline(never)]
    pub(crate) fn spsc_push_bulk(ring: &mut Producer<u64>, values: [u64; 32]) -> bool {
        ring.push_bulk(values).is_ok()
    }

    #[inline(never)]
    pub(crate) fn spsc_push_burst(ring: &mut Producer<u64>, n: usize, value: u64) -> usize {
        ring.push_burst(n, || value)
    }

    #[inline(never)]
    pub(crate) fn spsc_pop(ring: &mut Consumer<u64>) -> Option<u64> {
        ring.pop()
    }

    #[inline(never)]
    pub(crate) fn spsc_pop_burst(ring: &mut Consumer<u64>, n: usize) -> u64 {
        let mut sum = 0u64;
        ring.pop_burst(n, |value| sum ^= value);
        sum
    }

    #[inline(never)]
    pub(crate) fn mpmc_push(ring: &Mpmc<u64>, value: u64) -> Result<(), u64> {
        ring.push(value)
    }

    #[inline(never)]
    pub(crate) fn mpmc_push_bulk(ring: &Mpmc<u64>, values: [u64; 32]) -> bool {
        ring.push_bulk(values).is_ok()
    }

    #[inline(never)]
    pub(crate) fn mpmc_push_burst(ring: &Mpmc<u64>, n: usize, value: u64) -> usize {
        ring.push_burst(n, || value)
    }

    #[inline(never)]
    pub(crate) fn mpmc_pop(ring: &Mpmc<u64>) -> Option<u64> {
        ring.pop()
    }

    #[inline(never)]
    pub(crate) fn mpmc_pop_burst(ring: &Mpmc<u64>, n: usize) -> u64 {
        let mut sum = 0u64;
        ring.pop_burst(n, |value| sum ^= value);
        sum
    }
}

/// What the check must object to.
mod control {
    #[inline(never)]
    pub(crate) fn indexes(data: &[u8], at: usize) -> u8 {
        data[at]
    }

    /// Two calls away.
    #[inline(never)]
    pub(crate) fn calls_what_indexes(data: &[u8], at: usize) -> u8 {
        indexes(data, at) ^ 1
    }

    #[inline(never)]
    pub(crate) fn allocates(bytes: usize) -> Vec<u8> {
        vec![1; bytes]
    }

    #[inline(never)]
    pub(crate) fn calls_anything(f: &mut dyn FnMut(u64) -> u64) -> u64 {
        f(1)
    }

    #[inline(never)]
    pub(crate) fn asks_the_system() -> std::time::Instant {
        std::time::Instant::now()
    }
}

/// Keeps functions in the program.
macro_rules! keep {
    ($module:ident: $($name:ident),* $(,)?) => {
        $(let _ = black_box($module::$name as *const ());)*
    };
}

fn main() {
    keep!(hot: rx_ring, rx_queue, rx_pending, tx_ring, tx_queue, tx_shared, tx_reap, forward);
    keep!(hot: cache_alloc, cache_free, cache_free_all, buf_drop, shared_clone_drop, buf_fill, buf_edit, burst_pass);
    keep!(hot: spsc_push, spsc_push_bulk, spsc_push_burst, spsc_pop, spsc_pop_burst);
    keep!(hot: mpmc_push, mpmc_push_bulk, mpmc_push_burst, mpmc_pop, mpmc_pop_burst);
    keep!(control: indexes, calls_what_indexes, allocates, calls_anything, asks_the_system);
}
