//! What happened inside, for tests and tools: counters that no register read clears, and what went wrong.
//!
//! Key types: [`Counters`], [`LastFault`]. Neighbours: every unit counts here; [`inspect`](crate::inspect) shows it.

use vfio_user_kit::DmaFault;

use crate::state::{State, StateError, Writer, check, state};

/// Counters from power-on. Registers that clear on read do not touch them, and neither does a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames taken from the link.
    pub rx_frames: u64,
    /// Packets whose last descriptor was written back.
    pub rx_delivered: u64,
    /// Frames that came while RXCTRL.RXEN or SECRXCTRL kept the path closed.
    pub rx_disabled: u64,
    /// Frames that no address or VLAN filter wanted.
    pub rx_filtered: u64,
    /// Frames too short or too long.
    pub rx_bad_length: u64,
    /// PAUSE and other MAC control frames that ended in the MAC.
    pub rx_mac_control: u64,
    /// Frames lost because the packet buffer was full (MPC).
    pub rx_missed: u64,
    /// Packets dropped for a queue that was disabled or has SRRCTL.DROP_EN and no descriptors (QPRDC).
    pub rx_no_descriptor: u64,
    /// Packets dropped because the queue's set-up cannot work: no buffer size, a ring too small for the packet.
    pub rx_bad_setup: u64,
    /// Packets dropped by a filter that says drop.
    pub rx_filter_drop: u64,
    /// Packets waiting in the packet buffer when a reset or a disable threw them away.
    pub rx_flushed: u64,
    /// Frames that the link took.
    pub tx_frames: u64,
    /// Packets in whole sent to the MAC by queues: with segmentation, one of these is many frames.
    pub tx_packets: u64,
    /// Packets dropped because their descriptors make no sense; see [`LastFault`].
    pub tx_malformed: u64,
    /// Frames that the link refused for good.
    pub tx_link_error: u64,
    /// Times that the link was busy and a frame waited.
    pub tx_busy: u64,
    /// Memory accesses that failed. Each stops its queue.
    pub dma_faults: u64,
    /// Reads of offsets without a register.
    pub unknown_reads: u64,
    /// Writes to offsets without a register.
    pub unknown_writes: u64,
    /// Register accesses within the time that a reset takes, which software must not make.
    pub accesses_in_reset: u64,
    /// Resets: CTRL.RST, CTRL.LRST and of the function.
    pub resets: u64,
}

/// What the last counted fault was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LastFault {
    /// None so far.
    #[default]
    None,
    /// A memory access failed.
    Dma(DmaFault),
    /// A receive queue's set-up cannot work.
    RxSetup {
        /// The queue.
        queue: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A transmit descriptor makes no sense.
    TxDescriptor {
        /// The queue.
        queue: usize,
        /// The descriptor's place in the ring.
        index: u32,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Both, as the units pass them around.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) counters: Counters,
    pub(crate) last: LastFault,
}

state!(Counters {
    rx_frames,
    rx_delivered,
    rx_disabled,
    rx_filtered,
    rx_bad_length,
    rx_mac_control,
    rx_missed,
    rx_no_descriptor,
    rx_bad_setup,
    rx_filter_drop,
    rx_flushed,
    tx_frames,
    tx_packets,
    tx_malformed,
    tx_link_error,
    tx_busy,
    dma_faults,
    unknown_reads,
    unknown_writes,
    accesses_in_reset,
    resets,
});
// What the last fault was is told where it happened.
state!(Events { counters } without { last: LastFault::None });

impl Events {
    /// Checks what came from outside: counts that can go on counting.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        let mut bytes = Writer::default();
        self.counters.save(&mut bytes);
        check(bytes.all_below(1 << 62), "a counter that no device reaches")
    }

    pub(crate) fn dma_fault(&mut self, fault: DmaFault) {
        self.counters.dma_faults += 1;
        self.last = LastFault::Dma(fault);
        log::debug!("{fault}");
    }

    pub(crate) fn rx_setup(&mut self, queue: usize, reason: &'static str) {
        self.counters.rx_bad_setup += 1;
        self.last = LastFault::RxSetup { queue, reason };
    }

    pub(crate) fn tx_malformed(&mut self, queue: usize, index: u32, reason: &'static str) {
        self.counters.tx_malformed += 1;
        self.last = LastFault::TxDescriptor { queue, index, reason };
        log::debug!("transmit queue {queue}, descriptor {index}: {reason}");
    }
}
