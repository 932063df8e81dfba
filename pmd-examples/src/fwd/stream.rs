//! A stream: receive queue, action, transmit queue.

use std::fmt;
use std::time::{Duration, Instant};

use vfio_hal::dma::pool::{Burst, Cache};
use vfio_hal::pmd::{RxQueue, TxQueue};
use vfio_hal::ring::TxError;

use super::modes::{Action, State};
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
    state: State,
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
    ) -> Result<Stream, Fault> {
        let (held, state) = (Burst::new(burst), action.state()?);
        Ok(Stream {
            from,
            to,
            rx,
            tx,
            action,
            state,
            held,
            full_since: None,
            received: 0,
            sent: 0,
            tx_dropped: 0,
            mode_dropped: 0,
        })
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
        let mut received = 0;
        if self.action.receives() {
            received = self
                .rx
                .rx_burst(cache, burst)
                .map_err(|error| Fault::Run(format!("port {}: {error}", self.from)))?;
        }
        if received != 0 {
            self.received += received as u64;
            let waiting = self.state.waiting();
            self.action.apply(&mut self.state, self.to, burst, cache);
            // What is held back is not dropped, and what was held back comes out.
            self.mode_dropped += (received + waiting - burst.len() - self.state.waiting()) as u64;
        } else if self.state.waiting() != 0 {
            self.action.release(&mut self.state, burst, draining);
        }
        std::mem::swap(burst, &mut self.held);
        let mut made = 0;
        if self.action.generates() && !draining {
            made = self.action.generate(&mut self.state, cache, &mut self.held);
        }
        let busy = received + made + self.held.len() != 0;
        self.send_held(cache).map(|()| busy)
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

    /// Returns whether there are packets that wait, for room on the transmit ring or because the mode holds them back.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty() || self.state.waiting() != 0
    }

    /// Gives the queues back to `ports` and adds what was counted.
    pub(crate) fn give_back(self, ports: &mut Ports, forwarded: &mut [Forwarded]) {
        let (from, to) = (&mut forwarded[self.from], self.to);
        from.rx_packets += self.received;
        from.mode_dropped += self.mode_dropped;
        from.rx_bad_ip_csum += self.state.bad.ip;
        from.rx_bad_l4_csum += self.state.bad.l4;
        forwarded[to].tx_packets += self.sent;
        forwarded[to].tx_dropped += self.tx_dropped + (self.held.len() + self.state.waiting()) as u64;
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
