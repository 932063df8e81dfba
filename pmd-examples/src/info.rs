//! `pmd info`: what the machine's devices are, or what the ports of a command line are.

use clap::Args;
use serde::Serialize;
use vfio_hal::pmd::PortInfo;

use crate::cli::{EnvArgs, PortArgs, devices};
use crate::fault::Fault;
use crate::port::{self, Holders, Sources};
use crate::report::{Stats, xstats};
use crate::signal::Stop;
use crate::{out, output};

/// Show PCI devices with driver, IOMMU group, NUMA node and link; with --vdev or -a, the ports of these devices.
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
    /// Without ports: every PCI device, also those that are no network devices
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) root: crate::bind::Root,
}

#[derive(Serialize)]
struct Info {
    port: usize,
    name: String,
    driver: &'static str,
    device: String,
    mac: String,
    link: String,
    link_up: bool,
    speed_mbps: u32,
    mtu: u16,
    mtu_range: (u16, u16),
    max_rx_queues: u16,
    max_tx_queues: u16,
    max_rss_queues: u16,
    reta_size: u16,
    stats: Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    xstats: Option<std::collections::BTreeMap<String, u64>>,
}

/// Runs the command.
pub(crate) fn run(args: &InfoArgs) -> Result<(), Fault> {
    if !args.env.names_ports() {
        return crate::bind::list(&args.root.system(), args.all, args.json);
    }
    let stop = Stop::on_signal()?;
    let sources = Sources::read(&args.env, &[])?;
    let mut ports = port::open(&args.env, &args.ports, sources, Holders::lcores(1), &stop)?;
    let mut infos = Vec::new();
    for (number, one) in ports.open.iter_mut().enumerate() {
        let PortInfo {
            driver,
            device,
            mac,
            max_rx_queues,
            max_tx_queues,
            max_rss_queues,
            reta_size,
            mtu_range,
            mtu,
            ..
        } = one.port.info();
        let link = one.port.link()?;
        infos.push(Info {
            port: number,
            name: one.name.clone(),
            driver,
            device,
            mac: mac.to_string(),
            link: link.to_string(),
            link_up: link.up,
            speed_mbps: link.speed_mbps,
            mtu,
            mtu_range,
            max_rx_queues,
            max_tx_queues,
            max_rss_queues,
            reta_size,
            stats: one.port.stats()?.into(),
            xstats: if args.xstats { Some(xstats(&mut *one.port)?) } else { None },
        });
    }
    ports.stop()?;
    if args.json {
        return output::json(&infos);
    }
    for info in &infos {
        out!("port {}: {}", info.port, info.name);
        out!("  driver      {}", info.driver);
        out!("  device      {}", info.device);
        out!("  MAC         {}", info.mac);
        out!("  link        {}", info.link);
        out!("  MTU         {} bytes ({} to {})", info.mtu, info.mtu_range.0, info.mtu_range.1);
        out!(
            "  queues      up to {} receive, {} transmit; RSS over up to {} by a table of {}",
            info.max_rx_queues,
            info.max_tx_queues,
            info.max_rss_queues,
            info.reta_size
        );
        let Stats { ipackets, opackets, imissed, ierrors, .. } = info.stats;
        out!("  packets     {ipackets} received, {opackets} sent, {imissed} missed, {ierrors} with errors");
        for (name, value) in info.xstats.iter().flatten() {
            out!("  {name}: {value}");
        }
    }
    Ok(())
}
