//! What is known of a packet: the metadata slot of one buffer.
//!
//! [`Packet`] has room for everything a NIC can say or be told. Its first cache line is what a burst touches;
//! offload requests and rarities are in the second. [`RxFlags`] and [`PacketType`] use the bit positions of
//! Intel's advanced receive descriptor (82599 datasheet 7.1.6.2), so that for the NIC family of this kit the
//! translation is a mask; other drivers translate.
//!
//! [`Buf`](super::Buf) and [`SharedBuf`](super::SharedBuf) dereference to it.

use core::ptr::NonNull;

use super::buf::Buf;
use super::shared::Shared;
use crate::addr::Iova;
use crate::sync::atomic::AtomicU32;

/// The metadata of one buffer: data offset and lengths, what the NIC said on receive, what it shall do on
/// transmit.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Packet {
    // Fixed for the life of the pool.
    pub(crate) iova: u64,
    /// What a receive descriptor is given: `iova` behind the headroom.
    pub(crate) fill: u64,
    pub(crate) start: NonNull<u8>,
    pub(crate) pool: NonNull<Shared>,
    // Per packet.
    pub(crate) head: Head,
    pub(crate) rx: RxInfo,
    pub(crate) len: u32,
    /// The bytes of the buffer, headroom included. Fixed for the life of the pool.
    pub(crate) room: u32,
    // Second cache line.
    /// The next segment of the packet. Some if and only if `head.tx_flags` has `SEGMENTED`.
    pub(crate) next: Option<Buf>,
    pub(crate) lens: HeaderLens,
    pub(crate) mss: u16,
    pub(crate) tx_vlan: u16,
    pub(crate) vlan_outer: u16,
    pub(crate) mark: u32,
    pub(crate) timestamp: u64,
    pub(crate) user: u64,
    /// Owners of the buffer as `SharedBuf`; 0 while a `Buf` owns it.
    pub(crate) owners: AtomicU32,
}

/// What a receive queue stores into every packet alike: one 8-byte store.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Head {
    pub(crate) off: u16,
    pub(crate) port: u16,
    pub(crate) tx_flags: TxFlags,
}

/// Lengths of the headers in bytes, for transmit offloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderLens {
    /// Layer 2: MAC addresses, type, VLAN tags inside of the packet.
    pub l2: u8,
    /// Layer 3, options and extension headers included.
    pub l3: u16,
    /// Layer 4, options included.
    pub l4: u8,
    /// Outer layer 2 of a tunnel, 0 without one.
    pub outer_l2: u8,
    /// Outer layer 3 of a tunnel, 0 without one.
    pub outer_l3: u16,
}

/// What the NIC said of a received packet. Bits as in the 82599's extended status and error fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct RxFlags(pub u32);

impl RxFlags {
    /// A flow rule matched; [`Packet::mark`] tells which.
    pub const FLOW_MATCH: RxFlags = RxFlags(1 << 2);
    /// A VLAN tag was taken out; it is in [`Packet::vlan`].
    pub const VLAN_STRIPPED: RxFlags = RxFlags(1 << 3);
    /// The layer-4 checksum was checked.
    pub const L4_CHECKED: RxFlags = RxFlags(1 << 5);
    /// The IPv4 header checksum was checked.
    pub const IP_CHECKED: RxFlags = RxFlags(1 << 6);
    /// [`Packet::timestamp`] holds the time of arrival.
    pub const TIMESTAMP: RxFlags = RxFlags(1 << 16);
    /// The packet was put together from several by large receive offload: [`Packet::coalesced`] says how many.
    pub const LRO: RxFlags = RxFlags(1 << 19);
    /// The layer-4 checksum is wrong.
    pub const L4_BAD: RxFlags = RxFlags(1 << 30);
    /// The IPv4 header checksum is wrong.
    pub const IP_BAD: RxFlags = RxFlags(1 << 31);

    const NAMED: u32 = Self::FLOW_MATCH.0
        | Self::VLAN_STRIPPED.0
        | Self::L4_CHECKED.0
        | Self::IP_CHECKED.0
        | Self::TIMESTAMP.0
        | Self::L4_BAD.0
        | Self::IP_BAD.0;

