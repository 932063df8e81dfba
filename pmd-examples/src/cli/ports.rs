//! Options of ports.

use clap::Args;

use super::parse::ring_size;

/// How ports are set up.
#[derive(Args)]
#[command(next_help_heading = "Ports")]
pub(crate) struct PortArgs {
    /// Receive queues of each port, 1 to 64; RSS spreads packets over at most 16
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) rxq: u16,
    /// Transmit queues of each port, 1 to 64
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) txq: u16,
    /// Descriptors of each receive ring: a power of two, 64 to 4096
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = ring_size)]
    pub(crate) rxd: u32,
    /// Descriptors of each transmit ring: a power of two, 64 to 4096
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = ring_size)]
    pub(crate) txd: u32,
    /// Packets a burst, 1 to 512
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) burst: u16,
    /// Longest frame in bytes, with its check sequence, without VLAN tags
    #[arg(long, default_value_t = 1518, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(86..=9728))]
    pub(crate) max_pkt_len: u16,
    /// Buffers in the pool [default: what rings, caches and bursts need]
    #[arg(long, value_name = "N")]
    pub(crate) total_num_mbufs: Option<u32>,
    /// Data room of a buffer in bytes, 1024 to 16384
    #[arg(long, default_value_t = 2048, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1024..=16384))]
    pub(crate) mbuf_size: u32,
    /// Receive only packets to the port's own addresses
    #[arg(long)]
    pub(crate) no_promiscuous: bool,
    /// Do not spread packets over several receive queues by hash
    #[arg(long)]
    pub(crate) disable_rss: bool,
    /// Take VLAN tags out of received packets
    #[arg(long)]
    pub(crate) enable_hw_vlan_strip: bool,
    /// Drop packets for a full receive queue instead of holding back the others
    #[arg(long)]
    pub(crate) enable_drop_en: bool,
}

impl PortArgs {
    /// The payload of the longest frame: without Ethernet header and check sequence.
    pub(crate) fn mtu(&self) -> u16 {
        self.max_pkt_len - 18
    }
}
