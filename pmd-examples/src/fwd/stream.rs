//! A stream: receive queue, action, transmit queue.

use std::fmt;

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::{RxQueue, TxQueue};
use vfio_hal::ring::TxError;

use super::modes::Action;
use crate::fault::Fault;
use crate::port::Ports;
use crate::report::Forwarded;

/// One receive queue and where its packets go.
pub(crate) struct Stream {
    from: usize,
    to: usize,
    rx: Box<dyn RxQueue>,
    tx: Option<Box<dyn TxQueue>>,
    action: Action,
    received: u64,
    sent: u64,
    tx_dropped: u64,
    mode_dropped: u64,
}

impl Stream {
    pub(crate) fn new(
        from: usize,
        to: usize,
        rx: Box<dyn RxQueue>,
        tx: Option<Box<dyn TxQueue>>,
        action: Action,
    ) -> Stream {
        Stream { from, to, rx, tx, action, received: 0, sent: 0, tx_dropped: 0, mode_dropped: 0 }
    }

    /// Takes one burst through; returns whether there was one.
    pub(crate) fn forward(
        &mut self,
        cache: &mut Cache,
        burst: &mut Burst,
        draining: bool,
    ) -> Result<bool, Fault> {
        let received = if self.action.receives() {
            self.rx
                .rx_burst(cache, burst)
                .map_err(|error| Fault::Run(format!("port {}: {error}", self.from)))?
        } else if draining {
            0
        } else {
            self.action.generate(cache, burst)
        };
        if received == 0 {
            return Ok(false);
        }
        if self.action.receives() {
            self.received += received as u64;
            self.action.apply(self.to, burst, cache);
            self.mode_dropped += (received - burst.len()) as u64;
        }
        let Some(tx) = &mut self.tx else { return Ok(true) };
        while !burst.is_empty() {
            match tx.tx_burst(cache, burst) {
                Ok(sent) => {
                    self.sent += sent as u64;
                    break;
                }
                Err(error @ TxError::Lost) => return Err(Fault::Run(format!("port {}: {error}", self.to))),
                // One packet that cannot be sent must not hold up the others.
                Err(_) => {
                    if let Some(buf) = burst.take() {
                        cache.free(buf);
                        self.tx_dropped += 1;
                    }
                }
            }
        }
        if self.action.receives() {
            self.tx_dropped += burst.len() as u64;
        }
        cache.free_all(burst);
        Ok(true)
    }
}

impl Stream {
    /// Lets the next packet fire the queue's interrupt, or no packet.
    pub(crate) fn arm(&mut self, on: bool) -> Result<(), Fault> {
        Ok(if on { self.rx.arm() } else { self.rx.disarm() }?)
    }

    /// Returns the port and the receive queue.
    pub(crate) fn source(&self) -> (usize, u16) {
        (self.from, self.rx.id())
    }

    /// Gives the queues back to `ports` and adds what was counted.
    pub(crate) fn give_back(self, ports: &mut Ports, forwarded: &mut [Forwarded]) {
        let (from, to) = (&mut forwarded[self.from], self.to);
        from.rx_packets += self.received;
        from.mode_dropped += self.mode_dropped;
        forwarded[to].tx_packets += self.sent;
        forwarded[to].tx_dropped += self.tx_dropped;
        ports.rx[self.from].push(self.rx);
        ports.tx[to].extend(self.tx);
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, queue) = self.source();
        if self.action.receives() {
            write!(f, "port {from} queue {queue}")?;
        }
        match &self.tx {
            Some(tx) if self.action.sends() => write!(f, " -> port {} queue {}", self.to, tx.id()),
            _ => Ok(()),
        }
    }
}
