//! Transmit descriptors, decoded (datasheet 7.2.3).
//!
//! Key types: [`Descriptor`], [`Data`], [`Context`]. Neighbours: [`queue`](super::queue) fetches the words.

use pmd_ixgbe::desc::{legacy, tx};

use crate::state::{Reader, State, StateError, Writer, state, state_enum};

/// A context: how the packets that name it are built (7.2.3.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// Bytes of the MAC header.
    pub(crate) mac_len: usize,
    /// Bytes of the IP header.
    pub(crate) ip_len: usize,
    /// Bytes of the layer-4 header.
    pub(crate) l4_len: usize,
    pub(crate) vlan: u16,
    pub(crate) ipv4: bool,
    pub(crate) l4: Protocol,
    pub(crate) mss: usize,
}

/// The protocol of layer 4 that TUCMD.L4T names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Udp,
    Tcp,
    Sctp,
    Reserved,
}

state_enum!(Protocol { Udp = 0, Tcp = 1, Sctp = 2, Reserved = 3 });
state!(Context { mac_len, ip_len, l4_len, vlan, ipv4, l4, mss });

/// A piece of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) address: u64,
    pub(crate) len: usize,
    pub(crate) end: bool,
    pub(crate) report: bool,
    /// The device makes the frame check sequence.
    pub(crate) fcs: bool,
    pub(crate) offload: Offload,
}

/// What is to be done with the packet; the first descriptor of a packet decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// A legacy descriptor: a checksum from `start` into `at`, a tag.
    Legacy { checksum: Option<(usize, usize)>, vlan: Option<u16> },
    /// An advanced one.
    Advanced { context: usize, ip: bool, l4: bool, vlan: bool, segment: bool, payload: usize, stamp: bool },
}

state!(Data { address, len, end, report, fcs, offload });

impl State for Offload {
    fn save(&self, to: &mut Writer) {
        match *self {
            Offload::Legacy { checksum, vlan } => {
                true.save(to);
                (checksum, vlan).save(to);
            }
            Offload::Advanced { context, ip, l4, vlan, segment, payload, stamp } => {
                false.save(to);
                (context, payload).save(to);
                [ip, l4, vlan, segment, stamp].save(to);
            }
        }
    }
    fn load(from: &mut Reader<'_>) -> Result<Offload, StateError> {
        if bool::load(from)? {
            let (checksum, vlan) = State::load(from)?;
            return Ok(Offload::Legacy { checksum, vlan });
        }
        let (context, payload) = State::load(from)?;
        let [ip, l4, vlan, segment, stamp] = State::load(from)?;
        Ok(Offload::Advanced { context, ip, l4, vlan, segment, payload, stamp })
    }
}

/// One descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    Context {
        slot: usize,
        context: Context,
    },
    Data(Data),
    /// A type that there is not.
    Unknown,
}

/// Decodes the two words.
#[inline]
pub(crate) fn decode(words: [u64; 2]) -> Descriptor {
    let [low, high] = words;
    let bits = |shift: u32, width: u32| (high >> shift & ((1 << width) - 1)) as usize;
    let data = |offload| {
        Descriptor::Data(Data {
            address: low,
            len: bits(0, 16),
            end: high & tx::EOP != 0,
            report: high & tx::RS != 0,
            fcs: high & tx::IFCS != 0,
            offload,
        })
    };
    if high & tx::DEXT == 0 {
        return data(Offload::Legacy {
            checksum: (high & legacy::TX_IC != 0).then_some((bits(40, 8), bits(16, 8))),
            vlan: (high & legacy::TX_VLE != 0).then_some((high >> legacy::VLAN_SHIFT) as u16),
        });
    }
    match high & tx::DTYP_MASK {
        tx::DTYP_DATA => data(Offload::Advanced {
            context: bits(36, 3),
            ip: high & tx::IXSM != 0,
            l4: high & tx::TXSM != 0,
            vlan: high & tx::VLE != 0,
            segment: high & tx::TSE != 0,
            payload: bits(tx::PAYLEN_SHIFT, 18),
            stamp: high & tx::MAC_1588 != 0,
        }),
        tx::DTYP_CONTEXT => Descriptor::Context {
            slot: bits(36, 3),
            context: Context {
                ip_len: (low & 0x1FF) as usize,
                mac_len: (low >> tx::MACLEN_SHIFT & 0x7F) as usize,
                vlan: (low >> tx::VLAN_SHIFT) as u16,
                ipv4: high & tx::TUCMD_IPV4 != 0,
                l4: match bits(11, 2) {
                    0 => Protocol::Udp,
                    1 => Protocol::Tcp,
                    2 => Protocol::Sctp,
                    _ => Protocol::Reserved,
                },
                l4_len: bits(tx::L4LEN_SHIFT, 8),
                mss: bits(tx::MSS_SHIFT, 16),
            },
        },
        _ => Descriptor::Unknown,
    }
}
