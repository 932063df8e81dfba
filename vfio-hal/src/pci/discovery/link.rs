//! The PCI Express link of a device, as sysfs tells it.

use core::fmt;
use std::path::Path;

use super::text;

/// The speed of a lane, in megatransfers a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkSpeed(pub u32);

impl fmt::Display for LinkSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} GT/s", self.0 / 1000, self.0 % 1000 / 100)
    }
}

/// What the link runs at and what the device could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciLink {
    /// Its speed.
    pub speed: LinkSpeed,
    /// Its lanes.
    pub width: u8,
    /// The device's highest speed.
    pub max_speed: LinkSpeed,
    /// The device's lanes.
    pub max_width: u8,
}

impl PciLink {
    /// Returns whether the slot or the cable gives the device less than it could use.
    pub fn is_degraded(&self) -> bool {
        self.speed < self.max_speed || self.width < self.max_width
    }

    /// Reads the link of a device's folder; `None` for a device without one, and for one that does not know.
    pub(super) fn read(dir: &Path) -> Option<PciLink> {
        let width = |name: &str| text(&dir.join(name))?.parse().ok().filter(|&width| width != 0);
        Some(PciLink {
            speed: speed(&text(&dir.join("current_link_speed"))?)?,
            width: width("current_link_width")?,
            max_speed: speed(&text(&dir.join("max_link_speed"))?)?,
            max_width: width("max_link_width")?,
        })
    }
}

impl fmt::Display for PciLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x{}", self.speed, self.width)?;
        if self.is_degraded() { write!(f, " (of {} x{})", self.max_speed, self.max_width) } else { Ok(()) }
    }
}

/// Reads `8.0 GT/s PCIe`, or `5 GT/s` as older kernels write it.
fn speed(text: &str) -> Option<LinkSpeed> {
    let number = text.split_once(" GT/s")?.0;
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let (whole, tenths): (u32, u32) = (whole.parse().ok()?, tenths.parse().ok()?);
    (tenths < 10 && whole < 1000).then_some(LinkSpeed(whole * 1000 + tenths * 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_as_kernels_write_them() {
        assert_eq!(speed("2.5 GT/s PCIe"), Some(LinkSpeed(2500)));
        assert_eq!(speed("5 GT/s"), Some(LinkSpeed(5000)));
        assert_eq!(speed("32.0 GT/s PCIe").map(|speed| speed.to_string()), Some("32.0 GT/s".into()));
        for wrong in ["Unknown", "", "x GT/s", "-1 GT/s", "5.55 GT/s", "99999999999 GT/s"] {
            assert_eq!(speed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slow_slot_is_told() {
        let [low, high] = [LinkSpeed(2500), LinkSpeed(5000)];
        let link = PciLink { speed: low, width: 4, max_speed: high, max_width: 8 };
        assert_eq!(link.to_string(), "2.5 GT/s x4 (of 5.0 GT/s x8)");
        assert_eq!(PciLink { speed: high, width: 8, ..link }.to_string(), "5.0 GT/s x8");
    }
}
