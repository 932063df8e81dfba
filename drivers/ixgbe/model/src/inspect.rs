//! The inside of a model, for tests and tools.
//!
//! Key types: [`Inspect`], [`QueueState`]. Neighbours: reads all units, changes nothing.

use pmd_ixgbe::regs::CTRL_EXT;
use pmd_links::LinkStatus;

pub use crate::events::{Counters, LastFault};
use crate::model::{Model82599, link_status};

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// The queue runs.
    pub enabled: bool,
    /// A failed memory access stopped it.
    pub halted: bool,
    /// The head as RDH or TDH tells it.
    pub head: u32,
}

/// A view into a model.
pub struct Inspect<'m>(&'m Model82599);

impl Model82599 {
    /// Returns a view of the inside. Looking has no effect on the device.
    pub fn inspect(&self) -> Inspect<'_> {
        Inspect(self)
    }
}

impl Inspect<'_> {
    /// Counters that nothing clears.
    pub fn counters(&self) -> Counters {
        self.0.core.events.counters
    }

    /// What the last fault was.
    pub fn last_fault(&self) -> LastFault {
        self.0.core.events.last
    }

    /// A receive queue, 0 to 127; `None` for another number.
    pub fn rx_queue(&self, queue: usize) -> Option<QueueState> {
        let queue = self.0.rx.queues.get(queue)?;
        Some(QueueState { enabled: queue.enabled, halted: queue.halted, head: queue.head })
    }

    /// A transmit queue, 0 to 127; `None` for another number.
    pub fn tx_queue(&self, queue: usize) -> Option<QueueState> {
        let queue = self.0.tx.queues.get(queue)?;
        Some(QueueState { enabled: queue.enabled, halted: queue.halted, head: queue.head })
    }

    /// Packets that wait in the receive packet buffers, and the bytes they take there.
    pub fn packet_buffer(&self) -> (usize, usize) {
        let all = self.0.rx.buffers.iter();
        all.fold((0, 0), |(packets, bytes), buffer| (packets + buffer.len(), bytes + buffer.bytes()))
    }

    /// Whether the driver says that it is loaded (CTRL_EXT.DRV_LOAD).
    pub fn driver_loaded(&self) -> bool {
        self.0.core.regs.get::<CTRL_EXT>().drv_load()
    }

    /// The link as the MAC sees it.
    pub fn link(&self) -> LinkStatus {
        link_status(&self.0.phy)
    }

    /// How often each of the 64 vectors fired; in legacy and MSI mode all is vector 0.
    pub fn interrupts(&self) -> &[u64; 64] {
        &self.0.core.irq.fired
    }

    /// Whether the link will bring nothing more.
    pub fn exhausted(&self) -> bool {
        self.0.wire.exhausted()
    }

    /// The failure after which the link was given up.
    pub fn link_error(&self) -> Option<pmd_links::LinkError> {
        self.0.wire.error
    }
}
