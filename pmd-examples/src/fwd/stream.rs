//! A stream: receive queue, action, transmit queue.

use std::fmt;
use std::time::{Duration, Instant};

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::{RxQueue, TxQueue};
use vfio_hal::ring::TxError;

use super::modes::Action;
use crate::fault::Fault;
use crate::port::Ports;
use crate::report::Forwarded;

/// How long a full transmit ring is waited for.
const PATIENCE: Duration = Duration::from_millis(10);

/// One receive queue and where its packets go.
pub(crate) struct Stream {
    from: usize,
    to: usize,
    rx: Box<dyn RxQueue>,
    tx: Option<Box<dyn TxQueue>>,
    action: Action,
    /// What is being sent.
    held: Burst,
    /// Since when the transmit ring takes nothing.
    full_since: Option<Instant>,
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
        burst: usize,
    ) -> Stream {
        let held = Burst::new(burst);
        Stream {
            from,
            to,
            rx,
            tx,
            action,
            held,
            full_since: None,
            received: 0,
            sent: 0,
            tx_dropped: 0,
            mode_dropped: 0,
        }
    }

    /// Takes one burst through; returns whether there was something to do.
    pub(crate) fn forward(
        &mut self,
        cache: &mut Cache,
        burst: &mut Burst,
        draining: bool,
    ) -> Result<bool, Fault> {
        if !self.held.is_empty() {
            return self.send_held(cache).map(|()| self.full_since.is_none());
        }
        if !self.action.receives() {
            let made = if draining { 0 } else { self.action.generate(cache, &mut self.held) };
            return self.send_held(cache).map(|()| made != 0);
        }
        let received = self
            .rx
            .rx_burst(cache, burst)
            .map_err(|error| Fault::Run(format!("port {}: {error}", self.from)))?;
        if received == 0 {
            return Ok(false);
        }
        self.received += received as u64;
        self.action.apply(self.to, burst, cache);
        self.mode_dropped += (received - burst.len()) as u64;
        std::mem::swap(burst, &mut self.held);
        self.send_held(cache).map(|()| true)
    }

    /// Sends what it holds. What does not fit on the ring is tried again in the next round, and nothing is received
    /// meanwhile: whoever sends waits, or its port counts. A ring that stays full for long is that of a link that is down
    /// or paused: what is for it is dropped, until it takes packets again.
    fn send_held(&mut self, cache: &mut Cache) -> Result<(), Fault> {
        let Some(tx) = &mut self.tx else {
            cache.free_all(&mut self.held);
            return Ok(());
        };
        while !self.held.is_empty() {
            match tx.tx_burst(cache, &mut self.held) {
                Ok(0) => break,
                Ok(sent) => {
                    self.sent += sent as u64;
                    self.full_since = None;
                }
                Err(error @ TxError::Lost) => return Err(Fault::Run(format!("port {}: {error}", self.to))),
                // One packet that cannot be sent must not hold up the others.
                Err(_) => {
                    if let Some(buf) = self.held.take() {
                        cache.free(buf);
                        self.tx_dropped += 1;
                    }
                }
            }
        }
        if !self.held.is_empty() && self.full_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            self.tx_dropped += self.held.len() as u64;
            cache.free_all(&mut self.held);
        }
        Ok(())
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

    /// Returns whether there are packets that wait for room on the transmit ring.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives the queues back to `ports` and adds what was counted.
    pub(crate) fn give_back(self, ports: &mut Ports, forwarded: &mut [Forwarded]) {
        let (from, to) = (&mut forwarded[self.from], self.to);
        from.rx_packets += self.received;
        from.mode_dropped += self.mode_dropped;
        forwarded[to].tx_packets += self.sent;
        forwarded[to].tx_dropped += self.tx_dropped + self.held.len() as u64;
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
