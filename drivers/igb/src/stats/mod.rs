//! Statistics: what the device and the rings counted, added up (82576 datasheet 8.19).
//!
//! The device's counters clear when they are read, so there is one reader: [`Stats::update`], which needs the one
//! [`Hw`]. Nothing else in the driver may read them. At 1 Gb/s a packet counter, of 32 bits, is full after 48 minutes and
//! stays so; byte counters have 64 bits.
//!
//! Key types: [`Stats`]. Its parts are `counters` (what the device counts), `xstats` (the names), and
//! [`Rings`] (what the rings count, by queue: the device has only one counter a queue, of packets dropped).
//!
//! Neighbours: [`port`](crate::port) clears the device's counters at each start and attaches the rings. The sums live
//! as long as the port does, across stop, start and reset.

mod counters;
mod xstats;

use alloc::sync::Arc;
use alloc::vec::Vec;

use pmd_intel::{Name, Rings};
use vfio_hal::pmd::{PortError, PortStats};
use vfio_hal::ring::{RxStats, TxStats};

use crate::hw::Hw;
use counters::Counters;

/// Bytes of a frame check sequence.
const FCS: u64 = 4;

/// The statistics of a port since they were reset.
pub(crate) struct Stats {
    device: Counters,
    rx: Rings<RxStats>,
    tx: Rings<TxStats>,
}

impl Stats {
    /// Returns statistics that start from 0.
    pub(crate) fn new() -> Stats {
        Stats { device: Counters::default(), rx: Rings::new(), tx: Rings::new() }
    }

    /// Takes the rings of a start, by queue.
    pub(crate) fn attach(&mut self, rx: Vec<Arc<RxStats>>, tx: Vec<Arc<TxStats>>) {
        self.rx.attach(rx);
        self.tx.attach(tx);
    }

    /// Reads the device's counters and adds them up.
    ///
    /// # Errors
    /// If the device is gone; the sums stay what they were.
    pub(crate) fn update(&mut self, hw: &mut Hw) -> Result<(), PortError> {
        let read = Counters::take(hw)?;
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

    /// Returns the basic statistics as of the last update.
    pub(crate) fn basic(&self) -> PortStats {
        let c = &self.device;
        let [_, _, no_buffer, malformed] = self.rx.total();
        let [_, _, _, refused] = self.tx.total();
        let sum = |counts: &[u64]| counts.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        PortStats {
            ipackets: c.gprc,
            ibytes: c.gorc.saturating_sub(c.gprc.wrapping_mul(FCS)),
            opackets: c.gptc,
            obytes: c.gotc.saturating_sub(c.gptc.wrapping_mul(FCS)),
            imissed: sum(&c.dropped).wrapping_add(c.mpc),
            ierrors: sum(&[c.crcerrs, c.rlec, c.rxerrc, c.algnerrc, malformed]),
            oerrors: sum(&[c.ecol, c.latecol, refused]),
            rx_nombuf: no_buffer,
        }
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
        xstats::DEVICE.iter().for_each(|(name, value)| each(name, value(&self.device)));
    }

    fn each_queue(&self, each: &mut dyn FnMut(&str, u64)) {
        let mut name = Name::new();
        for queue in 0..self.rx.queues() {
            let [packets, bytes, ..] = self.rx.of(queue);
            each(name.set(format_args!("rx_q{queue}_packets")), packets);
            each(name.set(format_args!("rx_q{queue}_bytes")), bytes);
            let dropped = self.device.dropped.get(queue).copied().unwrap_or(0);
            each(name.set(format_args!("rx_q{queue}_errors")), dropped);
        }
        for queue in 0..self.tx.queues() {
            let [packets, bytes, ..] = self.tx.of(queue);
            each(name.set(format_args!("tx_q{queue}_packets")), packets);
            each(name.set(format_args!("tx_q{queue}_bytes")), bytes);
        }
    }
}

/// Clears the device's counters, which hold anything after power-on and old numbers after a reset.
pub(crate) fn clear(hw: &mut Hw) -> Result<(), PortError> {
    Counters::take(hw)?;
    Ok(())
}