    /// Returns whether all bits of `other` are set.
    pub const fn contains(self, other: RxFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns these flags and those of `other`.
    pub const fn union(self, other: RxFlags) -> RxFlags {
        RxFlags(self.0 | other.0)
    }

    /// Returns these flags without those of `other`.
    pub const fn without(self, other: RxFlags) -> RxFlags {
        RxFlags(self.0 & !other.0)
    }

    const fn verdict(self, checked: RxFlags, bad: RxFlags) -> Verdict {
        match (self.contains(checked), self.contains(bad)) {
            (false, _) => Verdict::Unknown,
            (true, false) => Verdict::Good,
            (true, true) => Verdict::Bad,
        }
    }
}

/// What a NIC says of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not checked: not that kind of packet, or the NIC cannot tell.
    Unknown,
    /// Checked and right.
    Good,
    /// Checked and wrong.
    Bad,
}

/// What a NIC shall do with a packet on transmit. Lengths and tags are set beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct TxFlags(pub u32);

impl TxFlags {
    /// Nothing.
    pub const NONE: TxFlags = TxFlags(0);
    /// Insert the IPv4 header checksum.
    pub const IP_CHECKSUM: TxFlags = TxFlags(1 << 0);
    /// Insert the TCP checksum. The field must hold the pseudo-header's sum.
    pub const TCP_CHECKSUM: TxFlags = TxFlags(1 << 1);
    /// Insert the UDP checksum. The field must hold the pseudo-header's sum.
    pub const UDP_CHECKSUM: TxFlags = TxFlags(1 << 2);
    /// Insert the SCTP CRC-32C.
    pub const SCTP_CHECKSUM: TxFlags = TxFlags(1 << 3);
    /// Cut into TCP segments of [`Packet::mss`] bytes of payload.
    pub const TCP_SEGMENT: TxFlags = TxFlags(1 << 4);
    /// The packet is IPv4 (else IPv6); needed with the checksum and segmentation requests.
    pub const IPV4: TxFlags = TxFlags(1 << 5);
    /// Insert the VLAN tag [`Packet::vlan`].
    pub const VLAN_INSERT: TxFlags = TxFlags(1 << 6);
    /// Take a timestamp when it leaves.
    pub const TIMESTAMP: TxFlags = TxFlags(1 << 7);
    /// Several segments. Kept by the kit, so that one test of the flags finds a plain packet.
    pub(crate) const SEGMENTED: TxFlags = TxFlags(1 << 31);

