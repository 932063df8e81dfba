//! What the descriptor says about a packet, in both formats (datasheet 7.1.5, 7.1.6.2).
//!
//! Key types: [`Meta`]. Neighbours: [`steer`](super::steer) and [`verify`](super::verify) fill it, the queue writes
//! it back.

use pmd_ixgbe::desc::{legacy, rx};

use crate::state::state;

/// Further bits of word 1 of an advanced descriptor.
pub(crate) mod status {
    /// The packet has an outer tag (VEXT).
    pub(crate) const VEXT: u64 = 1 << 9;
    /// The UDP fragment checksum in word 0 is valid.
    pub(crate) const UDPV: u64 = 1 << 10;
    /// The packet raised a low-latency interrupt.
    pub(crate) const LLINT: u64 = 1 << 11;
    /// A MAC error (error bit RXE).
    pub(crate) const RXE: u64 = 1 << 29;
}

/// Word 0 of an advanced descriptor beside the packet types of [`Parsed`](crate::packet::Parsed).
pub(crate) mod kind {
    /// The packet type is the number of an EtherType filter.
    pub(crate) const ETHERTYPE: u32 = 1 << 15;
    /// The RSS type, 3:0.
    pub(crate) const RSS_MASK: u32 = 0xF;
    /// The RSS type that says: the hash field is the flow director's.
    pub(crate) const FLOW_DIRECTOR: u32 = 0xF;
}

/// A packet's facts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta {
    /// Status and errors as in bits 31:0 of word 1, without DD and EOP.
    pub(crate) status: u64,
    /// RSS type and packet type, bits 16:0 of word 0.
    pub(crate) kind: u32,
    /// Bits 63:32 of word 0: RSS hash, flow director id, or fragment checksum and IP id.
    pub(crate) high: u32,
    /// The stripped tag.
    pub(crate) vlan: u16,
    /// Bytes of header, counted in the packet as it goes to memory, 0 if it is not known.
    pub(crate) header: usize,
}

state!(Meta { status, kind, high, vlan, header });

impl Meta {
    /// Returns the words of one descriptor; everything but the length is told with the last.
    #[inline]
    pub(crate) fn advanced(&self, len: usize, last: bool) -> [u64; 2] {
        let length = (len as u64 & 0xFFFF) << rx::LENGTH_SHIFT;
        if !last {
            return [0, length | rx::DD];
        }
        let low = u64::from(self.high) << rx::HASH_SHIFT | u64::from(self.kind);
        [low, length | u64::from(self.vlan) << rx::VLAN_SHIFT | self.status | rx::EOP | rx::DD]
    }

    /// Returns word 1 of a legacy descriptor; word 0, the address, stays as it is.
    pub(crate) fn legacy(&self, len: usize, last: bool) -> u64 {
        let length = len as u64 & legacy::LENGTH_MASK;
        if !last {
            return length | legacy::DD;
        }
        // Status 7:0 is the same in both; of the errors RXE, TCPE and IPE have a place (7.1.5).
        let errors = (self.status >> 29 & 1) | (self.status >> 30 & 3) << 6;
        let checksum = if self.status & status::UDPV != 0 { u64::from(self.high >> 16) } else { 0 };
        length
            | checksum << 16
            | (self.status & 0xF8) << 32
            | errors << 40
            | u64::from(self.vlan) << legacy::VLAN_SHIFT
            | legacy::RX_EOP
            | legacy::DD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_descriptor_tells() {
        let meta = Meta { status: rx::IPCS | rx::IPE, kind: 0x112, high: 0xAABB_CCDD, vlan: 5, header: 0 };
        assert_eq!(meta.advanced(2048, false), [0, 2048 << 32 | 1]);
        let [low, high] = meta.advanced(100, true);
        assert_eq!(low, 0xAABB_CCDD_0000_0112);
        assert_eq!(high, 5 << 48 | 100 << 32 | 1 << 31 | 1 << 6 | 3);
    }

    #[test]
    fn the_legacy_format_has_the_same_facts_in_bytes() {
        let meta =
            Meta { status: rx::IPCS | rx::L4CS | rx::VP | rx::L4E | rx::IPE, vlan: 7, ..Meta::default() };
        let bytes = meta.legacy(60, true).to_le_bytes();
        assert_eq!(bytes, [60, 0, 0, 0, 0b0110_1011, 0b1100_0000, 7, 0]);
    }
}
