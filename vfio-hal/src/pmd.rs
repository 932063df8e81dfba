//! The contract of a polled-mode driver: what an application may ask of any NIC.
//!
//! - [`RxQueue`] and [`TxQueue`] are owned values, one lcore each (or several queues to one lcore): `&mut self`
//!   makes sharing a queue between two threads a compile error.
//! - [`Port`] is the control side: link, statistics, filters, MTU. It belongs to one owner too.
//! - [`Started`] is what starting a port gives; [`Port::stop`] takes all of it back.
//!
//! Applications that pick a driver at run time use these as trait objects: one dynamic call a burst. A driver's
//! own types have the same methods, and their type states (probed, configured, started) rule out what a state
//! cannot do.
//!
//! Below are [`ring`](crate::ring) and [`regs`](crate::regs); above are applications.

mod flow;

pub use flow::{FlowAction, FlowId, FlowPattern, FlowRule, FlowTuple, IpProtocol};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::device::DeviceError;
use crate::dma::DmaError;
use crate::dma::pool::{Burst, Cache, SharedBuf};
use crate::irq::IrqSink;
use crate::pci::ConfigError;
use crate::ring::{RingError, RxError, RxStats, TxError, TxStats};

/// A 48-bit Ethernet address, in the order of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Everybody.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);

    /// Returns whether it names a group (its first bit on the wire is 1).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Returns whether one station can have it: not a group, not all zero.
    pub const fn is_valid_unicast(self) -> bool {
        let [a, b, c, d, e, f] = self.0;
        !self.is_multicast() && (a | b | c | d | e | f) != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ethernet address: write six bytes in hex, like 02:00:00:00:00:01")]
pub struct MacAddrError;

impl core::str::FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<MacAddr, MacAddrError> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or(MacAddrError)?, 16).map_err(|_| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(MacAddr(bytes)) }
    }
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Packets can pass.
    pub up: bool,
    /// In Mbit/s, 0 while it is down.
    pub speed_mbps: u32,
    /// Both ways at once.
    pub full_duplex: bool,
    /// The speed was negotiated, not forced.
    pub autoneg: bool,
}

impl fmt::Display for LinkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.up {
            return f.write_str("down");
        }
        let duplex = if self.full_duplex { "full-duplex" } else { "half-duplex" };
        match self.speed_mbps {
            mbps if mbps >= 1000 && mbps.is_multiple_of(1000) => {
                write!(f, "up, {} Gbps {duplex}", mbps / 1000)
            }
            mbps => write!(f, "up, {mbps} Mbps {duplex}"),
        }
    }
}

/// Basic statistics since the last reset of them, under DPDK's names (`rte_eth_stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received and given to the host.
    pub ipackets: u64,
    /// Packets sent.
    pub opackets: u64,
    /// Bytes received, without the frame check sequence.
    pub ibytes: u64,
    /// Bytes sent, without the frame check sequence.
    pub obytes: u64,
    /// Packets the hardware dropped because no descriptor or packet buffer was free.
    pub imissed: u64,
    /// Packets received with an error.
    pub ierrors: u64,
    /// Packets that could not be sent.
    pub oerrors: u64,
    /// Polls that left packets on a ring because the pool was empty.
    pub rx_nombuf: u64,
}

/// What a port is and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The driver's name, as DPDK calls it: `net_ixgbe`.
    pub driver: &'static str,
    /// The device's name.
    pub device: String,
    /// The permanent or set MAC address.
    pub mac: MacAddr,
    /// The most receive queues.
    pub max_rx_queues: u16,
    /// The most transmit queues.
    pub max_tx_queues: u16,
    /// The most receive queues that RSS spreads over.
    pub max_rss_queues: u16,
    /// Entries of the RSS redirection table.
    pub reta_size: u16,
    /// Smallest and largest MTU in bytes.
    pub mtu_range: (u16, u16),
    /// What it was told.
    pub mtu: u16,
}

/// Flow control by pause frames (IEEE 802.3 annex 31B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowControl {
    /// None.
    #[default]
    Off,
    /// Obey received pause frames.
    Rx,
    /// Send pause frames when the packet buffer fills.
    Tx,
    /// Both.
    Full,
}

/// The receive side of one queue.
pub trait RxQueue: Send {
    /// Returns the queue's number.
    fn id(&self) -> u16;

