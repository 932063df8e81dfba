//! One transmit queue.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use pmd_intel::PortKey;
use vfio_hal::dma::Quiesced;
use vfio_hal::dma::pool::{Burst, Cache, SharedBuf};
use vfio_hal::pmd::{self, PortError};
use vfio_hal::poll::{self, Poll};
use vfio_hal::ring::{TxError, TxRing, TxStats};
use vfio_hal::{Clock, DeviceError};

use crate::desc::Advanced;
use crate::regs::{TDBA, TDH, TDLEN, TDT, TXDCTL, View};

/// How long ENABLE may take to follow, both ways.
const ENABLE_LIMIT: Duration = Duration::from_millis(10);

/// How long a queue that is stopped may take to send what it has (as DPDK waits).
const DRAIN_LIMIT: Duration = Duration::from_millis(10);

/// Prefetch thresholds of a queue (8.12), as DPDK's: fetch when fewer than 8 descriptors are on chip, if the host has at
/// least 1; write back each reported descriptor at once.
pub(crate) fn thresholds() -> TXDCTL {
    TXDCTL::default().with_pthresh(8).with_hthresh(1).with_wthresh(0)
}

/// A transmit queue of a started port: the one owner of its ring and of its queue registers.
pub struct TxQueue {
    pub(crate) key: PortKey,
    id: u16,
    ring: TxRing<Advanced>,
    view: View,
    clock: Arc<dyn Clock>,
    running: bool,
}

impl TxQueue {
    pub(crate) fn new(
        key: PortKey,
        id: u16,
        ring: TxRing<Advanced>,
        view: View,
        clock: Arc<dyn Clock>,
    ) -> TxQueue {
        TxQueue { key, id, ring, view, clock, running: false }
    }

    /// Returns the queue's number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Returns the number of descriptors.
    pub fn ring_size(&self) -> u32 {
        self.ring.size()
    }

    /// Returns how many descriptors are free, without looking at the device.
    pub fn free(&self) -> u32 {
        self.ring.free()
    }

    /// Returns whether the queue is started.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Returns the counters.
    pub fn stats(&self) -> Arc<TxStats> {
        self.ring.stats()
    }

    /// Sends packets from the front of `burst`; returns how many. What did not fit stays in the burst.
    #[inline]
    pub fn tx_burst(&mut self, cache: &mut Cache, burst: &mut Burst) -> Result<usize, TxError> {
        self.ring.burst(cache, burst)
    }

    /// Sends read-only clones, for multicast.
    pub fn tx_burst_shared(
        &mut self,
        cache: &mut Cache,
        burst: &mut Burst<SharedBuf>,
    ) -> Result<usize, TxError> {
        self.ring.burst_shared(cache, burst)
    }

    /// Frees what was sent into `cache`; returns how many descriptors.
    pub fn reap(&mut self, cache: &mut Cache) -> u32 {
        self.ring.reap(cache)
    }

    /// Tells the device where the ring is (4.5.10).
    pub(crate) fn program(&self) -> Result<(), PortError> {
        let queue = usize::from(self.id);
        let (bus, bytes) = self.ring.bus();
        self.view.write_bus::<TDBA>(queue, bus)?;
        self.view.at::<TDLEN>(queue)?.write(TDLEN::new(bytes));
        Ok(())
    }

    /// Enables the queue.
    pub(crate) fn enable(&mut self) -> Result<(), PortError> {
        let queue = usize::from(self.id);
        self.view.at::<TDH>(queue)?.write(TDH::default());
        self.view.at::<TDT>(queue)?.write(TDT::default());
        let control = self.view.at::<TXDCTL>(queue)?;
        control.write(thresholds().with_enable(true));
        self.ring.post_all();
        Poll::new(&*self.clock, "transmit queue enable (TXDCTL.ENABLE)", ENABLE_LIMIT)
            .register(control, TXDCTL::enable)?;
        self.running = true;
        Ok(())
    }

    /// Lets the device send what it has, for a short while; whether it did does not matter to who stops it.
    pub(crate) fn drain(&self) -> Result<(), DeviceError> {
        let queue = usize::from(self.id);
        let head = self.view.at::<TDH>(queue)?;
        let tail = self.view.at::<TDT>(queue)?;
        let empty = || head.read().tdh() == tail.read().tdt();
        match Poll::new(&*self.clock, "transmit queue to drain", DRAIN_LIMIT).until(self.view.lost(), empty) {
            Err(DeviceError::Timeout { .. }) => Ok(()),
            other => other,
        }
    }

    /// Disables the queue; the proof says that its ring and buffers are the host's again.
    pub(crate) fn disable(&mut self) -> Result<Quiesced, DeviceError> {
        let control = self.view.at::<TXDCTL>(usize::from(self.id))?;
        control.write(thresholds().with_enable(false));
        let proof = poll::quiesced(&*self.clock, ENABLE_LIMIT, control)?;
        self.running = false;
        Ok(proof)
    }

    /// Stops the queue after a short drain: its buffers return to their pools.
    pub fn stop(&mut self) -> Result<(), PortError> {
        if self.running {
            self.drain()?;
            let proof = self.disable()?;
            self.ring.release(&proof)?;
        }
        Ok(())
    }

    /// Starts the queue again after [`stop`](Self::stop).
    pub fn start(&mut self) -> Result<(), PortError> {
        if self.running { Ok(()) } else { self.enable() }
    }

    /// Gives everything back to the pools once the device has stopped.
    pub(crate) fn release(&mut self, proof: &Quiesced) -> Result<(), DeviceError> {
        self.running = false;
        self.ring.release(proof)
    }
}

impl pmd::TxQueue for TxQueue {
    fn id(&self) -> u16 {
        self.id()
    }

    fn tx_burst(&mut self, cache: &mut Cache, burst: &mut Burst) -> Result<usize, TxError> {
        self.tx_burst(cache, burst)
    }

    fn tx_burst_shared(&mut self, cache: &mut Cache, burst: &mut Burst<SharedBuf>) -> Result<usize, TxError> {
        self.tx_burst_shared(cache, burst)
    }

    fn reap(&mut self, cache: &mut Cache) -> u32 {
        self.reap(cache)
    }

    fn free(&self) -> u32 {
        self.free()
    }

    fn stats(&self) -> Arc<TxStats> {
        self.stats()
    }

    fn start(&mut self) -> Result<(), PortError> {
        self.start()
    }

    fn stop(&mut self) -> Result<(), PortError> {
        self.stop()
    }

    fn into_any(self: Box<Self>) -> Box<dyn core::any::Any + Send> {
        self
    }
}
