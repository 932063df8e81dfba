//! What a user may ask of the link.

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign};

use vfio_hal::pmd::PortError;

/// Speeds, all of them full duplex.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Speeds(u8);

impl Speeds {
    /// None.
    pub const NONE: Speeds = Speeds(0);
    /// 10 Mb/s: 82576 and I350.
    pub const MB10: Speeds = Speeds(1 << 5);
    /// 100 Mb/s: copper.
    pub const MB100: Speeds = Speeds(1 << 0);
    /// 1 Gb/s.
    pub const GB1: Speeds = Speeds(1 << 1);
    /// 2.5 Gb/s: X550.
    pub const GB2_5: Speeds = Speeds(1 << 2);
    /// 5 Gb/s: X550.
    pub const GB5: Speeds = Speeds(1 << 3);
    /// 10 Gb/s.
    pub const GB10: Speeds = Speeds(1 << 4);
    /// All of the above.
    pub const ALL: Speeds = Speeds(0x3f);

    /// Returns whether all of `speeds` are in it.
    pub const fn contains(self, speeds: Speeds) -> bool {
        self.0 & speeds.0 == speeds.0
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns how many there are.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl BitOr for Speeds {
    type Output = Speeds;

    fn bitor(self, other: Speeds) -> Speeds {
        Speeds(self.0 | other.0)
    }
}

impl BitOrAssign for Speeds {
    fn bitor_assign(&mut self, other: Speeds) {
        *self = *self | other;
    }
}

impl BitAnd for Speeds {
    type Output = Speeds;

    fn bitand(self, other: Speeds) -> Speeds {
        Speeds(self.0 & other.0)
    }
}

impl fmt::Display for Speeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Speeds, &str); 6] = [
            (Speeds::GB10, "10G"),
            (Speeds::GB5, "5G"),
            (Speeds::GB2_5, "2.5G"),
            (Speeds::GB1, "1G"),
            (Speeds::MB100, "100M"),
            (Speeds::MB10, "10M"),
        ];
        let mut first = true;
        for (_, name) in NAMES.iter().filter(|(speed, _)| self.contains(*speed)) {
            write!(f, "{}{name}", if first { "" } else { ", " })?;
            first = false;
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for Speeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speeds({self})")
    }
}

/// How the link is to be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Which speeds may be used. What the port and its module cannot do is left out.
    pub speeds: Speeds,
    /// Agree on the speed with the link partner. Without, `speeds` is the one that is forced; then the partner must
    /// be forced too.
    ///
    /// 10 Gb/s over SFP+ knows no negotiation: there, a module of two speeds is tried at both, the higher first.
    pub autoneg: bool,
}

impl Default for LinkConfig {
    /// Everything the port can do, negotiated.
    fn default() -> LinkConfig {
        LinkConfig { speeds: Speeds::ALL, autoneg: true }
    }
}

impl LinkConfig {
    /// Returns the speeds to use of those that the port can do.
    pub fn choose(&self, possible: Speeds) -> Result<Speeds, PortError> {
        if !self.autoneg && self.speeds.count() != 1 {
            return Err(PortError::Invalid {
                what: "a forced link has exactly one speed: name it, or negotiate",
            });
        }
        let speeds = self.speeds & possible;
        if speeds.is_empty() {
            return Err(PortError::Unsupported {
                what: "a link at any of the speeds asked for, with this port and module",
            });
        }
        Ok(speeds)
    }
}
