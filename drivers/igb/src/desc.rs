//! Descriptor formats of the 82576 and I350 (82576 datasheet 7.1.5 receive, 7.2.2 transmit): the whole family's, and come
//! from [`pmd_intel::desc`]. Here is what these two have of their own, which is limits.

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
    const RARE: u64 = MEANINGLESS.0 as u64;

    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32 {
        let _ = words;
        *info = RxInfo::new(info.flags().without(MEANINGLESS), info.packet_type(), info.hash(), info.vlan());
        0
    }
}

/// What the kit's flags mean and this device's do not: it has no flow marks and puts no packets together, and time
/// stamps are in registers, not in the packet.
const MEANINGLESS: RxFlags = RxFlags::FLOW_MATCH.union(RxFlags::TIMESTAMP).union(RxFlags::LRO);
