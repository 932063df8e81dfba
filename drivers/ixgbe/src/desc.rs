//! Descriptor formats of the 82599 family (datasheet 7.1.6 receive, 7.2.3 transmit).
//!
//! The bits, and how packets become descriptors, are the whole family's and come from [`pmd_intel::desc`]; here is what
//! the 82599 has of its own: flow director, and an erratum.

use vfio_hal::dma::pool::{PacketType, RxFlags, RxInfo};

use pmd_intel::desc::Variant;
pub use pmd_intel::desc::{Legacy, legacy, rx, tx};

/// The longest packet that the device sends, in bytes (82599 datasheet 7.2.1: 15.5 KB).
pub const MAX_FRAME: u32 = 15_872;

/// Advanced descriptors of the 82599, both ways.
pub type Advanced = pmd_intel::desc::Advanced<Family>;

/// The 82599, X540 and X550.
#[derive(Debug)]
pub enum Family {}

impl Variant for Family {
    const MAX_FRAME: u32 = MAX_FRAME;
    // DPDK's IXGBE_TX_MAX_SEG.
    const MAX_DESCRIPTORS: u32 = 40;
    const RARE: u64 = rx::FLM | rx::TS | rx::L4E;

    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32 {
        let (mut flags, mut packet_type) = (info.flags(), info.packet_type());
        // Erratum 44: a UDP packet without a checksum (0) is reported as wrong. It may also really be wrong; what is
        // left is that nobody knows.
        if words[1] & rx::L4E != 0 && words[0] & rx::TYPE_UDP != 0 {
            flags = flags.without(RxFlags::L4_CHECKED.union(RxFlags::L4_BAD));
        }
        // The time stamp is in registers, not in the packet.
        flags = flags.without(RxFlags::TIMESTAMP);
        // The low half is the filter's index, the high half its bucket (82599 datasheet 7.1.6.2).
        let mark = info.hash() & 0x7fff;
        if words[1] & rx::FLM != 0 {
            // With a match, the hash field holds the filter's software index.
            packet_type = PacketType(packet_type.0 & !0xf);
        }
        *info = RxInfo::new(flags, packet_type, info.hash(), info.vlan());
        mark
    }
}
