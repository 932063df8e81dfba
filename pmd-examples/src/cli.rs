//! The command line, with DPDK's and testpmd's names where a user's fingers know them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vfio_hal::pmd::MacAddr;

use crate::lcore::CoreList;

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
    Fwd(FwdArgs),
    /// Send generated packets and count what comes back
    Gen(GenArgs),
    /// Write received packets to a capture file
    Dump(DumpArgs),
    /// Show ports: device, driver, address, link, queues, statistics
    Info(InfoArgs),
    /// Check what this machine offers: IOMMU, hugepages, memlock, isolated CPUs, governor
    Doctor(DoctorArgs),
    /// Serve device models on vfio-user sockets, for QEMU or for other processes
    Serve(crate::serve::ServeArgs),
}

/// Leaves out a bare `--`, which DPDK's users put between EAL's options and the application's.
pub(crate) fn joined(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    args.filter(|arg| arg != "--").collect()
}

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

/// What is shown, and when to end.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct RunArgs {
    /// End after this time, such as 5, 1.5s or 500ms; 0 runs until Ctrl-C
    /// [default: 5 s if all traffic is generated, else until Ctrl-C or until all captures are played]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Time between two lines of live rates; 0 shows none
    #[arg(long, default_value = "1", value_name = "TIME", value_parser = duration)]
    pub(crate) stats_period: Duration,
    /// Print one JSON object with all totals to standard output, and rates to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Show extended statistics at the end
    #[arg(long)]
    pub(crate) xstats: bool,
}

/// Forward packets between ports: 0 to 1 and 1 to 0, 2 to 3 and 3 to 2, and so on; a port without a peer sends to itself.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct FwdArgs {
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
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

/// Send generated packets and count what comes back.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct GenArgs {
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// What to send: size=64..9018|imix,flows=N,rate=FRAMES/S,count=FRAMES,vlan=ID,dst=MAC,src=MAC
    #[arg(long, default_value = "size=64", value_name = "SPEC")]
    pub(crate) traffic: String,
}

/// Write received packets to a capture file.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The file to write
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub(crate) write: PathBuf,
    /// End after this many packets
    #[arg(short = 'c', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// Show ports.
#[derive(Args)]
#[command(after_long_help = devices())]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show extended statistics too
    #[arg(long)]
    pub(crate) xstats: bool,
}

/// Check what this machine offers.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `--vdev` understands.
fn devices() -> String {
    format!("Devices: {}\n\nLinks: {}", crate::port::HELP, pmd_links::Spec::HELP)
}

fn ring_size(text: &str) -> Result<u32, String> {
    let size = text.parse().ok().filter(|size: &u32| size.is_power_of_two() && (64..=4096).contains(size));
    size.ok_or_else(|| "use a power of two from 64 to 4096".into())
}

/// Reads a time: seconds without a unit, or with s, ms, us, m, h.
fn duration(text: &str) -> Result<Duration, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let seconds = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("'{unit}' is not a unit of time: use us, ms, s, m or h")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("'{text}' is not a time such as 5, 1.5s or 500ms"))?;
    let longest = Duration::from_secs(366 * 86_400);
    let time = Duration::try_from_secs_f64(number * seconds).ok().filter(|time| *time <= longest);
    time.ok_or_else(|| format!("'{text}' is longer than a year: use 0 for no end"))
}

fn eth_peer(text: &str) -> Result<(usize, MacAddr), String> {
    let (port, mac) = text.split_once(',').ok_or("write PORT,MAC such as 0,02:00:00:00:00:01")?;
    let port = port.parse().map_err(|_| format!("'{port}' is not a port number"))?;
    Ok((port, mac.parse().map_err(|error| format!("'{mac}' is {error}"))?))
}
