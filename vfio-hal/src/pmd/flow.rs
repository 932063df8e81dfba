//! Flow rules: which packets go to which queue whatever RSS says, which are marked, which are dropped.
//!
//! A [`FlowRule`] is a [`FlowPattern`] and a [`FlowAction`]; the driver chooses the table of the device that can do it
//! ([`Port::add_flow`](super::Port::add_flow)), and answers with a [`FlowId`] to remove it by. The words are those of
//! DPDK's `rte_flow`. A rule outlives a stop of the port, and is in force again after the next start.

use core::net::IpAddr;

/// What a rule looks for and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRule {
    /// The packets it is for.
    pub pattern: FlowPattern,
    /// What happens to them.
    pub action: FlowAction,
    /// Which rule goes first where several match: 1 (last) to 7, in a table that has an order.
    pub priority: u8,
}

impl FlowRule {
    /// Returns a rule of the lowest priority.
    pub fn new(pattern: FlowPattern, action: FlowAction) -> FlowRule {
        FlowRule { pattern, action, priority: 1 }
    }
}

/// Which packets a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPattern {
    /// Packets of an EtherType that is not IP's, behind a VLAN tag or not.
    EtherType(u16),
    /// TCP segments that open a connection.
    TcpSyn,
    /// IP packets by their addresses, protocol, ports and VLAN.
    Tuple(FlowTuple),
}

/// What IP packets are told apart by. `None` is anything; a tuple without addresses is IPv4's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTuple {
    /// The sender.
    pub source: Option<IpAddr>,
    /// The receiver.
    pub destination: Option<IpAddr>,
    /// The protocol.
    pub protocol: Option<IpProtocol>,
    /// The sender's port; needs a protocol.
    pub source_port: Option<u16>,
    /// The receiver's port; needs a protocol.
    pub destination_port: Option<u16>,
    /// The VLAN tag's id, 0 to 4,095.
    pub vlan: Option<u16>,
}

/// Protocols over IP that have ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// What happens to a packet that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowAction {
    /// It goes to this receive queue.
    Queue(u16),
    /// It goes to this receive queue, with a number that [`Packet::mark`](crate::dma::pool::Packet::mark) returns.
    Mark {
        /// The receive queue.
        queue: u16,
        /// The number.
        mark: u16,
    },
    /// It is dropped by the device.
    Drop,
}

/// The name of a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);
