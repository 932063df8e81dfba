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
    /// Frame length for mode txonly in bytes, without check sequence, 60 to 9710
    #[arg(long, default_value_t = 60, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(60..=9710))]
    pub(crate) txpkts: u16,
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
    /// Count and drop them.
    Rxonly,
    /// Receive nothing, send generated packets.
    Txonly,
    /// Answer ARP, ping and IPv6 neighbour solicitation.
    Icmpecho,
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
