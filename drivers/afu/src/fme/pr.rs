//! Partial reconfiguration: another accelerator for a port, while the rest of the card runs.
//!
//! The way of Linux's `dfl-fme-mgr.c`: the port is held in reset, the engine is reset, errors of the last time are
//! cleared, the port is chosen, data go in 32 bits at a time as far as the engine gives credit, completion is waited
//! for, and the errors are read. Each wait ends after 8 seconds.

use core::fmt;
use core::time::Duration;

use vfio_hal::Clock;
use vfio_hal::poll::Poll;
use vfio_hal::regs::{Block, Value};

use super::Fme;
use crate::AfuError;
use crate::gbs::Gbs;
use crate::guid::Uuid;
use crate::regs::fme::pr::{PR_CTRL, PR_DATA, PR_ERR, PR_STS, Pr};

/// How long each step may take (Linux, `PR_WAIT_TIMEOUT`).
const LIMIT: Duration = Duration::from_secs(8);
/// How often one looks whether a step is done, and whether there is credit.
const EVERY: Duration = Duration::from_micros(500);
const EVERY_CREDIT: Duration = Duration::from_micros(100);
/// Words between two reports of progress.
const REPORT_EVERY: usize = 4096;

/// Why a port was not reconfigured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrError {
    /// A bitstream for another card, or another version of its static region.
    #[error("the bitstream is for interface {bitstream}, the card has {card}: get the one for this card")]
    InterfaceId {
        /// What the card has.
        card: Uuid,
        /// What the bitstream is for.
        bitstream: Uuid,
    },
    /// The engine found errors. The port may hold no accelerator now.
    #[error("reconfiguration failed: {0}; reconfigure the port again, with a bitstream that is intact")]
    Engine(PrErrors),
}

/// What the reconfiguration engine found wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PrErrors {
    /// The operation failed.
    pub operation: bool,
    /// The data are damaged.
    pub crc: bool,
    /// The bitstream is for another device.
    pub incompatible: bool,
    /// Data were pushed when they should not have been.
    pub protocol: bool,
    /// Data were pushed faster than the engine takes them.
    pub fifo_overflow: bool,
    /// All bits of the register.
    pub bits: u64,
}

impl PrErrors {
    fn of(register: PR_ERR) -> PrErrors {
        PrErrors {
            operation: register.operation(),
            crc: register.crc(),
            incompatible: register.incompatible(),
            protocol: register.protocol(),
            fifo_overflow: register.fifo_overflow(),
            bits: register.bits(),
        }
    }
}

impl fmt::Display for PrErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == 0 {
            return f.write_str("the engine reports failure without a cause");
        }
        fmt::Display::fmt(&Value::of(PR_ERR::new(self.bits)), f)
    }
}

impl fmt::Debug for PrErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrErrors({self})")
    }
}

/// How far a reconfiguration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes written.
    pub done: usize,
    /// Bytes there are.
    pub total: usize,
}

impl Fme {
    /// Loads the bitstream into a port, and finds the new accelerator. The user clock is the caller's to set, from
    /// [`Gbs::clocks`].
    ///
    /// # Errors
    /// [`AfuError::InUse`] while somebody has the port's accelerator open; [`PrError::InterfaceId`] for a bitstream of
    /// another card, both with nothing done. After any other error the port is out of reset again where that is
    /// possible, and what accelerator it holds is found anew.
    pub fn reconfigure(
        &self,
        port: u8,
        bitstream: &Gbs<'_>,
        mut progress: impl FnMut(Progress),
    ) -> Result<(), AfuError> {
        let card = self.interface_id()?;
        let metadata = bitstream.metadata();
        if card != metadata.interface_id {
            return Err(PrError::InterfaceId { card, bitstream: metadata.interface_id }.into());
        }
        let port = self.card.port(port)?;
        let users = port.slot.users();
        if users != 0 {
            return Err(AfuError::InUse { port: port.number(), users });
        }
        let held = port.hold()?;
        let clock = self.card.0.clock.clone();
        let result = self.with(|fme| {
            let pr = fme.pr.as_mut().ok_or(AfuError::Missing { what: "partial reconfiguration" })?;
            let mut engine = Engine { pr, clock: &*clock };
            engine.prepare(port.number())?;
            engine.push(bitstream.data(), &mut progress)?;
            engine.finish()
        });
        let released = held.release();
        let rescanned = if released.is_ok() { self.card.rescan() } else { Ok(()) };
        result?;
        released?;
        rescanned
    }
}

struct Engine<'a> {
    pr: &'a mut Block<Pr>,
    clock: &'a dyn Clock,
}

impl Engine<'_> {
    fn poll(&self, what: &'static str) -> Poll<'_> {
        Poll::new(self.clock, what, LIMIT).every(EVERY)
    }

    /// Resets the engine and chooses the port.
    fn prepare(&mut self, port: u8) -> Result<(), AfuError> {
        self.pr.modify(|ctrl: PR_CTRL| ctrl.with_reset(true));
        let acked = |ctrl: PR_CTRL| ctrl.reset_ack();
        self.poll("reconfiguration engine: reset").register(self.pr.single(), acked)?;
        self.pr.modify(|ctrl: PR_CTRL| ctrl.with_reset(false));
        let idle = |status: PR_STS| !status.busy();
        self.poll("reconfiguration engine: idle").register(self.pr.single(), idle)?;
        let old = self.pr.read::<PR_ERR>();
        if old.bits() != 0 {
            self.pr.write(old);
        }
        self.pr.modify(|ctrl: PR_CTRL| ctrl.with_region(port.into()));
        Ok(())
    }

    /// Writes the data, as fast as the engine takes them.
    fn push(&mut self, data: &[u8], progress: &mut dyn FnMut(Progress)) -> Result<(), AfuError> {
        self.pr.modify(|ctrl: PR_CTRL| ctrl.with_start(true));
        let total = data.len();
        let (words, rest) = data.as_chunks::<4>();
        // `Gbs` takes whole words only.
        debug_assert!(rest.is_empty());
        let mut credit = 0;
        for (index, word) in words.iter().enumerate() {
            // The engine wants one word of credit to be left.
            if credit <= 1 {
                let enough = |status: PR_STS| status.credit() > 1;
                let poll = self.poll("reconfiguration engine: credit").every(EVERY_CREDIT);
                credit = poll.register(self.pr.single(), enough)?.credit();
            }
            self.pr.write(PR_DATA::default().with_data(u32::from_le_bytes(*word).into()));
            credit -= 1;
            if index % REPORT_EVERY == REPORT_EVERY - 1 {
                progress(Progress { done: 4 * (index + 1), total });
            }
        }
        progress(Progress { done: total, total });
        Ok(())
    }

    /// Says that this was all, and waits for the engine's verdict.
    fn finish(&mut self) -> Result<(), AfuError> {
        self.pr.modify(|ctrl: PR_CTRL| ctrl.with_complete(true));
        let ended = |ctrl: PR_CTRL| !ctrl.start();
        self.poll("reconfiguration engine: completion").register(self.pr.single(), ended)?;
        // The status bit that says "busy" before says "failed" now.
        if !self.pr.read::<PR_STS>().busy() {
            return Ok(());
        }
        let errors = self.pr.read::<PR_ERR>();
        self.pr.write(errors);
        Err(PrError::Engine(PrErrors::of(errors)).into())
    }
}
