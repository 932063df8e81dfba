//! An lcore at work: its streams, its stock of buffers, and the models that work between its bursts.

use std::fmt;
use std::time::Instant;

use vfio_hal::dma::pool::{Burst, Cache, Pool};
use vfio_hal::pmd::TxQueue;

use super::DRAIN_LIMIT;
use super::idle::Policy;
use super::stream::Stream;
use crate::fault::Fault;
use crate::port::{Ports, Step};
use crate::report::{Forwarded, LcoreReport};
use crate::signal::Stop;

/// Idle rounds after which a receive ring that nothing is added to is certainly empty, models included.
const EMPTY: u32 = 64;

/// One worker.
pub(crate) struct Lcore {
    pub(crate) core: usize,
    pub(crate) streams: Vec<Stream>,
    pub(crate) steps: Vec<Step>,
    pub(crate) spare: Vec<(usize, Box<dyn TxQueue>)>,
    pub(crate) policy: Policy,
    cache: Cache,
    burst: Burst,
}

impl Lcore {
    pub(crate) fn new(core: usize, pool: &Pool, burst: usize) -> Lcore {
        let (cache, burst) = (pool.cache(), Burst::new(burst));
        let (streams, steps, spare) = (Vec::new(), Vec::new(), Vec::new());
        Lcore { core, streams, steps, spare, policy: Policy::Yield, cache, burst }
    }

    /// Forwards until told to quit, then until its rings are empty.
    pub(crate) fn work(&mut self, quit: &Stop) -> Result<(), Fault> {
        let mut idle = 0;
        let mut draining: Option<Instant> = None;
        loop {
            let busy = self.round(draining.is_some())?;
            idle = if busy { 0 } else { idle + 1 };
            match draining {
                None if quit.is_set() => (draining, idle) = (Some(Instant::now()), 0),
                Some(since) if idle > EMPTY && !self.holds() || since.elapsed() > DRAIN_LIMIT => {
                    return Ok(());
                }
                _ => {}
            }
            if idle != 0 && self.policy.pass(idle) {
                match draining.is_some() || self.holds() {
                    true => std::thread::yield_now(),
                    false => self.wait()?,
                }
            }
        }
    }

    /// Sleeps until a packet comes.
    fn wait(&mut self) -> Result<(), Fault> {
        self.streams.iter_mut().try_for_each(|stream| stream.arm(true))?;
        // What came before its queue was armed fires nothing.
        if !self.round(false)? && !self.holds() {
            self.policy.wait()?;
        }
        self.streams.iter_mut().try_for_each(|stream| stream.arm(false))
    }

    /// Returns whether packets wait for room on a transmit ring, which fires no interrupt.
    fn holds(&self) -> bool {
        self.streams.iter().any(Stream::holds)
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

    /// Returns what it did, for a report.
    pub(crate) fn report(&self) -> LcoreReport {
        let (waits, interrupts) = self.policy.interrupts().unzip();
        LcoreReport { core: self.core, streams: self.streams.len(), waits, interrupts }
    }

    /// Gives all queues back to `ports` and adds what was counted.
    pub(crate) fn give_back(self, ports: &mut Ports, forwarded: &mut [Forwarded]) {
        self.streams.into_iter().for_each(|stream| stream.give_back(ports, forwarded));
        for (port, queue) in self.spare {
            ports.tx[port].push(queue);
        }
    }
}

impl fmt::Display for Lcore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lcore on core {}:", self.core)?;
        for (index, stream) in self.streams.iter().enumerate() {
            write!(f, "{} {stream}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
