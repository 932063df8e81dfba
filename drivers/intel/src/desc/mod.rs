//! Descriptor formats (82599 datasheet 7.1.6 receive, 7.2.3 transmit; 82576 datasheet 7.1.5, 7.2.2): the same in the
//! whole family but for a few bits.
//!
//! - [`Advanced`] is what the burst path uses both ways: one-buffer receive descriptors (type 001b) and
//!   advanced data and context descriptors. A [`Variant`] says what is a device's own.
//! - [`Legacy`] is what the in-place forwarder uses.
//! - [`rx`], [`tx`] and [`legacy`] hold the bits, which device models read too.
//!
//! A descriptor is two little-endian 64-bit words; the kit's rings write the addresses, so nothing here can aim
//! the device anywhere. What a packet asks for becomes descriptors in `offload`.

use core::marker::PhantomData;

use vfio_hal::dma::pool::{Packet, RxInfo};
use vfio_hal::ring::{InPlaceFormat, RxFormat, TxError, TxFormat, TxPlan};

mod offload;

/// Bits of word 1 of an advanced receive descriptor as written back (7.1.6.2), and of word 0.
pub mod rx {
    /// Descriptor done.
    pub const DD: u64 = 1 << 0;
    /// End of packet.
    pub const EOP: u64 = 1 << 1;
    /// Flow director match.
    pub const FLM: u64 = 1 << 2;
    /// VLAN tag stripped and in the VLAN field.
    pub const VP: u64 = 1 << 3;
    /// UDP checksum computed (with PIF, fragments).
    pub const UDPCS: u64 = 1 << 4;
    /// Layer-4 checksum checked.
    pub const L4CS: u64 = 1 << 5;
    /// IPv4 header checksum checked.
    pub const IPCS: u64 = 1 << 6;
    /// Passed an inexact filter.
    pub const PIF: u64 = 1 << 7;
    /// Time stamp of the packet is in the registers.
    pub const TS: u64 = 1 << 16;
    /// Layer-4 checksum wrong.
    pub const L4E: u64 = 1 << 30;
    /// IPv4 header checksum wrong.
    pub const IPE: u64 = 1 << 31;
    /// Shift of the 16-bit packet length.
    pub const LENGTH_SHIFT: u32 = 32;
    /// Shift of the 16-bit VLAN tag.
    pub const VLAN_SHIFT: u32 = 48;
    /// Word 0: bit of the packet type that says UDP.
    pub const TYPE_UDP: u64 = 1 << 9;
    /// Word 0: how many packets that were put together begin in this descriptor, 0 without coalescing (RSCCNT).
    pub const RSCCNT_MASK: u64 = 0xf << 17;
    /// Word 1 of a descriptor of coalesced packets without EOP: shift of the 16-bit index of the one that goes on (NEXTP).
    pub const NEXTP_SHIFT: u32 = 4;
    /// Word 0: shift of the RSS hash, the flow director id, or fragment id and checksum.
    pub const HASH_SHIFT: u32 = 32;
}

/// Bits of word 1 of transmit descriptors (7.2.3).
pub mod tx {
    /// Shift of the 16-bit segment length, DTALEN.
    pub const LENGTH_SHIFT: u32 = 0;
    /// Mask of the descriptor type.
    pub const DTYP_MASK: u64 = 0xf << 20;
    /// Advanced context descriptor.
    pub const DTYP_CONTEXT: u64 = 2 << 20;
    /// Advanced data descriptor.
    pub const DTYP_DATA: u64 = 3 << 20;
    /// End of packet.
    pub const EOP: u64 = 1 << 24;
    /// Insert the frame check sequence.
    pub const IFCS: u64 = 1 << 25;
    /// Report status.
    pub const RS: u64 = 1 << 27;
    /// Descriptor extension: an advanced descriptor.
    pub const DEXT: u64 = 1 << 29;
    /// Insert the VLAN tag of the context.
    pub const VLE: u64 = 1 << 30;
    /// TCP segmentation.
    pub const TSE: u64 = 1 << 31;
    /// Descriptor done, as written back.
    pub const DD: u64 = 1 << 32;
    /// Insert the IPv4 header checksum (POPTS.IXSM).
    pub const IXSM: u64 = 1 << 40;
    /// Insert the layer-4 checksum (POPTS.TXSM).
    pub const TXSM: u64 = 1 << 41;
    /// Shift of the 18-bit payload length.
    pub const PAYLEN_SHIFT: u32 = 46;
    /// IEEE 1588 time stamp.
    pub const MAC_1588: u64 = 1 << 19;

