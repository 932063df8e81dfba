//! Descriptor formats of the 82576 and I350 (82576 datasheet 7.1.5 receive, 7.2.2 transmit): the whole family's, and come
//! from [`pmd_intel::desc`]. Here is what these two have of their own: limits, and where errors are reported.

use vfio_hal::dma::pool::{RxFlags, RxInfo};

use pmd_intel::desc::Variant;
pub use pmd_intel::desc::{legacy, rx, tx};

/// The longest packet that the device sends and receives, in bytes, check sequence included: 9.5 KB.
pub const MAX_FRAME: u32 = 9_728;

/// Advanced descriptors, both ways.
pub type Advanced = pmd_intel::desc::Advanced<Family>;

/// The 82576 and I350.
#[derive(Debug)]
pub enum Family {}

impl Variant for Family {
    const MAX_FRAME: u32 = MAX_FRAME;
    // The datasheet names no limit; this is what the 82599's drivers stay below.
    const MAX_DESCRIPTORS: u32 = 40;
    const RARE: u64 = MEANINGLESS.0 as u64 | ERRORS;

    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32 {
        let mut flags = info.flags().without(MEANINGLESS.union(RxFlags::L4_BAD).union(RxFlags::IP_BAD));
        for (error, flag) in [(L4E, RxFlags::L4_BAD), (IPE, RxFlags::IP_BAD)] {
            if words[1] & error != 0 {
                flags = flags.union(flag);
            }
        }
        *info = RxInfo::new(flags, info.packet_type(), info.hash(), info.vlan());
        0
    }
}

/// Word 1 of a receive descriptor: layer-4 checksum wrong. One bit below the 82599's (7.1.5.2; Linux and DPDK agree).
const L4E: u64 = 1 << 29;
/// Word 1 of a receive descriptor: IPv4 header checksum wrong. One bit below the 82599's.
const IPE: u64 = 1 << 30;
/// All of them, and an error of the PHY's, which lies where the 82599 has its IPE.
const ERRORS: u64 = L4E | IPE | 1 << 31;

/// What the kit's flags mean and this device's do not: it has no flow marks and puts no packets together, and time
/// stamps are in registers, not in the packet.
const MEANINGLESS: RxFlags = RxFlags::FLOW_MATCH.union(RxFlags::TIMESTAMP).union(RxFlags::LRO);
