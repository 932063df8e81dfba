//! Options of `pmd fwd`.

use clap::{Args, ValueEnum};
use vfio_hal::pmd::MacAddr;

use crate::cli::parse::eth_peer;
use crate::cli::{Common, devices};

/// Forward packets between ports: 0 to 1 and 1 to 0, 2 to 3 and 3 to 2, and so on; a port without a peer sends to itself.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct FwdArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do with packets
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub(crate) forward_mode: Mode,
    /// What lcores do while no packets come
    #[arg(long, value_enum, default_value_t, value_name = "POLICY")]
    pub(crate) idle: Idle,
    /// Destination MAC address for mode mac: PORT,ADDRESS [default: 02:00:00:00:00:PORT]
    #[arg(long, value_name = "PORT,MAC", value_parser = eth_peer)]
    pub(crate) eth_peer: Vec<(usize, MacAddr)>,
    /// Frame length for modes txonly and flowgen in bytes, without check sequence, 60 to 9710
    #[arg(long, default_value_t = 60, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(60..=9710))]
    pub(crate) txpkts: u16,
    /// Flows of mode flowgen: destination addresses from 198.19.0.0 up
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) flowgen_flows: u32,
    /// Packets in a row of one flow in mode flowgen
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) flowgen_clones: u32,
    /// Who makes checksums in mode csum
    #[arg(long, value_enum, default_value_t, value_name = "WHO")]
    pub(crate) csum: Offload,
    #[command(flatten)]
    pub(crate) noisy: NoisyArgs,
}

/// Options of mode noisy.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Mode noisy")]
pub(crate) struct NoisyArgs {
    /// Packets that a queue holds back; 0 holds none
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(..=65_536))]
    pub(crate) noisy_tx_sw_buffer_size: u32,
    /// After how many milliseconds the queue is sent, full or not
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) noisy_tx_sw_buffer_flushtime: u32,
    /// Memory of each receive queue that is looked up in, in MiB
    #[arg(long, default_value_t = 0, value_name = "MIB", value_parser = clap::value_parser!(u32).range(..=4096))]
    pub(crate) noisy_lkup_memory: u32,
    /// Reads for each packet
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) noisy_lkup_num_reads: u32,
    /// Writes for each packet
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) noisy_lkup_num_writes: u32,
    /// Reads with a write to the same place for each packet
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) noisy_lkup_num_reads_writes: u32,
}

/// Who makes checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Offload {
    /// The lcore.
    #[default]
    Sw,
    /// The NIC.
    Hw,
}

/// What to do with received packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Send them on as they are.
    #[default]
    Io,
    /// Set source and destination MAC address.
    Mac,
    /// Swap source and destination MAC address.
    Macswap,
    /// Drop what comes, send generated packets of many flows.
    Flowgen,
    /// Count and drop them.
    Rxonly,
    /// Receive nothing, send generated packets.
    Txonly,
    /// Set MAC addresses, make checksums anew.
    Csum,
    /// Answer ARP, ping and IPv6 neighbour solicitation.
    Icmpecho,
    /// Swap MAC addresses, IP addresses and ports.
    #[value(name = "5tswap")]
    FiveTupleSwap,
    /// Hold them back, and look up each of them in memory.
    Noisy,
}

/// What lcores do while no packets come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Idle {
    /// Ask again at once: the shortest delay, and a whole core.
    Spin,
    /// Let the processor pause first.
    Pause,
    /// Let other threads run, and nap for 50 us at a time when nothing comes for longer.
    #[default]
    Yield,
    /// Sleep until a queue's interrupt; needs --models threads.
    Interrupt,
}
