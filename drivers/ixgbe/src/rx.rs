//! One receive queue.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use vfio_hal::dma::Quiesced;
use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::{self, PortError};
use vfio_hal::poll::{self, Poll};
use vfio_hal::ring::{RxError, RxRing, RxStats};
use vfio_hal::{Clock, DeviceError};

use crate::desc::Advanced;
use crate::interrupt::Vector;
use crate::lro;
use crate::port::PortKey;
use crate::regs::{RDH, RDLEN, RSCCTL, RXDCTL, SRRCTL, View};

/// SRRCTL.DESCTYPE: advanced descriptors with one buffer (8.2.3.8.7).
const ADVANCED_ONE_BUFFER: u32 = 1;

/// How long ENABLE may take to follow, both ways.
const ENABLE_LIMIT: Duration = Duration::from_millis(10);

/// A receive queue of a started port: the one owner of its ring and of its queue registers.
pub struct RxQueue {
    pub(crate) key: PortKey,
    id: u16,
    ring: RxRing<Advanced>,
    view: View,
    clock: Arc<dyn Clock>,
    control: RXDCTL,
    vector: Vector,
    running: bool,
}

impl RxQueue {
    pub(crate) fn new(
        key: PortKey,
        id: u16,
        ring: RxRing<Advanced>,
        view: View,
        clock: Arc<dyn Clock>,
        vlan_strip: bool,
    ) -> RxQueue {
        let control = RXDCTL::default().with_vme(vlan_strip);
        let vector = Vector::of_queue(id);
        RxQueue { key, id, ring, view, clock, control, vector, running: false }
    }

    /// Returns the queue's number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Returns the number of descriptors.
    pub fn ring_size(&self) -> u32 {
        self.ring.size()
    }

    /// Returns whether the queue is started.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Returns the counters.
    pub fn stats(&self) -> Arc<RxStats> {
        self.ring.stats()
    }

    /// Takes received packets into `out`, at most as many as fit and 32 at a time; returns how many. `cache` gives the
    /// buffers that take their place.
    #[inline]
    pub fn rx_burst(&mut self, cache: &mut Cache, out: &mut Burst) -> Result<usize, RxError> {
        self.ring.burst(cache, out)
    }

    /// Returns how many received descriptors wait, looking at most `limit` ahead.
    pub fn pending(&self, limit: u32) -> u32 {
        self.ring.pending(limit)
    }

    /// Tells the device where the ring is and how large its buffers are (4.6.7), `kib` each.
    pub(crate) fn program(&self, kib: u32, drop: bool, lro: bool) -> Result<(), PortError> {
        let queue = usize::from(self.id);
        let (bus, bytes) = self.ring.bus();
        self.view.write_bus::<crate::regs::RDBA>(queue, bus)?;
        self.view.at::<RDLEN>(queue)?.write(RDLEN::new(bytes));
        let srrctl =
            SRRCTL::default().with_bsizepacket(kib).with_desctype(ADVANCED_ONE_BUFFER).with_drop_en(drop);
        self.view.at::<SRRCTL>(queue)?.write(srrctl);
        self.view.at::<RSCCTL>(queue)?.write(lro::control(lro, kib));
        Ok(())
    }

    /// Enables the queue and gives the ring to the device.
    pub(crate) fn enable(&mut self) -> Result<(), PortError> {
        let queue = usize::from(self.id);
        self.view.at::<RDH>(queue)?.write(RDH::default());
        let control = self.view.at::<RXDCTL>(queue)?;
        control.write(self.control.with_enable(true));
        // From here on the device may use the ring, whatever it answers.
        self.ring.expose();
        Poll::new(&*self.clock, "receive queue enable (RXDCTL.ENABLE)", ENABLE_LIMIT)
            .register(control, RXDCTL::enable)?;
        self.ring.post_all();
        self.running = true;
        Ok(())
    }

    /// Disables the queue; the proof says that its ring and buffers are the host's again.
    pub(crate) fn disable(&mut self) -> Result<Quiesced, DeviceError> {
        let control = self.view.at::<RXDCTL>(usize::from(self.id))?;
        control.write(self.control.with_enable(false));
        let proof = poll::quiesced(&*self.clock, ENABLE_LIMIT, control)?;
        self.running = false;
        Ok(proof)
    }

    /// Stops the queue: its buffers return to the pool. Packets for it are dropped or held back meanwhile.
    pub fn stop(&mut self) -> Result<(), PortError> {
        if self.running {
            let proof = self.disable()?;
            self.ring.release(&proof)?;
        }
        Ok(())
    }

    /// Starts the queue again after [`stop`](Self::stop).
    pub fn start(&mut self) -> Result<(), PortError> {
        if !self.running {
            self.ring.refill()?;
            self.enable()?;
        }
        Ok(())
    }

    /// Takes VLAN tags out of packets received from now on, or leaves them in.
    pub fn set_vlan_strip(&mut self, on: bool) -> Result<(), PortError> {
        self.control = self.control.with_vme(on);
        let control = self.view.at::<RXDCTL>(usize::from(self.id))?;
        control.write(self.control.with_enable(self.running));
        Ok(self.view.lost().check()?)
    }

    /// Gives everything back to the pool once the device has stopped.
    pub(crate) fn release(&mut self, proof: &Quiesced) -> Result<(), DeviceError> {
        self.running = false;
        self.ring.release(proof)
    }

    /// Arms the queue's interrupt once: the next packet fires it. Poll once more after arming, then wait.
    pub fn arm(&mut self) -> Result<(), PortError> {
        self.vector.unmask(&self.view)
    }

    /// Disarms the queue's interrupt.
    pub fn disarm(&mut self) -> Result<(), PortError> {
        self.vector.mask(&self.view)
    }
}

impl pmd::RxQueue for RxQueue {
    fn id(&self) -> u16 {
        self.id()
    }

    fn rx_burst(&mut self, cache: &mut Cache, out: &mut Burst) -> Result<usize, RxError> {
        self.rx_burst(cache, out)
    }

    fn pending(&self, limit: u32) -> u32 {
        self.pending(limit)
    }

    fn stats(&self) -> Arc<RxStats> {
        self.stats()
    }

    fn start(&mut self) -> Result<(), PortError> {
        self.start()
    }

    fn stop(&mut self) -> Result<(), PortError> {
        self.stop()
    }

    fn set_vlan_strip(&mut self, on: bool) -> Result<(), PortError> {
        self.set_vlan_strip(on)
    }

    fn arm(&mut self) -> Result<(), PortError> {
        self.arm()
    }

    fn disarm(&mut self) -> Result<(), PortError> {
        self.disarm()
    }

    fn into_any(self: Box<Self>) -> Box<dyn core::any::Any + Send> {
        self
    }
}
