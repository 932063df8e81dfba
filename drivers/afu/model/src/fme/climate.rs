//! Temperature and power (features 1 and 2), and what they do to the accelerators.
//!
//! Key types: [`Climate`], [`PowerState`]. Neighbours: the user sets both values by [`Control`](crate::Control); ports show
//! the state, and their accelerators run at the pace that it leaves them.

use pmd_afu::regs::fme::{power, thermal};
use power::{FPGA_LIMIT, PWR_STATUS, PWR_THRESHOLD, XEON_LIMIT};
use thermal::{TEMP_CAP, TEMP_SENSOR, TEMP_THRESHOLD};
use vfio_hal::regs::Register;

use crate::control::Environment;
use crate::words::merge;

/// How far the accelerators are throttled (Linux, `dfl.h`, PORT_STS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PowerState {
    #[default]
    Normal,
    /// By 50 %.
    Ap1,
    /// By 90 %.
    Ap2,
    /// They stand still.
    Ap6,
}

impl PowerState {
    /// As PORT_STS has it.
    pub(crate) fn number(self) -> u64 {
        match self {
            PowerState::Normal => 0,
            PowerState::Ap1 => 1,
            PowerState::Ap2 => 2,
            PowerState::Ap6 => 6,
        }
    }

    /// How many clocks it takes to do the work of one; `None` if nothing is done.
    pub(crate) fn slowdown(self) -> Option<u64> {
        match self {
            PowerState::Normal => Some(1),
            PowerState::Ap1 => Some(2),
            PowerState::Ap2 => Some(10),
            PowerState::Ap6 => None,
        }
    }
}

pub(crate) struct Climate {
    celsius: u64,
    watts: u64,
    temperature: TEMP_THRESHOLD,
    power: PWR_THRESHOLD,
    /// Counts how often the temperature changed.
    sequence: u64,
}

/// What the thresholds say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: PowerState,
    /// Bits of RAS_NONFATAL that hold as long as the condition does.
    pub(crate) nonfatal: u64,
    /// Bits of RAS_CATFATAL, likewise.
    pub(crate) catastrophic: u64,
}

impl Climate {
    pub(crate) fn new(environment: &Environment) -> Climate {
        let temperature = TEMP_THRESHOLD::default()
            .with_threshold1(93)
            .with_threshold1_enable(true)
            .with_threshold2(97)
            .with_threshold2_enable(true)
            .with_trip(105)
            .with_threshold1_ap1(true);
        let power = PWR_THRESHOLD::default().with_threshold1(66).with_threshold2(75);
        let mut climate = Climate { celsius: 0, watts: 0, temperature, power, sequence: 0 };
        climate.follow(environment);
        climate
    }

    /// Takes over what the user set.
    pub(crate) fn follow(&mut self, environment: &Environment) {
        let celsius = environment.temperature.into();
        if self.celsius != celsius {
            self.celsius = celsius;
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.watts = environment.power.into();
    }

    pub(crate) fn verdict(&self) -> Verdict {
        use pmd_afu::regs::fme::error::{RAS_CATFATAL, RAS_NONFATAL};
        let limits = self.temperature;
        let warm = limits.threshold1_enable() && self.celsius >= limits.threshold1();
        let hot = limits.threshold2_enable() && self.celsius >= limits.threshold2();
        let tripped = limits.trip() > 0 && self.celsius >= limits.trip();
        let (much, too_much) = self.over_power();
        let warm_state = if limits.threshold1_ap1() { PowerState::Ap1 } else { PowerState::Ap2 };
        let of = |condition: bool, state: PowerState| if condition { state } else { PowerState::Normal };
        let state = of(warm, warm_state)
            .max(of(hot || tripped, PowerState::Ap6))
            .max(of(much, PowerState::Ap1))
            .max(of(too_much, PowerState::Ap2));
        let nonfatal = RAS_NONFATAL::default()
            .with_temp_ap1(warm && warm_state == PowerState::Ap1)
            .with_temp_ap2(warm && warm_state == PowerState::Ap2)
            .with_temp_ap6(hot)
            .with_power_ap1(much)
            .with_power_ap2(too_much);
        let catastrophic = RAS_CATFATAL::default().with_thermal(tripped);
        Verdict { state, nonfatal: nonfatal.bits(), catastrophic: catastrophic.bits() }
    }

    /// Whether the power has reached threshold 1 and 2. A threshold of 0 is none.
    fn over_power(&self) -> (bool, bool) {
        let reached = |limit: u64| limit > 0 && self.watts >= limit;
        (reached(self.power.threshold1()), reached(self.power.threshold2()))
    }

    pub(crate) fn read_thermal(&self, at: u64) -> u64 {
        match at {
            TEMP_THRESHOLD::OFFSET => self
                .temperature
                .with_threshold1_reached(self.celsius >= self.temperature.threshold1())
                .with_threshold2_reached(self.celsius >= self.temperature.threshold2())
                .bits(),
            TEMP_SENSOR::OFFSET => TEMP_SENSOR::default()
                .with_celsius(self.celsius)
                .with_sequence(self.sequence & 0xFFFF)
                .with_valid(true)
                .bits(),
            TEMP_CAP::OFFSET => TEMP_CAP::default().bits(),
            _ => 0,
        }
    }

    pub(crate) fn write_thermal(&mut self, at: u64, value: u64, mask: u64) {
        if at == TEMP_THRESHOLD::OFFSET {
            let old = self.temperature;
            let new = TEMP_THRESHOLD::new(merge(old.bits(), value, mask));
            // The trip point and the policy are the card's.
            self.temperature = old
                .with_threshold1(new.threshold1())
                .with_threshold1_enable(new.threshold1_enable())
                .with_threshold2(new.threshold2())
                .with_threshold2_enable(new.threshold2_enable());
        }
    }

    pub(crate) fn read_power(&self, at: u64) -> u64 {
        match at {
            PWR_STATUS::OFFSET => PWR_STATUS::default().with_watts(self.watts).bits(),
            PWR_THRESHOLD::OFFSET => {
                let (much, too_much) = self.over_power();
                self.power.with_threshold1_reached(much).with_threshold2_reached(too_much).bits()
            }
            // There is no processor beside it that could limit it.
            XEON_LIMIT::OFFSET | FPGA_LIMIT::OFFSET => 0,
            _ => 0,
        }
    }

    pub(crate) fn write_power(&mut self, at: u64, value: u64, mask: u64) {
        if at == PWR_THRESHOLD::OFFSET {
            let new = PWR_THRESHOLD::new(merge(self.power.bits(), value, mask));
            self.power =
                PWR_THRESHOLD::default().with_threshold1(new.threshold1()).with_threshold2(new.threshold2());
        }
    }
}
