//! How full the packet buffer may be.
//!
//! Above the high level there must be room for what arrives before the partner obeys: what is on the wire and in both
//! devices, and a frame that each side has just begun. Below the low level there must be enough to go on with until
//! the partner's next packets arrive. The delays are those of IEEE 802.1Qbb annex O, added up as Linux and DPDK do.

use vfio_hal::pmd::PortError;

use crate::hw::Chip;
use crate::mtu::longest_frame;

/// Preamble and gap between frames, in bytes.
const FRAMING: u32 = 20;

/// Delays in bit times, one way: until the partner has understood; a cable of 100 m; a higher layer; PCIe.
const RESPONSE: u32 = 672;
const CABLE: u32 = 5_556;
const HIGHER_LAYER: u32 = 6_144;
const PCIE: u32 = 10_000;

/// MAC, XAUI and PHY, in bit times, one way.
const INTERFACE_82599: u32 = 4_096 + 2 * 1_024 + 12_800;
const INTERFACE_10GBASE_T: u32 = 8_192 + 2 * 2_048 + 25_600;

/// When to tell the partner to pause and when to go on, in KiB of the packet buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) high: u32,
    pub(super) low: u32,
}

impl Levels {
    /// Returns the levels for a packet buffer of `size` KiB.
    pub(super) fn new(chip: Chip, size: u32, mtu: u16) -> Result<Levels, PortError> {
        let interface = match chip {
            Chip::I82599 => INTERFACE_82599,
            Chip::X540 | Chip::X550 => INTERFACE_10GBASE_T,
        };
        let frame = 8 * longest_frame(mtu);
        let on_wire = frame + 8 * FRAMING;
        let delay = on_wire + RESPONSE + 2 * CABLE + 2 * interface + HIGHER_LAYER;
        // Packets of the worst size take 36/25 of it in the buffer.
        let room = kib(36 * delay / 25 + 1 + 2 * on_wire);
        let drain = 2 * frame + 36 * PCIE / 25 + 1;
        let low = kib(match chip {
            Chip::I82599 => 2 * drain,
            Chip::X540 | Chip::X550 => drain,
        });
        match size.checked_sub(room) {
            Some(high) if high > low => Ok(Levels { high, low }),
            _ => Err(PortError::Invalid {
                what: "the packet buffer is too small to pause the link partner in time: use a smaller MTU, or flow \
                       control that sends no pause frames",
            }),
        }
    }
}

/// Returns the KiB that so many bits take, rounded up.
const fn kib(bits: u32) -> u32 {
    bits.div_ceil(8 * 1024)
}
