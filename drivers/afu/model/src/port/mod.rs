//! A port: reset, power state, errors, interrupts, user clock, and the accelerator behind it.
//!
//! Key types: [`Port`]. Neighbours: [`model`](crate::model) sends it the accesses to BAR 2 and lets it work;
//! [`afu`](crate::afu) has the accelerators.

pub(crate) mod clock;
pub(crate) mod errors;

use pmd_afu::guid;
use pmd_afu::regs::dfh;
use pmd_afu::regs::port::error::PORT_ERROR;
use pmd_afu::regs::port::header::*;
use pmd_afu::regs::port::uint::UINT_CAP;
use vfio_hal::regs::Register;
use vfio_user_kit::DmaBus;

use crate::afu::{self, Accelerator, Host};
use crate::config::{AfuKind, Config};
use crate::control::Faults;
use crate::fme::climate::PowerState;
use crate::fme::perf::Traffic;
use crate::list::{AFU_BYTES, Layout, Unit, Vectors};
use crate::vectors::Pending;
use crate::words::merge;

use clock::UserClock;
use errors::PortErrors;

/// Words of the signal tap's mailbox.
const MAILBOX: usize = 8;
/// The signal tap's status: present, nothing in it.
const TAP_STATUS: u64 = 0x8;

/// A soft reset: requested, and acknowledged some time later, both at its begin and at its end.
struct SoftReset {
    requested: bool,
    acknowledged: bool,
    due: u64,
    delay: u64,
}

impl SoftReset {
    fn request(&mut self, on: bool, now: u64) {
        if self.requested != on {
            self.requested = on;
            self.due = now.saturating_add(self.delay);
        }
    }

    /// Lets time pass. Returns whether the reset has just taken hold.
    fn tick(&mut self, now: u64, stuck: bool) -> bool {
        if stuck || self.requested == self.acknowledged || now < self.due {
            return false;
        }
        self.acknowledged = self.requested;
        self.acknowledged
    }

    fn is_on(&self) -> bool {
        self.requested || self.acknowledged
    }
}

/// The accelerator's clock: what passes of it depends on the power state.
struct Clock {
    mhz: u64,
    count: u64,
    /// Picoseconds' worth of megahertz that did not make a whole clock yet.
    rest: u64,
    last: u64,
    state: PowerState,
}

impl Clock {
    fn tick(&mut self, now: u64, state: PowerState) {
        let passed = now.saturating_sub(self.last);
        self.last = now;
        if let Some(slowdown) = self.state.slowdown() {
            let units = passed.saturating_mul(self.mhz).saturating_add(self.rest);
            let unit = 1_000 * slowdown;
            self.count = self.count.saturating_add(units / unit);
            self.rest = units % unit;
        }
        self.state = state;
    }

    /// The time at which the count will be there.
    fn when(&self, count: u64) -> Option<u64> {
        let left = count.saturating_sub(self.count);
        let nanos = left.saturating_mul(1_000 * self.state.slowdown()?).div_ceil(self.mhz);
        Some(self.last.saturating_add(nanos))
    }
}

pub(crate) struct Port {
    number: usize,
    /// From its list to its accelerator.
    afu_offset: u64,
    reset: SoftReset,
    latency: bool,
    /// AP1 and AP2 happened.
    events: [bool; 2],
    power: PowerState,
    pub(crate) errors: PortErrors,
    user_vectors: Vectors,
    user_clock: UserClock,
    mailbox: [u64; MAILBOX],
    kind: AfuKind,
    afu: Box<dyn Accelerator>,
    clock: Clock,
    faults: Faults,
    lines_left: Option<u64>,
    /// Its region is being reconfigured.
    away: bool,
    bad_completion: bool,
}