    /// Context word 0: shift of the 7-bit MAC header length.
    pub const MACLEN_SHIFT: u32 = 9;
    /// Context word 0: shift of the VLAN tag.
    pub const VLAN_SHIFT: u32 = 16;
    /// Context word 1, TUCMD: the packet is IPv4.
    pub const TUCMD_IPV4: u64 = 1 << 10;
    /// Context word 1, TUCMD: layer 4 is TCP (UDP is 0).
    pub const TUCMD_TCP: u64 = 1 << 11;
    /// Context word 1, TUCMD: layer 4 is SCTP.
    pub const TUCMD_SCTP: u64 = 2 << 11;
    /// Context word 1: shift of the 8-bit layer-4 header length.
    pub const L4LEN_SHIFT: u32 = 40;
    /// Context word 1: shift of the 16-bit maximum segment size.
    pub const MSS_SHIFT: u32 = 48;
}

/// Bits of word 1 of legacy descriptors, receive and transmit. Both have the length in 15:0
/// and the done bit in 32.
pub mod legacy {
    /// Mask of the length.
    pub const LENGTH_MASK: u64 = 0xffff;
    /// Transmit: end of packet.
    pub const TX_EOP: u64 = 1 << 24;
    /// Transmit: insert the frame check sequence.
    pub const TX_IFCS: u64 = 1 << 25;
    /// Transmit: insert the checksum at CSO over what starts at CSS.
    pub const TX_IC: u64 = 1 << 26;
    /// Transmit: report status.
    pub const TX_RS: u64 = 1 << 27;
    /// Transmit: insert the VLAN tag of the descriptor.
    pub const TX_VLE: u64 = 1 << 30;
    /// Descriptor done, both ways.
    pub const DD: u64 = 1 << 32;
    /// Receive: end of packet.
    pub const RX_EOP: u64 = 1 << 33;
    /// Receive: VLAN tag stripped.
    pub const RX_VP: u64 = 1 << 35;
    /// Shift of the VLAN tag.
    pub const VLAN_SHIFT: u32 = 48;
}

/// What a device of the family has of its own.
pub trait Variant: 'static {
    /// The longest packet that the device sends, in bytes.
    const MAX_FRAME: u32;
    /// The most descriptors one packet may take, a context included.
    const MAX_DESCRIPTORS: u32;
    /// Bits of word 1 of a receive descriptor that ask for a call of [`rarity`](Self::rarity).
    const RARE: u64;

    /// Corrects `info` where a [`RARE`](Self::RARE) bit is set, and returns the mark of a flow rule.
    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32;
}

/// Advanced descriptors, both ways.
pub struct Advanced<V>(PhantomData<fn() -> V>);

impl<V> core::fmt::Debug for Advanced<V> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Advanced")
    }
}

impl<V: Variant> RxFormat for Advanced<V> {
    const DONE: u64 = rx::DD;
    const END: u64 = rx::EOP;
    const RARE: u64 = V::RARE;

    #[inline(always)]
    fn len(words: [u64; 2]) -> u32 {
        (words[1] >> rx::LENGTH_SHIFT) as u32 & 0xffff
    }

    #[inline(always)]
    fn info(words: [u64; 2]) -> RxInfo {
        // The kit's layout is this family's.
        RxInfo(words)
    }

    fn next(words: [u64; 2]) -> Option<u32> {
        (words[0] & rx::RSCCNT_MASK != 0).then_some((words[1] >> rx::NEXTP_SHIFT) as u32 & 0xffff)
    }

    fn rarity(words: [u64; 2], info: &mut RxInfo) -> u32 {
        V::rarity(words, info)
    }
}

impl<V: Variant> TxFormat for Advanced<V> {
    const DONE: u64 = tx::DD;
    const REPORT: u64 = tx::RS;
    const END: u64 = tx::EOP;
    const KIND: (u64, u64) = (tx::DTYP_MASK | tx::DEXT, tx::DTYP_CONTEXT | tx::DEXT);
    const MAX_SEGMENT: u32 = V::MAX_FRAME;
    const MAX_DESCRIPTORS: u32 = V::MAX_DESCRIPTORS;

    #[inline(always)]
    fn plain(len: u32) -> u64 {
        const FIXED: u64 = tx::DTYP_DATA | tx::DEXT | tx::IFCS | tx::EOP;
        u64::from(len) | u64::from(len) << tx::PAYLEN_SHIFT | FIXED
    }

    fn plan(packet: &Packet) -> Result<TxPlan, TxError> {
        offload::plan(packet, V::MAX_FRAME)
    }

    #[inline(always)]
    fn segment(plan: &TxPlan, len: u32) -> u64 {
        plan.common | u64::from(len & 0xffff)
    }
}

/// Legacy descriptors, both ways: written back, they keep the buffer's address (82599 datasheet 7.1.5; 82576 datasheet
/// 7.1.4), and with head write-back the device leaves transmit descriptors alone (7.2.3.5.2; 7.2.3).
#[derive(Debug)]
pub struct Legacy;

impl InPlaceFormat for Legacy {
    const RECEIVED: u64 = legacy::DD | legacy::RX_EOP;
    const DONE: u64 = legacy::DD;
    const LENGTH: u64 = legacy::LENGTH_MASK;
    const SEND: u64 = legacy::TX_EOP | legacy::TX_IFCS;
    const REPORT: u64 = legacy::TX_RS;
}
