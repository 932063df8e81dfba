//! An lcore and its streams: receive queue, action, transmit queue.

use std::time::{Duration, Instant};

use vfio_hal::dma::pool::{Burst, Cache, Pool};
use vfio_hal::pmd::{RxQueue, TxQueue};
use vfio_hal::ring::{RxError, TxError};

use super::DRAIN_LIMIT;
use super::modes::Action;
use crate::fault::Fault;
use crate::port::{Ports, Step};
use crate::report::Forwarded;
use crate::signal::Stop;

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
    fn forward(&mut self, cache: &mut Cache, burst: &mut Burst, draining: bool) -> Result<bool, Fault> {
        let received = if self.action.receives() {
            self.rx.rx_burst(cache, burst).map_err(lost_rx)?
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
                Err(TxError::Lost) => return Err(Fault::Run(TxError::Lost.to_string())),
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

fn lost_rx(error: RxError) -> Fault {
    Fault::Run(error.to_string())
}

/// One worker: its core, its streams, its stock of buffers, and the models that work between its bursts.
pub(crate) struct Lcore {
    pub(crate) core: usize,
    pub(crate) streams: Vec<Stream>,
    pub(crate) steps: Vec<Step>,
    pub(crate) spare: Vec<(usize, Box<dyn TxQueue>)>,
    cache: Cache,
    burst: Burst,
}

/// How many idle rounds an lcore spins before it lets others run, and then before it naps.
const IDLE: (u32, u32) = (64, 512);

/// How long an idle lcore naps: the delay that the first packet of a quiet port may meet.
const NAP: Duration = Duration::from_micros(50);

impl Lcore {
    pub(crate) fn new(core: usize, pool: &Pool, burst: usize) -> Lcore {
        let (cache, burst) = (pool.cache(), Burst::new(burst));
        Lcore { core, streams: Vec::new(), steps: Vec::new(), spare: Vec::new(), cache, burst }
    }

    /// Forwards until told to quit, then until nothing is under way.
    pub(crate) fn work(&mut self, quit: &Stop) -> Result<(), Fault> {
        let mut idle = 0;
        let mut draining: Option<Instant> = None;
        loop {
            let busy = self.round(draining.is_some())?;
            idle = if busy { 0 } else { idle + 1 };
            match draining {
                None if quit.is_set() => (draining, idle) = (Some(Instant::now()), 0),
                Some(since) if idle > IDLE.1 || since.elapsed() > DRAIN_LIMIT => return Ok(()),
                _ => {}
            }
            match idle {
                0 => {}
                idle if idle < IDLE.0 => std::hint::spin_loop(),
                idle if idle < IDLE.1 => std::thread::yield_now(),
                _ => std::thread::sleep(NAP),
            }
        }
    }

    fn round(&mut self, draining: bool) -> Result<bool, Fault> {
        let mut busy = false;
        for stream in &mut self.streams {
            busy |= stream.forward(&mut self.cache, &mut self.burst, draining)?;
        }
        for step in &self.steps {
            busy |= step();
        }
        Ok(busy)
    }

    /// Gives all queues back to `ports` and adds what was counted.
    pub(crate) fn give_back(self, ports: &mut Ports, forwarded: &mut [Forwarded]) {
        for stream in self.streams {
            if let Some(count) = forwarded.get_mut(stream.from) {
                count.rx_packets += stream.received;
                count.mode_dropped += stream.mode_dropped;
            }
            if let Some(count) = forwarded.get_mut(stream.to) {
                count.tx_packets += stream.sent;
                count.tx_dropped += stream.tx_dropped;
            }
            ports.rx[stream.from].push(stream.rx);
            ports.tx[stream.to].extend(stream.tx);
        }
        for (port, queue) in self.spare {
            ports.tx[port].push(queue);
        }
    }
}
