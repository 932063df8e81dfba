//! What all units share: the registers, interrupts, counters and the configuration.
//!
//! Key types: [`Core`].

use pmd_links::Nanos;

use crate::config::Config;
use crate::events::Events;
use crate::irq::Interrupts;
use crate::regs::RegisterFile;

/// Shared state, handed to the units by `&mut`.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) regs: RegisterFile,
    pub(crate) irq: Interrupts,
    pub(crate) events: Events,
    /// The link's speed in Mbit/s, 0 when down.
    pub(crate) speed_mbps: u32,
    /// The device's time, that of the current call.
    pub(crate) now: Nanos,
    /// What the device's time is ahead of the backend's; it wraps. Not 0 once the device came from elsewhere.
    pub(crate) shift: Nanos,
    /// The device came from elsewhere and no time was seen here yet.
    pub(crate) arrived: bool,
}

impl Core {
    /// A call begins, at a time of the backend's clock. The device's clock goes on where it was when the device came here, and
    /// stands still while the backend's runs backwards.
    pub(crate) fn call_at(&mut self, outside: Nanos) {
        if std::mem::take(&mut self.arrived) {
            self.shift = self.now.wrapping_sub(outside);
        }
        self.now = self.now.max(outside.wrapping_add(self.shift));
    }

    /// The time of the call by the backend's clock, which is the link's too.
    pub(crate) fn outside(&self) -> Nanos {
        self.now.wrapping_sub(self.shift)
    }
}

/// Receive and transmit queues each.
pub(crate) const QUEUES: usize = 128;

/// The doorbells of the spec, in the order of their offsets: RDT 0 to 63, TDT 0 to 127, RDT 64 to 127.
pub(crate) mod doorbell {
    /// RDT of a receive queue.
    pub(crate) const fn rx(queue: usize) -> usize {
        if queue < 64 { queue } else { 128 + queue }
    }
    /// TDT of a transmit queue.
    pub(crate) const fn tx(queue: usize) -> usize {
        64 + queue
    }
}

/// The queues whose bits are set, lowest first.
pub(crate) fn queues(mut set: u128) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let queue = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(queue)
    })
}

/// Numbers that look random and repeat with their seed (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // 0 would stay 0.
        Random(seed ^ 0x9E37_79B9_7F4A_7C15 | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