impl Port {
    pub(crate) fn new(number: usize, kind: AfuKind, config: &Config, layout: &Layout) -> Port {
        let delay = config.timing.port_reset.as_nanos().try_into().unwrap_or(u64::MAX);
        let mhz = config.clock_mhz.into();
        Port {
            number,
            afu_offset: layout.afu_of(number),
            // Reset is what a port is in after power-on (Linux, `__afu_port_enable`).
            reset: SoftReset { requested: true, acknowledged: true, due: 0, delay },
            latency: false,
            events: [false; 2],
            power: PowerState::Normal,
            errors: PortErrors::new(layout.vectors_of(Some(number), Unit::PortErrors)),
            user_vectors: layout.vectors_of(Some(number), Unit::UserInterrupts),
            user_clock: UserClock::new(&config.timing),
            mailbox: [0; MAILBOX],
            kind,
            afu: afu::make(kind, config),
            clock: Clock { mhz, count: 0, rest: 0, last: 0, state: PowerState::Normal },
            faults: Faults::default(),
            lines_left: None,
            away: false,
            bad_completion: false,
        }
    }

    pub(crate) fn kind(&self) -> AfuKind {
        self.kind
    }

    pub(crate) fn in_reset(&self) -> bool {
        self.reset.is_on()
    }

    /// Puts another accelerator in.
    pub(crate) fn load(&mut self, kind: AfuKind, config: &Config) {
        self.kind = kind;
        self.afu = afu::make(kind, config);
    }

    /// Lets time pass, in the environment that the port is in.
    pub(crate) fn tick(&mut self, now: u64, faults: Faults, power: PowerState, away: bool, config: &Config) {
        self.clock.tick(now, power);
        if faults.dma_fails_after != self.faults.dma_fails_after {
            self.lines_left = faults.dma_fails_after;
        }
        self.faults = faults;
        if power != self.power {
            self.events[0] |= power == PowerState::Ap1;
            self.events[1] |= power == PowerState::Ap2;
            if power == PowerState::Ap6 {
                self.errors.raise(PORT_ERROR::default().with_ap6(true));
            }
            self.power = power;
        }
        if self.reset.tick(now, faults.reset_stuck) || away && !self.away {
            self.afu = afu::make(self.kind, config);
        }
        self.away = away;
    }

