//! Partial reconfiguration (feature 5): a bitstream, word by word, becomes another accelerator.
//!
//! What real bitstreams contain is known to nobody but the vendor's tools. The engine here takes its own: see
//! [`bitstream`](crate::bitstream). It judges them as the hardware does: for which static region they are, and whether
//! they arrived whole.
//!
//! Key types: [`Reconfiguration`], [`Load`]. Neighbours: the model puts what was loaded into its port.

use pmd_afu::guid;
use pmd_afu::regs::fme::pr::*;
use uuid::Uuid;
use vfio_hal::regs::Register;

use crate::bitstream;
use crate::config::{AfuKind, Config, Timing};
use crate::words::{bits, merge};

/// Words that the engine's queue holds, as the status register can tell.
const QUEUE: u64 = 511;

/// Nanoseconds of a duration.
fn nanos(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// Takes data.
    Filling,
    /// The rest of the queue is taken in, and the region is written until then.
    Loading {
        until: u64,
    },
    /// It ended with an error that nobody has cleared.
    Failed,
}

/// An accelerator for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) port: usize,
    pub(crate) kind: AfuKind,
}

pub(crate) struct Reconfiguration {
    interface: Uuid,
    timing: Timing,
    ports: usize,
    /// REGION and COMPLETE as written; the other bits come from the state.
    control: PR_CTRL,
    reset: bool,
    /// When the acknowledgement of the reset follows it.
    reset_due: u64,
    state: State,
    error: PR_ERR,
    parser: bitstream::Parser,
    /// When the queue will be empty.
    empty_at: u64,
}

impl Reconfiguration {
    pub(crate) fn new(config: &Config) -> Reconfiguration {
        Reconfiguration {
            interface: config.interface_id,
            timing: config.timing,
            ports: config.ports.len(),
            control: PR_CTRL::default(),
            reset: false,
            reset_due: 0,
            state: State::Idle,
            error: PR_ERR::default(),
            parser: bitstream::Parser::default(),
            empty_at: 0,
        }
    }

    /// The port whose region is being written: its accelerator does not exist for that time.
    pub(crate) fn busy_port(&self) -> Option<usize> {
        matches!(self.state, State::Filling | State::Loading { .. }).then_some(self.control.region() as usize)
    }

    /// When something will happen by itself.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self.state {
            State::Loading { until } => Some(until),
            _ => None,
        }
    }

    /// Lets time pass. Returns what was loaded.
    pub(crate) fn tick(&mut self, now: u64) -> Option<Load> {
        match self.state {
            State::Loading { until } if now >= until => {}
            _ => return None,
        }
        self.control = self.control.with_start(false).with_complete(false);
        match self.judge() {
            Ok(kind) => {
                self.state = State::Idle;
                Some(Load { port: self.control.region() as usize, kind })
            }
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Looks at the whole bitstream.
    fn judge(&self) -> Result<AfuKind, PR_ERR> {
        use bitstream::Verdict;
        if self.error != PR_ERR::default() {
            return Err(PR_ERR::default());
        }
        match self.parser.verdict() {
            Verdict::Good { interface, .. } if interface != self.interface => {
                Err(PR_ERR::default().with_incompatible(true))
            }
            Verdict::Good { afu, .. } => {
                AfuKind::from_guid(afu).ok_or(PR_ERR::default().with_incompatible(true))
            }
            Verdict::Foreign => Err(PR_ERR::default().with_incompatible(true)),
            Verdict::Corrupt => Err(PR_ERR::default().with_crc(true)),
            Verdict::Short => Err(PR_ERR::default().with_operation(true)),
        }
    }

    fn fail(&mut self, error: PR_ERR) {
        self.error = PR_ERR::new(self.error.bits() | error.bits());
        self.state = State::Failed;
    }

    fn queued(&self, now: u64) -> u64 {
        let left = self.empty_at.saturating_sub(now);
        left.saturating_mul(self.timing.pr_words_per_us.into()).div_ceil(1_000)
    }

    fn reset_ack(&self, now: u64) -> bool {
        // Before it is due, the acknowledgement is still what it was.
        self.reset == (now >= self.reset_due)
    }

    pub(crate) fn read(&self, at: u64, now: u64) -> u64 {
        let (low, high) = guid::words(self.interface);
        match at {
            PR_CTRL::OFFSET => self.control.with_reset(self.reset).with_reset_ack(self.reset_ack(now)).bits(),
            PR_STS::OFFSET => PR_STS::default()
                .with_credit(QUEUE.saturating_sub(self.queued(now)))
                .with_busy(self.state != State::Idle)
                .bits(),
            PR_ERR::OFFSET => self.error.bits(),
            PR_INTFC_ID_L::OFFSET => low,
            PR_INTFC_ID_H::OFFSET => high,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, at: u64, value: u64, mask: u64, now: u64) {
        match at {
            PR_CTRL::OFFSET => {
                let old = self.control.with_reset(self.reset);
                self.command(old, PR_CTRL::new(merge(old.bits(), value, mask)), now);
            }
            PR_DATA::OFFSET if mask & 0xFFFF_FFFF == 0xFFFF_FFFF => self.take(bits(value, 31, 0) as u32, now),
            PR_ERR::OFFSET => {
                self.error = PR_ERR::new(self.error.bits() & !(value & mask));
                if self.error == PR_ERR::default() && self.state == State::Failed {
                    self.state = State::Idle;
                }
            }
            _ => {}
        }
    }

    fn command(&mut self, old: PR_CTRL, new: PR_CTRL, now: u64) {
        if new.reset() != self.reset {
            self.reset = new.reset();
            self.reset_due = now.saturating_add(nanos(self.timing.pr_reset));
        }
        if self.reset {
            self.control = PR_CTRL::default().with_region(new.region());
            self.state = State::Idle;
            self.error = PR_ERR::default();
            self.parser = bitstream::Parser::default();
            self.empty_at = 0;
            return;
        }
        let busy = matches!(self.state, State::Filling | State::Loading { .. });
        let region = if busy { old.region() } else { new.region() };
        let (start, complete) = (new.start() && !old.start(), new.complete() && !old.complete());
        // START falls only by itself.
        self.control = old.with_region(region).with_start(old.start() || new.start());
        if start {
            if region as usize >= self.ports || self.state != State::Idle {
                self.control = self.control.with_start(false);
                return self.fail(PR_ERR::default().with_operation(true));
            }
            self.parser = bitstream::Parser::default();
            self.state = State::Filling;
        }
        if complete {
            if self.state != State::Filling {
                self.control = self.control.with_start(false);
                return self.fail(PR_ERR::default().with_protocol(true));
            }
            self.control = self.control.with_complete(true);
            let until = now.max(self.empty_at).saturating_add(nanos(self.timing.pr_load));
            self.state = State::Loading { until };
        }
    }

    fn take(&mut self, word: u32, now: u64) {
        if self.state != State::Filling {
            // Data that nobody asked for; a load that is under way is lost by it.
            self.error = self.error.with_protocol(true);
            if self.state == State::Idle {
                self.state = State::Failed;
            }
            return;
        }
        if self.queued(now) >= QUEUE {
            self.error = self.error.with_fifo_overflow(true);
            return;
        }
        self.parser.push(word);
        let word_time = 1_000 / u64::from(self.timing.pr_words_per_us);
        self.empty_at = self.empty_at.max(now).saturating_add(word_time.max(1));
    }
}
