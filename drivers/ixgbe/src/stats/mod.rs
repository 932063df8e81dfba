//! Statistics: what the device and the rings counted, added up (82599 datasheet 8.2.3.23).
//!
//! The device's counters clear when they are read, so there is one reader: [`Stats::update`], which needs the one
//! [`Hw`]. Nothing else in the driver may read them. They are too small to be left alone: at 10 Gb/s the byte counters,
//! of 36 bits, are full after 55 seconds, and the packet counters, of 32 bits, after 4 minutes and 48 seconds. A full
//! counter stays at its highest value. Who wants exact numbers asks for them every 50 seconds or more often;
//! [`Running::full_counters`] tells whether somebody did not.
//!
//! Key types: [`Stats`]. Its parts are `counters` (what the device counts), `queues` (which of its 16 counters a queue
//! has, and what the rings count), `xstats` (the names).
//!
//! Three things are not as the device counts them: byte counts are without frame check sequences; pause frames are not
//! among the packets sent; GPRC is not used, since it includes packets that were missed, but the sum over all queues.
//!
//! Neighbours: [`port`](crate::port) clears the device's counters at each start and attaches the rings. The sums live
//! as long as the port does, across stop, start and reset.

mod counters;
mod queues;
#[cfg(test)]
mod tests;
mod xstats;

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfio_hal::pmd::{PortError, PortStats};
use vfio_hal::ring::{RxStats, TxStats};

use crate::Running;
use crate::hw::{Chip, Hw};
use counters::{Counters, FCS};
use pmd_intel::{Name, Rings};
use queues::own_counter;

/// Bytes of a pause frame, check sequence included.
const PAUSE_FRAME: u64 = 64;

/// The statistics of a port since they were reset.
pub(crate) struct Stats {
    device: Counters,
    rx: Rings<RxStats>,
    tx: Rings<TxStats>,
    /// UDP packets without a checksum count as checksum errors on the 82599 (specification update, erratum 44).
    xec_is_true: bool,
}

impl Stats {
    /// Returns statistics that start from 0.
    pub(crate) fn new(chip: Chip) -> Stats {
        Stats {
            device: Counters::default(),
            rx: Rings::new(),
            tx: Rings::new(),
            xec_is_true: chip != Chip::I82599,
        }
    }

    /// Takes the rings of a start, by queue, and gives each queue a counter of the device.
    pub(crate) fn attach(
        &mut self,
        hw: &mut Hw,
        rx: Vec<Arc<RxStats>>,
        tx: Vec<Arc<TxStats>>,
    ) -> Result<(), PortError> {
        queues::map(hw, rx.len(), tx.len())?;
        self.rx.attach(rx);
        self.tx.attach(tx);
        Ok(())
    }

    /// Reads the device's counters and adds them up.
    ///
    /// # Errors
    /// If the device is gone; the sums stay what they were.
    pub(crate) fn update(&mut self, hw: &mut Hw) -> Result<(), PortError> {
        let read = Counters::take(hw)?;
        if read.stuck != 0 {
            log::warn!(
                "{}: {} statistics counters were full, what came after is not counted: read them every 50 s",
                hw.device.name(),
                read.stuck
            );
        }
        self.device.add(&read);
        Ok(())
    }

    /// Starts everything from 0.
    pub(crate) fn reset(&mut self, hw: &mut Hw) -> Result<(), PortError> {
        clear(hw)?;
        self.device = Counters::default();
        self.rx.reset();
        self.tx.reset();
        Ok(())
    }

    /// Returns how often a counter was found full since the statistics were reset.
    fn stuck(&self) -> u64 {
        self.device.stuck
    }

    /// Returns the basic statistics as of the last update.
    pub(crate) fn basic(&self) -> PortStats {
        let counters = &self.device;
        let [_, _, no_buffer, malformed] = self.rx.total();
        let [_, _, _, refused] = self.tx.total();
        let pause = counters.pause_frames();
        let sent = counters.gptc.saturating_sub(pause);
        let received = |value: fn(&counters::Queue) -> u64| {
            counters.queues.iter().fold(0u64, |sum, queue| sum.wrapping_add(value(queue)))
        };
        PortStats {
            ipackets: received(|queue| queue.qprc),
            ibytes: received(counters::Queue::received),
            opackets: sent,
            obytes: counters
                .bytes
                .gotc
                .saturating_sub(pause.wrapping_mul(PAUSE_FRAME))
                .saturating_sub(sent.wrapping_mul(FCS)),
            imissed: counters.missed().wrapping_add(received(|queue| queue.qprdc)),
            ierrors: self.errors().wrapping_add(malformed),
            oerrors: refused,
            rx_nombuf: no_buffer,
        }
    }

    /// Returns the packets received with an error, added up as DPDK does.
    fn errors(&self) -> u64 {
        let c = &self.device;
        let xec = if self.xec_is_true { c.xec } else { 0 };
        [c.crcerrs, c.mspdc, c.rlec, c.ruc, c.roc, c.illerrc, c.errbc, c.rfc, c.fccrc, c.fclast, xec]
            .into_iter()
            .fold(0, u64::wrapping_add)
    }

    /// Calls `each` with the name and value of every extended statistic, always in the same order.
    pub(crate) fn each_xstat(&self, each: &mut dyn FnMut(&str, u64)) {
        let basic = self.basic();
        each("rx_good_packets", basic.ipackets);
        each("tx_good_packets", basic.opackets);
        each("rx_good_bytes", basic.ibytes);
        each("tx_good_bytes", basic.obytes);
        each("rx_missed_errors", basic.imissed);
        each("rx_errors", basic.ierrors);
        each("tx_errors", basic.oerrors);
        each("rx_mbuf_allocation_errors", basic.rx_nombuf);
        self.each_queue(each);
        self.device.each(each);
    }

    /// Queues that share a counter of the device have what their rings counted, and no `errors`: which of them a packet
    /// was dropped for is not known.
    fn each_queue(&self, each: &mut dyn FnMut(&str, u64)) {
        let mut name = Name::new();
        let (queues, device) = (self.rx.queues(), &self.device.queues);
        for queue in 0..queues {
            let own = own_counter(queue, queues).map(|counter| &device[counter]);
            let [packets, bytes, ..] = self.rx.of(queue);
            let (packets, bytes) = own.map_or((packets, bytes), |own| (own.qprc, own.received()));
            each(name.set(format_args!("rx_q{queue}_packets")), packets);
            each(name.set(format_args!("rx_q{queue}_bytes")), bytes);
            if let Some(own) = own {
                each(name.set(format_args!("rx_q{queue}_errors")), own.qprdc);
            }
        }
        let queues = self.tx.queues();
        for queue in 0..queues {
            let own = own_counter(queue, queues).map(|counter| &device[counter]);
            let [packets, bytes, ..] = self.tx.of(queue);
            let (packets, bytes) = own.map_or((packets, bytes), |own| (own.qptc, own.qbtc));
            each(name.set(format_args!("tx_q{queue}_packets")), packets);
            each(name.set(format_args!("tx_q{queue}_bytes")), bytes);
        }
    }
}

impl Running {
    /// Returns how often a counter of the device was found full since the statistics were reset. Anything but 0 says that
    /// they were not asked for often enough, and are too low.
    pub fn full_counters(&mut self) -> u64 {
        self.parts().1.stats.stuck()
    }
}

/// Clears the device's counters, which hold anything after power-on and old numbers after a reset.
pub(crate) fn clear(hw: &mut Hw) -> Result<(), PortError> {
    Counters::take(hw)?;
    Ok(())
}
