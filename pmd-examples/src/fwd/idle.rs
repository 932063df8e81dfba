//! What an lcore does while no packets come.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use vfio_hal::irq::EventFd;

use super::options::{FwdArgs, Idle, Mode};
use super::stream::Stream;
use crate::cli::Models;
use crate::fault::Fault;
use crate::port::{Ports, Sources};

/// How long an lcore waits for an interrupt before it looks for itself.
const WAIT_LIMIT: Duration = Duration::from_millis(100);

/// How many idle rounds an lcore only pauses for, as packets often come again at once.
const PAUSES: u32 = 64;

/// After how many idle rounds policy `yield` naps.
const YIELDS: u32 = 512;

/// How long policy `yield` naps: the delay that the first packet of a quiet port may meet.
const NAP: Duration = Duration::from_micros(50);

/// Refuses what cannot be, before anything is opened.
pub(crate) fn check(args: &FwdArgs, sources: &Sources) -> Result<(), Fault> {
    let refused = |why: &str| Err(Fault::Usage(format!("--idle interrupt {why}")));
    match args.idle {
        Idle::Interrupt if args.common.env.models == Models::Inline && sources.has_models() => refused(
            "sleeps, and models that work on the lcores would sleep too: add --models threads, or use --idle yield",
        ),
        Idle::Interrupt if matches!(args.forward_mode, Mode::Txonly | Mode::Flowgen) => {
            refused("waits for packets, and modes txonly and flowgen do not: use --idle yield")
        }
        _ => Ok(()),
    }
}

/// An lcore's idle policy.
pub(crate) enum Policy {
    Spin,
    Pause,
    Yield,
    /// Every queue of the lcore fires the same eventfd.
    Interrupt {
        wake: Arc<EventFd>,
        waits: u64,
        fired: u64,
    },
}

impl Policy {
    /// Makes the policy for an lcore with `streams`.
    pub(crate) fn new(idle: Idle, streams: &[Stream], ports: &mut Ports) -> Result<Policy, Fault> {
        Ok(match idle {
            Idle::Spin => Policy::Spin,
            Idle::Pause => Policy::Pause,
            Idle::Yield => Policy::Yield,
            Idle::Interrupt => {
                let wake = Arc::new(EventFd::new()?);
                for (port, queue) in streams.iter().map(Stream::source) {
                    ports.open[port].port.set_rx_interrupt(queue, Some(wake.clone()))?;
                }
                Policy::Interrupt { wake, waits: 0, fired: 0 }
            }
        })
    }

    /// Passes the time after `idle` rounds without packets. Returns whether interrupts are to be waited for, which the
    /// lcore must do, since packets may have come before the queues were armed.
    pub(crate) fn pass(&self, idle: u32) -> bool {
        match self {
            Policy::Spin => {}
            Policy::Pause => std::hint::spin_loop(),
            _ if idle < PAUSES => std::hint::spin_loop(),
            Policy::Interrupt { .. } => return true,
            Policy::Yield if idle < YIELDS => thread::yield_now(),
            Policy::Yield => thread::sleep(NAP),
        }
        false
    }

    /// Waits until a queue fires; call it with all queues armed and empty.
    pub(crate) fn wait(&mut self) -> Result<(), Fault> {
        if let Policy::Interrupt { wake, waits, fired } = self {
            *waits += 1;
            *fired += u64::from(wake.wait(WAIT_LIMIT)? != 0);
        }
        Ok(())
    }

    /// Returns how often the lcore waited for an interrupt, and how often one came.
    pub(crate) fn interrupts(&self) -> Option<(u64, u64)> {
        match self {
            Policy::Interrupt { waits, fired, .. } => Some((*waits, *fired)),
            _ => None,
        }
    }
}
