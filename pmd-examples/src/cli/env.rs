//! Options that DPDK's environment layer has.

use clap::{Args, ValueEnum};

use crate::lcore::CoreList;

/// Options that DPDK's environment layer has.
#[derive(Args)]
#[command(next_help_heading = "Environment")]
pub(crate) struct EnvArgs {
    /// Cores to run lcores on, one lcore each: 1-2 or 0,3 [default: one lcore, on the last core]
    #[arg(short = 'l', long = "lcores", value_name = "CORES")]
    pub(crate) lcores: Option<CoreList>,
    /// Virtual device: NAME,link=KIND,... ; net_tap0,iface=NAME ; net_pcap0,rx_pcap=FILE,tx_pcap=FILE.
    /// Repeat for more ports; see below for devices and links [default: ports with traffic generators]
    #[arg(long = "vdev", value_name = "DEVICE")]
    pub(crate) vdevs: Vec<String>,
    /// Use 4 KiB pages even if there are hugepages
    #[arg(long)]
    pub(crate) no_huge: bool,
    /// Where device models work: on the lcores between two bursts, or on threads of their own
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    pub(crate) models: Models,
    /// Print each register access, decoded, to standard error
    #[arg(long)]
    pub(crate) trace_mmio: bool,
}

/// Where device models work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Models {
    /// On the lcores, between two bursts.
    #[default]
    Inline,
    /// On a thread each.
    Threads,
}

impl EnvArgs {
    /// Returns whether the command line says which ports there are.
    pub(crate) fn names_ports(&self) -> bool {
        !self.vdevs.is_empty()
    }
}
