//! The dummy accelerator: scratchpads, and a copy of one line (OPAE, `dummy_afu`).
//!
//! Key types: [`Dummy`].

use pmd_afu::regs::dummy::*;
use vfio_hal::regs::Register;

use super::{Accelerator, Host, LINE};
use crate::words::merge;

/// Scratchpads of the register test.
const PADS: usize = 512;
/// MEM_TEST_STATUS: the last copy was done, or failed.
const DONE: u64 = 1;
const FAILED: u64 = 2;
/// Clocks of a copy.
const CLOCKS: u64 = 250;

pub(super) struct Dummy {
    scratch: u64,
    pads: Box<[u64; PADS]>,
    control: u64,
    status: u64,
    source: u64,
    destination: u64,
    /// A copy is under way, and done at this clock.
    done_at: Option<u64>,
}

impl Default for Dummy {
    fn default() -> Dummy {
        Dummy {
            scratch: 0,
            pads: Box::new([0; PADS]),
            control: 0,
            status: 0,
            source: 0,
            destination: 0,
            done_at: None,
        }
    }
}

impl Dummy {
    fn pad(at: u64) -> Option<usize> {
        let pad = at.checked_sub(MMIO_TEST::OFFSET)? / 8;
        (pad < PADS as u64).then_some(pad as usize)
    }

    fn copy(&self, host: &mut Host<'_>) -> u64 {
        let mut line = [0; LINE as usize];
        let copied = host
            .read(self.source & !(LINE - 1), &mut line)
            .and_then(|()| host.write(self.destination & !(LINE - 1), &mut line, 0));
        if copied.is_ok() { DONE } else { FAILED }
    }
}

impl Accelerator for Dummy {
    fn read(&mut self, at: u64) -> u64 {
        match at {
            SCRATCH::OFFSET => self.scratch,
            MEM_TEST_CTRL::OFFSET => self.control,
            MEM_TEST_STATUS::OFFSET => self.status,
            MEM_TEST_SRC::OFFSET => self.source,
            MEM_TEST_DST::OFFSET => self.destination,
            _ => Dummy::pad(at).map_or(0, |pad| self.pads[pad]),
        }
    }

    fn write(&mut self, at: u64, value: u64, mask: u64, clock: u64) {
        match at {
            SCRATCH::OFFSET => self.scratch = merge(self.scratch, value, mask),
            MEM_TEST_CTRL::OFFSET => {
                let start = MEM_TEST_CTRL::new(merge(self.control, value, mask)).start();
                if start && !MEM_TEST_CTRL::new(self.control).start() {
                    self.status = 0;
                    self.done_at = Some(clock.saturating_add(CLOCKS));
                }
                self.control = MEM_TEST_CTRL::default().with_start(start).bits();
            }
            MEM_TEST_SRC::OFFSET => self.source = merge(self.source, value, mask),
            MEM_TEST_DST::OFFSET => self.destination = merge(self.destination, value, mask),
            _ => {
                if let Some(pad) = Dummy::pad(at) {
                    self.pads[pad] = merge(self.pads[pad], value, mask);
                }
            }
        }
    }

    fn step(&mut self, host: &mut Host<'_>) -> bool {
        if host.faults.stalled || self.done_at.is_none_or(|at| host.clock < at) {
            return false;
        }
        self.done_at = None;
        self.status = self.copy(host);
        host.interrupt(0);
        true
    }

    fn due(&self) -> Option<u64> {
        self.done_at
    }
}
