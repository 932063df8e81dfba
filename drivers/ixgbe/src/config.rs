//! What a port is told before it starts.

use vfio_hal::dma::memory::MemorySource;
use vfio_hal::dma::pool::Pool;
use vfio_hal::pmd::{FlowControl, PortError};

use crate::flow::FlowMemory;
use crate::hw::Model;
use crate::link::LinkConfig;
use crate::rss::{RssConfig, max_queues};

/// How a port is set up. `Config::default()` is what an expert would choose for one queue each way.
#[derive(Clone, Debug)]
pub struct Config {
    /// The number stored into every received packet.
    pub port: u16,
    /// Receive queues, 1 to 64.
    pub rx_queues: u16,
    /// Transmit queues, 1 to 64.
    pub tx_queues: u16,
    /// Descriptors of each receive ring: a power of two, 64 to 4,096.
    pub rx_ring: u32,
    /// Descriptors of each transmit ring: a power of two, 64 to 4,096.
    pub tx_ring: u32,
    /// Payload of the longest frame in bytes, 68 to 15,854.
    pub mtu: u16,
    /// How packets are spread over the receive queues; `None` sends all to the first.
    pub rss: Option<RssConfig>,
    /// Take VLAN tags out of received packets.
    pub vlan_strip: bool,
    /// Let the device put TCP segments of a flow together (large receive offload). Not for forwarding: what comes out is
    /// longer than a frame may be, unless it is sent with TCP segmentation.
    pub lro: bool,
    /// Drop packets for a queue without free descriptors, instead of holding back every queue behind it. `None`: with more
    /// than one queue and without transmit flow control.
    pub drop_enable: Option<bool>,
    /// Receive every packet, whoever it is for.
    pub promiscuous: bool,
    /// Gives the flow director a part of the receive packet buffer: flow rules that mark, drop, or look at the VLAN need
    /// it. `None` leaves all of it to packets.
    pub flow_director: Option<FlowMemory>,
    /// Pause frames.
    pub flow_control: FlowControl,
    /// Speeds and negotiation.
    pub link: LinkConfig,
    /// Where the rings live. Over a vfio-user socket this must be memory of a file, or each descriptor is a message.
    pub memory: MemorySource,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            port: 0,
            rx_queues: 1,
            tx_queues: 1,
            rx_ring: 512,
            tx_ring: 512,
            mtu: 1500,
            rss: None,
            vlan_strip: false,
            lro: false,
            drop_enable: None,
            promiscuous: false,
            flow_director: None,
            flow_control: FlowControl::Off,
            link: LinkConfig::default(),
            memory: MemorySource::default(),
        }
    }
}

/// The most queues each way that one function has without virtualization (82599 datasheet 7.1.2.1, table 7-1).
pub(crate) const MAX_QUEUES: u16 = 64;

impl Config {
    /// Checks everything that can be checked without the device.
    pub(crate) fn validate(&self, model: &Model) -> Result<(), PortError> {
        let range = |what, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(PortError::OutOfRange { what, value, min, max })
            }
        };
        range("the number of receive queues", self.rx_queues.into(), 1, MAX_QUEUES.into())?;
        range("the number of transmit queues", self.tx_queues.into(), 1, MAX_QUEUES.into())?;
        for (what, size) in
            [("the receive ring's size", self.rx_ring), ("the transmit ring's size", self.tx_ring)]
        {
            range(what, size.into(), 64, 4096)?;
            if !size.is_power_of_two() {
                return Err(PortError::Invalid { what: "ring sizes are powers of two from 64 to 4096" });
            }
        }
        let (min, max) = crate::mtu::RANGE;
        range("the MTU", self.mtu.into(), min.into(), max.into())?;
        match &self.rss {
            Some(_) => {
                range("the number of RSS queues", self.rx_queues.into(), 1, max_queues(model.chip).into())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn drop_enabled(&self) -> bool {
        let holds_back = matches!(self.flow_control, FlowControl::Tx | FlowControl::Full);
        self.drop_enable.unwrap_or(self.rx_queues > 1 && !holds_back)
    }

    /// Returns the buffers that a pool needs for this port: rings, and for each queue pair's lcore a cache and two bursts.
    pub fn buffers(&self) -> u32 {
        const PER_LCORE: u32 =
            (vfio_hal::dma::pool::CACHE_CAPACITY + 2 * vfio_hal::dma::pool::MAGAZINE) as u32;
        let rings = u32::from(self.rx_queues) * self.rx_ring + u32::from(self.tx_queues) * self.tx_ring;
        let held = if self.lro { u32::from(self.rx_queues) * crate::lro::HELD } else { 0 };
        rings + u32::from(self.rx_queues.max(self.tx_queues)) * PER_LCORE + held
    }
}

/// The bytes of a buffer that the device is told to fill: whole KiB, at most 16 (SRRCTL.BSIZEPACKET, 8.2.3.8.7).
pub(crate) fn buffer_kib(pool: &Pool) -> Result<u32, PortError> {
    match pool.data_room() / 1024 {
        0 => Err(PortError::Invalid { what: "the pool's buffers need a data room of at least 1024 bytes" }),
        kib => Ok(kib.min(16)),
    }
}