    /// Takes received packets into `out`, at most as many as fit and 32 at a time; returns how many. `cache` gives the
    /// buffers that take their place.
    fn rx_burst(&mut self, cache: &mut Cache, out: &mut Burst) -> Result<usize, RxError>;

    /// Returns how many received descriptors wait, looking at most `limit` ahead.
    fn pending(&self, limit: u32) -> u32;

    /// Returns the counters.
    fn stats(&self) -> Arc<RxStats>;

    /// Stops the queue: its buffers return to the pool.
    fn stop(&mut self) -> Result<(), PortError>;

    /// Starts the queue again.
    fn start(&mut self) -> Result<(), PortError>;

    /// Takes VLAN tags out of packets received from now on, or leaves them in.
    fn set_vlan_strip(&mut self, on: bool) -> Result<(), PortError>;

    /// Arms the queue's interrupt once: the next packet fires it. Poll once more after arming, then wait.
    fn arm(&mut self) -> Result<(), PortError>;

    /// Disarms the queue's interrupt.
    fn disarm(&mut self) -> Result<(), PortError>;

    /// Returns the queue, to be downcast by the driver when it comes back.
    fn into_any(self: Box<Self>) -> Box<dyn core::any::Any + Send>;
}

/// The transmit side of one queue.
pub trait TxQueue: Send {
    /// Returns the queue's number.
    fn id(&self) -> u16;

    /// Sends packets from the front of `burst`; returns how many. What did not fit stays in the burst.
    fn tx_burst(&mut self, cache: &mut Cache, burst: &mut Burst) -> Result<usize, TxError>;

    /// Sends read-only clones, for multicast.
    fn tx_burst_shared(&mut self, cache: &mut Cache, burst: &mut Burst<SharedBuf>) -> Result<usize, TxError>;

    /// Returns how many descriptors are free, without looking at the device.
    fn free(&self) -> u32;

    /// Stops the queue after a short drain: its buffers return to their pools.
    fn stop(&mut self) -> Result<(), PortError>;

    /// Starts the queue again.
    fn start(&mut self) -> Result<(), PortError>;

    /// Frees what was sent into `cache`; returns how many descriptors.
    fn reap(&mut self, cache: &mut Cache) -> u32;

    /// Returns the counters.
    fn stats(&self) -> Arc<TxStats>;

    /// Returns the queue, to be downcast by the driver when it comes back.
    fn into_any(self: Box<Self>) -> Box<dyn core::any::Any + Send>;
}

/// A started port: its control side and all of its queues.
pub struct Started {
    /// The control side.
    pub port: Box<dyn Port>,
    /// Receive queues, by number.
    pub rx: Vec<Box<dyn RxQueue>>,
    /// Transmit queues, by number.
    pub tx: Vec<Box<dyn TxQueue>>,
}

/// The control side of a started port.
pub trait Port: Send {
    /// Returns what the port is.
    fn info(&self) -> PortInfo;

    /// Returns the state of the link.
    fn link(&mut self) -> Result<LinkStatus, PortError>;

    /// Waits for the link to come up, at most `limit`; returns its state then.
    fn wait_for_link(&mut self, limit: Duration) -> Result<LinkStatus, PortError>;

    /// Returns the basic statistics since they were reset.
    fn stats(&mut self) -> Result<PortStats, PortError>;

    /// Calls `each` with the name (as DPDK's xstats) and value of every extended statistic.
    fn xstats(&mut self, each: &mut dyn FnMut(&str, u64)) -> Result<(), PortError>;

    /// Starts all statistics from 0.
    fn reset_stats(&mut self) -> Result<(), PortError>;

    /// Receives every packet, or only those that the filters let pass.
    fn set_promiscuous(&mut self, on: bool) -> Result<(), PortError>;

    /// Receives every multicast packet, or only listed groups.
    fn set_all_multicast(&mut self, on: bool) -> Result<(), PortError>;

    /// Changes the port's own address.
    fn set_mac(&mut self, mac: MacAddr) -> Result<(), PortError>;

    /// Receives packets to a further unicast address.
    fn add_mac(&mut self, mac: MacAddr) -> Result<(), PortError>;

