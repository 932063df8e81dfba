//! Temperature and power.

use super::Fme;
use crate::AfuError;
use crate::regs::fme::power::{FPGA_LIMIT, PWR_STATUS, PWR_THRESHOLD, XEON_LIMIT};
use crate::regs::fme::thermal::{TEMP_CAP, TEMP_SENSOR, TEMP_THRESHOLD};

/// The temperature in °C, and what it sets off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thermal {
    /// The temperature.
    pub celsius: u8,
    /// Thresholds and throttling; `None` where the hardware has none.
    pub thresholds: Option<Thresholds>,
}

/// Temperatures in °C at which something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Throttles by 50 % or 90 %.
    pub throttle: u8,
    /// By 50 % (AP1); otherwise by 90 % (AP2).
    pub throttle_half: bool,
    /// It is reached.
    pub throttle_reached: bool,
    /// Stops the accelerators (AP6).
    pub stop: u8,
    /// It is reached.
    pub stop_reached: bool,
    /// Shuts the card down.
    pub trip: u8,
}

/// What the card consumes, in watts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    /// Consumed now.
    pub watts: u32,
    /// The first threshold, and whether it is reached.
    pub threshold1: (u8, bool),
    /// The second threshold, and whether it is reached.
    pub threshold2: (u8, bool),
    /// What the processor beside an integrated FPGA may take, in units of 0.1 W.
    pub processor_limit: Option<u16>,
    /// What an integrated FPGA may take, in units of 0.1 W.
    pub fpga_limit: Option<u16>,
    /// Latency tolerance is reported.
    pub ltr: bool,
}

impl Fme {
    /// Returns the temperature.
    pub fn thermal(&self) -> Result<Thermal, AfuError> {
        self.with(|fme| {
            let block = fme.thermal.as_ref().ok_or(AfuError::Missing { what: "thermal management" })?;
            let threshold = block.read::<TEMP_THRESHOLD>();
            let throttles = !block.read::<TEMP_CAP>().no_throttle();
            Ok(Thermal {
                // Seven bits each.
                celsius: block.read::<TEMP_SENSOR>().celsius() as u8,
                thresholds: throttles.then_some(Thresholds {
                    throttle: threshold.threshold1() as u8,
                    throttle_half: threshold.threshold1_ap1(),
                    throttle_reached: threshold.threshold1_reached(),
                    stop: threshold.threshold2() as u8,
                    stop_reached: threshold.threshold2_reached(),
                    trip: threshold.trip() as u8,
                }),
            })
        })
    }

    /// Returns what the card consumes.
    pub fn power(&self) -> Result<Power, AfuError> {
        self.with(|fme| {
            let block = fme.power.as_ref().ok_or(AfuError::Missing { what: "power management" })?;
            let (status, threshold) = (block.read::<PWR_STATUS>(), block.read::<PWR_THRESHOLD>());
            let (xeon, fpga) = (block.read::<XEON_LIMIT>(), block.read::<FPGA_LIMIT>());
            Ok(Power {
                watts: status.watts() as u32,
                threshold1: (threshold.threshold1() as u8, threshold.threshold1_reached()),
                threshold2: (threshold.threshold2() as u8, threshold.threshold2_reached()),
                processor_limit: xeon.enabled().then_some(xeon.limit() as u16),
                fpga_limit: fpga.enabled().then_some(fpga.limit() as u16),
                ltr: status.ltr(),
            })
        })
    }

    /// Sets the power thresholds, up to 127 W each.
    pub fn set_power_thresholds(&self, threshold1: u8, threshold2: u8) -> Result<(), AfuError> {
        for value in [threshold1, threshold2] {
            if value > 127 {
                let (what, reason) = ("a power threshold in W", "127 is the most the register holds");
                return Err(AfuError::Parameter { what, value: value.into(), reason });
            }
        }
        self.with(|fme| {
            let block = fme.power.as_mut().ok_or(AfuError::Missing { what: "power management" })?;
            block.modify(|threshold: PWR_THRESHOLD| {
                threshold.with_threshold1(threshold1.into()).with_threshold2(threshold2.into())
            });
            Ok(())
        })
    }
}
