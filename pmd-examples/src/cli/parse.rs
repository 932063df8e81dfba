//! Values of options.

use std::time::Duration;

use vfio_hal::pmd::MacAddr;

pub(crate) fn ring_size(text: &str) -> Result<u32, String> {
    let size = text.parse().ok().filter(|size: &u32| size.is_power_of_two() && (64..=4096).contains(size));
    size.ok_or_else(|| "use a power of two from 64 to 4096".into())
}

/// Reads a time: seconds without a unit, or with s, ms, us, m, h.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let seconds = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("'{unit}' is not a unit of time: use us, ms, s, m or h")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("'{text}' is not a time such as 5, 1.5s or 500ms"))?;
    let longest = Duration::from_secs(366 * 86_400);
    let time = Duration::try_from_secs_f64(number * seconds).ok().filter(|time| *time <= longest);
    time.ok_or_else(|| format!("'{text}' is longer than a year: use 0 for no end"))
}

pub(crate) fn eth_peer(text: &str) -> Result<(usize, MacAddr), String> {
    let (port, mac) = text.split_once(',').ok_or("write PORT,MAC such as 0,02:00:00:00:00:01")?;
    let port = port.parse().map_err(|_| format!("'{port}' is not a port number"))?;
    Ok((port, mac.parse().map_err(|error| format!("'{mac}' is {error}"))?))
}