    /// Returns whether all bits of `other` are set.
    pub const fn contains(self, other: TxFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any bit of `other` is set.
    pub const fn intersects(self, other: TxFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns these flags and those of `other`.
    pub const fn union(self, other: TxFlags) -> TxFlags {
        TxFlags(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: TxFlags) -> TxFlags {
        TxFlags(self.0 & !other.0)
    }
}

impl core::ops::BitOr for TxFlags {
    type Output = TxFlags;

    fn bitor(self, other: TxFlags) -> TxFlags {
        self.union(other)
    }
}

/// What the NIC's parser found, bits as in dword 0 of the 82599's advanced write-back descriptor: RSS type in
/// 3:0, packet type in 15:4 (datasheet 7.1.6.2, table 7-19).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct PacketType(pub u16);

impl PacketType {
    const IPV4: u16 = 1 << 4;
    const IPV4_OPTIONS: u16 = 1 << 5;
    const IPV6: u16 = 1 << 6;
    const IPV6_EXTENSIONS: u16 = 1 << 7;
    const TCP: u16 = 1 << 8;
    const UDP: u16 = 1 << 9;
    const SCTP: u16 = 1 << 10;
    const ETHER_TYPE_FILTER: u16 = 1 << 15;

    const fn layered(self, bits: u16) -> bool {
        // With bit 15 set, the other bits name an EtherType filter instead of layers.
        self.0 & Self::ETHER_TYPE_FILTER == 0 && self.0 & bits != 0
    }

    /// Returns whether it is IPv4.
    pub const fn is_ipv4(self) -> bool {
        self.layered(Self::IPV4 | Self::IPV4_OPTIONS)
    }

    /// Returns whether it is IPv6.
    pub const fn is_ipv6(self) -> bool {
        self.layered(Self::IPV6 | Self::IPV6_EXTENSIONS)
    }

    /// Returns whether it is TCP.
    pub const fn is_tcp(self) -> bool {
        self.layered(Self::TCP)
    }

    /// Returns whether it is UDP.
    pub const fn is_udp(self) -> bool {
        self.layered(Self::UDP)
    }

    /// Returns whether it is SCTP.
    pub const fn is_sctp(self) -> bool {
        self.layered(Self::SCTP)
    }

    /// Returns which EtherType filter matched, 0 to 7.
    pub const fn ether_type_filter(self) -> Option<u8> {
        if self.0 & Self::ETHER_TYPE_FILTER != 0 { Some((self.0 >> 4) as u8 & 7) } else { None }
    }

    /// Returns whether a hash was computed, that is whether [`Packet::hash`] means anything.
    pub const fn has_hash(self) -> bool {
        self.0 & 0xf != 0
    }
}

/// What a driver reads out of a receive descriptor: two words in the layout of the 82599's advanced write-back
/// (datasheet 7.1.6.2), because storing them whole is what costs least per packet.
///
/// | word | bits | content |
/// |---|---|---|
/// | 0 | 15:0 | [`PacketType`], with the RSS type in 3:0 |
/// | 0 | 20:17 | packets that were put together; more than 1 is [`RxFlags::LRO`] |
/// | 0 | 63:32 | RSS hash, if the RSS type is not 0 |
/// | 1 | 31:0 | [`RxFlags`]; bits that have no name there mean nothing |
/// | 1 | 63:48 | stripped VLAN tag, if [`RxFlags::VLAN_STRIPPED`] |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct RxInfo(pub [u64; 2]);

impl RxInfo {
    /// Puts the words together, for drivers of devices with another layout.
    pub const fn new(flags: RxFlags, packet_type: PacketType, hash: u32, vlan: u16) -> RxInfo {
        RxInfo([packet_type.0 as u64 | (hash as u64) << 32, flags.0 as u64 | (vlan as u64) << 48])
    }

    /// Returns the flags.
    pub const fn flags(self) -> RxFlags {
        let large = if self.coalesced() > 1 { RxFlags::LRO.0 } else { 0 };
        RxFlags(self.0[1] as u32 & RxFlags::NAMED | large)
    }

    /// Returns how many packets were put together, 15 for more; 0 and 1 if it is one as it came.
    pub const fn coalesced(self) -> u8 {
        (self.0[0] >> Self::COALESCED_SHIFT) as u8 & 15
    }

    /// Returns the same for so many packets put together.
    pub(crate) fn with_coalesced(mut self, packets: u32) -> RxInfo {
        let [word, _] = &mut self.0;
        *word = *word & !(15 << Self::COALESCED_SHIFT) | u64::from(packets.min(15)) << Self::COALESCED_SHIFT;
        self
    }

    const COALESCED_SHIFT: u32 = 17;

    /// Returns what the parser found.
    pub const fn packet_type(self) -> PacketType {
        PacketType(self.0[0] as u16)
    }

    /// Returns the hash field, whether it means anything or not.
    pub const fn hash(self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// Returns the VLAN field, whether it means anything or not.
    pub const fn vlan(self) -> u16 {
        (self.0[1] >> 48) as u16
    }
}

impl Packet {
    /// Returns the length of this segment's data in bytes.
    // A segment may be empty, but nobody asks a packet that.
    #[allow(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns the length of the whole packet in bytes, all segments.
    #[inline]
    pub fn packet_len(&self) -> usize {
        if self.is_segmented() {
            // Added up when asked for: a sum that is kept would be wrong in a segment that others were put behind.
            self.segments().map(Packet::len).sum()
        } else {
            self.len()
        }
    }

    /// Returns whether there is a next segment, without a look at the second cache line.
    #[inline]
    pub(crate) fn is_segmented(&self) -> bool {
        self.head.tx_flags.contains(TxFlags::SEGMENTED)
    }

    /// Returns this segment's data.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: 1. `off + len <= room` always, and the pool's region has `room` bytes at `start` and outlives
        // every buffer; 2. the device gave the buffer back (the ring saw its done bit) or never had it, and the
        // shared borrow of the owner keeps both the owner and a ring from handing it out meanwhile.
        unsafe {
            core::slice::from_raw_parts(self.start.as_ptr().add(self.head.off as usize), self.len as usize)
        }
    }

    /// Returns the next segment.
    pub fn next(&self) -> Option<&Packet> {
        self.next.as_deref()
    }

    /// Returns this segment and those behind it.
    pub fn segments(&self) -> impl Iterator<Item = &Packet> {
        core::iter::successors(Some(self), |packet| packet.next())
    }

    /// Returns the number of segments, at least 1.
    pub fn segment_count(&self) -> usize {
        self.segments().count()
    }

    /// Returns the port the packet came from.
    pub fn port(&self) -> u16 {
        self.head.port
    }

    /// Returns what the NIC said on receive.
    pub fn rx_flags(&self) -> RxFlags {
        self.rx.flags()
    }

    /// Returns how many received packets large receive offload put together in this one, 15 for 15 or more.
    pub fn coalesced(&self) -> u8 {
        self.rx.coalesced().max(1)
    }

    /// Returns the NIC's verdict on the IPv4 header checksum.
    pub fn ip_checksum(&self) -> Verdict {
        self.rx_flags().verdict(RxFlags::IP_CHECKED, RxFlags::IP_BAD)
    }

    /// Returns the NIC's verdict on the TCP, UDP or SCTP checksum.
    pub fn l4_checksum(&self) -> Verdict {
        self.rx_flags().verdict(RxFlags::L4_CHECKED, RxFlags::L4_BAD)
    }

    /// Returns the RSS hash, if the NIC computed one.
    pub fn hash(&self) -> Option<u32> {
        self.packet_type().has_hash().then_some(self.rx.hash())
    }

    /// Returns the mark of the flow rule that matched.
    pub fn mark(&self) -> Option<u32> {
        self.rx_flags().contains(RxFlags::FLOW_MATCH).then_some(self.mark)
    }

    /// Returns what the NIC's parser found.
    pub fn packet_type(&self) -> PacketType {
        self.rx.packet_type()
    }

    /// Returns the VLAN tag (TCI) that the NIC took out on receive.
    pub fn vlan(&self) -> Option<u16> {
        self.rx_flags().contains(RxFlags::VLAN_STRIPPED).then_some(self.rx.vlan())
    }

    /// Returns the VLAN tag (TCI) that the NIC shall insert on transmit, if asked to.
    pub fn tx_vlan(&self) -> Option<u16> {
        self.head.tx_flags.contains(TxFlags::VLAN_INSERT).then_some(self.tx_vlan)
    }

    /// Returns the outer VLAN tag of a double-tagged packet, 0 without one.
    pub fn vlan_outer(&self) -> u16 {
        self.vlan_outer
    }

    /// Returns the time of arrival in nanoseconds of the NIC's clock, if it took one.
    pub fn timestamp(&self) -> Option<u64> {
        self.rx_flags().contains(RxFlags::TIMESTAMP).then_some(self.timestamp)
    }

    /// Returns what was asked of the NIC for transmit.
    pub fn tx_flags(&self) -> TxFlags {
        self.head.tx_flags.without(TxFlags::SEGMENTED)
    }

    /// Returns the header lengths set for transmit offloads.
    pub fn header_lens(&self) -> HeaderLens {
        self.lens
    }

    /// Returns the TCP payload bytes per segment for [`TxFlags::TCP_SEGMENT`].
    pub fn mss(&self) -> u16 {
        self.mss
    }

    /// Returns the application's own word.
    pub fn user(&self) -> u64 {
        self.user
    }

    /// Returns the bytes free before the data.
    pub fn headroom(&self) -> usize {
        self.head.off as usize
    }

    /// Returns the bytes free behind the data.
    pub fn tailroom(&self) -> usize {
        self.room as usize - self.head.off as usize - self.len as usize
    }

    /// Returns where the device sees the data start.
    pub fn data_iova(&self) -> Iova {
        Iova(self.iova + u64::from(self.head.off))
    }
}
