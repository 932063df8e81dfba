//! The command line, with DPDK's and testpmd's names where a user's fingers know them.
//!
//! What several commands share is here: [`Common`] for those that move packets, of [`EnvArgs`], [`PortArgs`],
//! [`RunArgs`] and the options of telemetry. What one command has alone is in its module.

mod env;
pub(crate) mod parse;
mod ports;
mod run;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub(crate) use env::{EnvArgs, IovaMode, Models};
pub(crate) use ports::PortArgs;
pub(crate) use run::RunArgs;

/// Polled-mode drivers, without hardware if need be.
#[derive(Parser)]
#[command(name = "pmd", version, max_term_width = 100, after_help = "Try: pmd fwd")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Forward packets between ports (DPDK's testpmd)
    Fwd(crate::fwd::FwdArgs),
    /// Send generated packets and count what comes back
    Gen(crate::generate::GenArgs),
    /// Write received packets to a capture file
    Dump(crate::dump::DumpArgs),
    /// Show PCI devices, or ports: device, driver, address, link, queues, statistics
    Info(crate::info::InfoArgs),
    /// Give PCI devices to user space, or to another driver (dpdk-devbind, opaevfio)
    Bind(crate::bind::BindArgs),
    /// Give PCI devices back to the driver that had them
    Unbind(crate::bind::UnbindArgs),
    /// Show which drivers hold PCI devices
    Status(crate::bind::StatusArgs),
    /// Reserve and mount hugepages (dpdk-hugepages)
    Hugepages(crate::hugepages::HugepagesArgs),
    /// Check what this machine offers: IOMMU, hugepages, memlock, isolated CPUs, governor
    Doctor(crate::doctor::DoctorArgs),
    /// Serve device models on vfio-user sockets, for QEMU or for other processes
    Serve(crate::serve::ServeArgs),
    /// Use FPGA cards: list, walk, run loopback and host exercisers, reconfigure (opae.io, fpgainfo, host_exerciser)
    Afu(crate::afu::AfuArgs),
}

/// Options of every command that moves packets.
#[derive(Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) monitor: crate::monitor::MonitorArgs,
}

/// Leaves out a bare `--`, which DPDK's users put between EAL's options and the application's.
pub(crate) fn joined(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    crate::bind::rewrite(args.filter(|arg| arg != "--").collect())
}

/// What `--vdev` understands.
pub(crate) fn devices() -> String {
    format!("Devices: {}\n\nLinks: {}", crate::port::HELP, pmd_links::Spec::HELP)
}
