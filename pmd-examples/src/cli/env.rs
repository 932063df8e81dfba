//! Options that DPDK's environment layer has.

use clap::{Args, ValueEnum};
use vfio_hal::backend::vfio::{Api, Token};

use crate::lcore::CoreList;

/// Options that DPDK's environment layer has.
#[derive(Args)]
#[command(next_help_heading = "Environment")]
pub(crate) struct EnvArgs {
    /// Cores to run lcores on, one lcore each: 1-2 or 0,3 [default: one lcore, on the last core]
    #[arg(short = 'l', long = "lcores", value_name = "CORES")]
    pub(crate) lcores: Option<CoreList>,
    /// Device of this machine, bound to vfio-pci (`pmd bind`): PCI address, with or without domain. Repeat for more ports;
    /// no device is taken without it
    #[arg(short = 'a', long = "allow", value_name = "BDF")]
    pub(crate) allow: Vec<String>,
    /// Virtual device: NAME,link=KIND,... ; net_tap0,iface=NAME ; net_pcap0,rx_pcap=FILE,tx_pcap=FILE.
    /// Repeat for more ports; see below for devices and links [default: ports with traffic generators]
    #[arg(long = "vdev", value_name = "DEVICE")]
    pub(crate) vdevs: Vec<String>,
    /// Use 4 KiB pages even if there are hugepages
    #[arg(long)]
    pub(crate) no_huge: bool,
    /// Interface of the kernel to open devices by: auto, iommufd, type1, or noiommu, where they reach all memory
    #[arg(long, default_value_t, value_name = "API")]
    pub(crate) vfio_api: Api,
    /// The secret that a physical function shares with its virtual ones, a UUID
    #[arg(long, value_name = "UUID")]
    pub(crate) vfio_vf_token: Option<Token>,
    /// Addresses that devices see: those of this process, or physical ones [default: chosen by the kit]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) iova_mode: Option<IovaMode>,
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

/// Addresses that devices see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IovaMode {
    /// Physical ones: without an IOMMU.
    Pa,
    /// Those of this process.
    Va,
}

impl EnvArgs {
    /// Returns whether the command line says which ports there are.
    pub(crate) fn names_ports(&self) -> bool {
        !self.vdevs.is_empty() || !self.allow.is_empty()
    }
}