    /// Stops receiving packets to an address that was added.
    fn remove_mac(&mut self, mac: MacAddr) -> Result<(), PortError>;

    /// Replaces the list of multicast groups to receive.
    fn set_multicast(&mut self, groups: &[MacAddr]) -> Result<(), PortError>;

    /// Filters received packets by VLAN, or lets all pass.
    fn set_vlan_filter(&mut self, on: bool) -> Result<(), PortError>;

    /// Lets packets of VLAN `id` (0 to 4095) pass the VLAN filter, or stops that.
    fn set_vlan(&mut self, id: u16, on: bool) -> Result<(), PortError>;

    /// Changes the MTU in bytes: payload of an Ethernet frame, without header, VLAN tag and check sequence.
    fn set_mtu(&mut self, mtu: u16) -> Result<(), PortError>;

    /// Changes flow control.
    fn set_flow_control(&mut self, mode: FlowControl) -> Result<(), PortError>;

    /// Adds a flow rule; [`PortError::Unsupported`] if the device has no table that can do it.
    fn add_flow(&mut self, rule: &FlowRule) -> Result<FlowId, PortError> {
        let _ = rule;
        Err(PortError::Unsupported { what: "flow rules" })
    }

    /// Removes a flow rule.
    fn remove_flow(&mut self, id: FlowId) -> Result<(), PortError> {
        let _ = id;
        Err(PortError::UnknownFlow)
    }

    /// Delivers the interrupt of receive queue `queue` to `sink`, or nowhere.
    fn set_rx_interrupt(&mut self, queue: u16, sink: Option<Arc<dyn IrqSink>>) -> Result<(), PortError>;

    /// Delivers the link change event to `sink`, or nowhere.
    fn set_link_interrupt(&mut self, sink: Option<Arc<dyn IrqSink>>) -> Result<(), PortError>;

    /// Stops the port and takes all queues back. Every buffer on them returns to its pool, for the device has
    /// acknowledged that it stopped; an error tells that it has not, and then they are leaked and counted.
    fn stop(self: Box<Self>, rx: Vec<Box<dyn RxQueue>>, tx: Vec<Box<dyn TxQueue>>) -> Result<(), PortError>;
}

/// Why a port could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Configuration space is not as it must be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Memory failed.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// A ring could not be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The driver is not for this device.
    #[error("the driver is not for device {vendor:04x}:{device:04x}: take the one that lists these ids")]
    WrongDevice {
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
    },
    /// The device is not in the address space that its memory comes from.
    #[error("the device is not in this IOVA space: attach it first")]
    NotInSpace,
    /// A number out of its range.
    #[error("{what} is {value}, it must be from {min} to {max}")]
    OutOfRange {
        /// What.
        what: &'static str,
        /// The value asked for.
        value: u64,
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A setting that cannot be.
    #[error("{what}")]
    Invalid {
        /// What is wrong and what would be right.
        what: &'static str,
    },
    /// A table of the device is full.
    #[error("the device has only {capacity} {what}, and all are taken: remove one first")]
    TableFull {
        /// Which table.
        what: &'static str,
        /// Its size.
        capacity: u32,
    },
    /// The name of a flow rule that is not there.
    #[error("there is no such flow rule: it was removed, or it is another port's")]
    UnknownFlow,
    /// The device or this driver cannot do that.
    #[error("not supported by this device: {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The EEPROM's content is not right.
    #[error(
        "the EEPROM's checksum is {found:#06x}, it must be 0xbaba: the device's NVM is damaged, restore it with the vendor's tool"
    )]
    EepromChecksum {
        /// The sum found.
        found: u16,
    },
    /// The MAC address in the EEPROM cannot be one.
    #[error(
        "the address in the EEPROM, {mac}, is not a station's: the NVM was never written, or is damaged; write it with the vendor's tool"
    )]
    BadMac {
        /// What it says.
        mac: MacAddr,
    },
    /// The module in the SFP+ cage is not one the device can use.
    #[error("the SFP+ module is not usable: {reason}")]
    Module {
        /// Why not.
        reason: &'static str,
    },
    /// `stop` or `restart` was not given all queues, or queues of another port.
    #[error("{missing} queues of this port were not given back: stop takes all of them")]
    QueuesMissing {
        /// How many.
        missing: u32,
    },
}
