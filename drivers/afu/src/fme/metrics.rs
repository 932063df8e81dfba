//! Everything that can be measured, by name.

use alloc::vec::Vec;

use super::Fme;
use crate::AfuError;

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// What it is of: `thermal`, `power` or `performance`.
    pub group: &'static str,
    /// Its name, unique in its group.
    pub name: &'static str,
    /// The value.
    pub value: u64,
    /// Its unit.
    pub unit: Unit,
}

/// What a metric counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Degrees Celsius.
    Celsius,
    /// Watts.
    Watts,
    /// Events.
    Count,
}

impl core::fmt::Display for Unit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Unit::Celsius => "°C",
            Unit::Watts => "W",
            Unit::Count => "",
        })
    }
}

impl Fme {
    /// Returns all that can be measured on this card. What it has no block for is left out.
    pub fn metrics(&self) -> Result<Vec<Metric>, AfuError> {
        let mut metrics = Vec::new();
        let mut add = |group, name, value: u64, unit| metrics.push(Metric { group, name, value, unit });
        if let Some(thermal) = present(self.thermal())? {
            add("thermal", "temperature", thermal.celsius.into(), Unit::Celsius);
            if let Some(thresholds) = thermal.thresholds {
                add("thermal", "threshold1", thresholds.throttle.into(), Unit::Celsius);
                add("thermal", "threshold2", thresholds.stop.into(), Unit::Celsius);
                add("thermal", "trip", thresholds.trip.into(), Unit::Celsius);
            }
        }
        if let Some(power) = present(self.power())? {
            add("power", "consumed", power.watts.into(), Unit::Watts);
            add("power", "threshold1", power.threshold1.0.into(), Unit::Watts);
            add("power", "threshold2", power.threshold2.0.into(), Unit::Watts);
        }
        for event in present(self.perf_events())?.unwrap_or_default() {
            add("performance", event.name(), self.perf(event)?, Unit::Count);
        }
        Ok(metrics)
    }

    /// Returns one of them by its name.
    pub fn metric(&self, group: &str, name: &str) -> Result<Metric, AfuError> {
        let found = self.metrics()?.into_iter().find(|metric| metric.group == group && metric.name == name);
        found.ok_or(AfuError::Missing { what: "metric of that name" })
    }
}

/// Makes nothing of what is missing.
fn present<T>(result: Result<T, AfuError>) -> Result<Option<T>, AfuError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(AfuError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