    /// When something will happen by itself.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let reset = (self.reset.requested != self.reset.acknowledged && !self.faults.reset_stuck)
            .then_some(self.reset.due);
        let work = match self.afu.due() {
            Some(count) if !self.is_quiet() && !self.faults.stalled => self.clock.when(count),
            _ => None,
        };
        [reset, work].into_iter().flatten().min()
    }

    fn is_quiet(&self) -> bool {
        self.reset.is_on() || self.away || self.power == PowerState::Ap6
    }

    /// Lets the accelerator work. Returns whether it did anything.
    pub(crate) fn step(&mut self, dma: &dyn DmaBus, traffic: &mut Traffic, pending: &mut Pending) -> bool {
        if self.is_quiet() {
            return false;
        }
        let mut host = Host {
            dma,
            clock: self.clock.count,
            faults: self.faults,
            lines_left: &mut self.lines_left,
            traffic,
            interrupts: 0,
            errors: PORT_ERROR::default(),
            refused: None,
            bad_completion: false,
        };
        let worked = self.afu.step(&mut host);
        let Host { interrupts, errors, refused, bad_completion, .. } = host;
        match refused {
            Some(refused) => self.errors.refuse(errors, refused),
            None => self.errors.raise(errors),
        }
        self.bad_completion |= bad_completion;
        for number in (0..16).filter(|number| interrupts & 1 << number != 0) {
            self.user_interrupt(number, pending);
        }
        worked
    }

    /// Whether a read was answered with an error since the last call.
    pub(crate) fn take_bad_completion(&mut self) -> bool {
        std::mem::take(&mut self.bad_completion)
    }

    /// Raises a user interrupt, if the port has it.
    pub(crate) fn user_interrupt(&self, number: u16, pending: &mut Pending) {
        if number < self.user_vectors.count {
            pending.raise(self.user_vectors.first + number);
        }
    }

    pub(crate) fn read(&self, unit: Unit, at: u64, now: u64) -> u64 {
        match unit {
            Unit::PortHeader => self.read_header(at, now),
            Unit::PortErrors => self.errors.read(at),
            Unit::UserInterrupts if at == UINT_CAP::OFFSET => UINT_CAP::default()
                .with_count(self.user_vectors.count.into())
                .with_first_vector(self.user_vectors.first.into())
                .bits(),
            Unit::SignalTap if at == 8 => TAP_STATUS,
            Unit::SignalTap => mail(at).map_or(0, |word| self.mailbox[word]),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, unit: Unit, at: u64, value: u64, mask: u64, now: u64) {
        match unit {
            Unit::PortHeader => self.write_header(at, value, mask, now),
            Unit::PortErrors => self.errors.write(at, value, mask),
            Unit::SignalTap => {
                if let Some(word) = mail(at) {
                    self.mailbox[word] = merge(self.mailbox[word], value, mask);
                }
            }
            _ => {}
        }
    }

    fn read_header(&self, at: u64, now: u64) -> u64 {
        let (low, high) = guid::words(guid::PORT);
        match at {
            GUID_L::OFFSET => low,
            GUID_H::OFFSET => high,
            NEXT_AFU::OFFSET => NEXT_AFU::default().with_offset(self.afu_offset).bits(),
            CAP::OFFSET => CAP::default()
                .with_number(self.number as u64)
                .with_mmio_size(AFU_BYTES >> 10)
                .with_interrupts(self.user_vectors.count.into())
                .bits(),
            CTRL::OFFSET => self.control().bits(),
            STS::OFFSET => STS::default()
                .with_power_state(self.power.number())
                .with_ap1_event(self.events[0])
                .with_ap2_event(self.events[1])
                .bits(),
            _ => self.user_clock.read(at, now),
        }
    }

    fn control(&self) -> CTRL {
        CTRL::default()
            .with_sftrst(self.reset.requested)
            .with_ltr(self.latency)
            .with_sftrst_ack(self.reset.acknowledged)
    }

    fn write_header(&mut self, at: u64, value: u64, mask: u64, now: u64) {
        match at {
            CTRL::OFFSET => {
                let new = CTRL::new(merge(self.control().bits(), value, mask));
                self.latency = new.ltr();
                self.reset.request(new.sftrst(), now);
            }
            STS::OFFSET => {
                let ones = STS::new(value & mask);
                self.events[0] &= !ones.ap1_event();
                self.events[1] &= !ones.ap2_event();
            }
            _ => self.user_clock.write(at, value, mask, now),
        }
    }

    /// Reads a register of the accelerator. In reset nobody answers.
    pub(crate) fn read_afu(&mut self, at: u64) -> u64 {
        if self.reset.is_on() || self.away {
            self.errors.raise(PORT_ERROR::default().with_mmio_read_in_reset(true));
            return u64::MAX;
        }
        let (low, high) = guid::words(self.kind.guid());
        match at {
            dfh::DFH::OFFSET => afu::header(),
            dfh::GUID_L::OFFSET => low,
            dfh::GUID_H::OFFSET => high,
            _ => self.afu.read(at),
        }
    }

    /// Writes a register of the accelerator.
    pub(crate) fn write_afu(&mut self, at: u64, value: u64, mask: u64) {
        if self.reset.is_on() || self.away {
            return self.errors.raise(PORT_ERROR::default().with_mmio_write_in_reset(true));
        }
        self.afu.write(at, value, mask, self.clock.count);
    }
}

/// The word of the mailbox at an offset of the signal tap's block.
fn mail(at: u64) -> Option<usize> {
    let word = at.checked_sub(0x10)? / 8;
    (word < MAILBOX as u64).then_some(word as usize)
}
