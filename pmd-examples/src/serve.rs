//! `pmd serve`: device models on vfio-user sockets, for QEMU or for another process' drivers.
//!
//! Each `--socket` with its `--link` is a device of its own, on a thread of its own. A client that leaves can come
//! back; Ctrl-C ends all of them and prints what crossed the links.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pmd_ixgbe_model::{Config, Model82599, Module, Part};
use pmd_links::{PatchPanel, Spec, Traffic, Watch};
use serde::Serialize;
use vfio_hal::pmd::MacAddr;
use vfio_user_kit::server::{IdlePolicy, LostClient, Server, ServerError, ServerOptions, ServerStats};

use crate::fault::Fault;
use crate::signal::Stop;
use crate::{note, out};

mod trace;

use trace::Watched;

/// Serve device models on vfio-user sockets.
#[derive(Args)]
#[command(after_help = format!("Links:\n{}", Spec::HELP))]
pub(crate) struct ServeArgs {
    /// The device to play
    #[arg(value_enum, value_name = "MODEL")]
    pub(crate) model: Device,
    /// The socket to make. Repeat for more devices, each with a --link
    #[arg(long, value_name = "PATH", required = true)]
    pub(crate) socket: Vec<PathBuf>,
    /// What the device is plugged into, such as tap,iface=t0
    #[arg(long, value_name = "KIND,...", required = true)]
    pub(crate) link: Vec<String>,
    /// The first device's MAC address; the next ones count up
    #[arg(long, value_name = "MAC", default_value = "02:82:59:90:01:00")]
    pub(crate) mac: MacAddr,
    /// The variant of the device
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    pub(crate) part: PartName,
    /// What is in the SFP+ cage
    #[arg(long, value_enum, default_value_t, value_name = "MODULE")]
    pub(crate) module: ModuleName,
    /// What happens to the device when its client is lost
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) lost_client: Lost,
    /// Print each register access, decoded, to standard error
    #[arg(long)]
    pub(crate) trace_mmio: bool,
    /// End after the first client has left
    #[arg(long)]
    pub(crate) once: bool,
    /// Time in seconds between two lines of live rates; 0 shows none
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    pub(crate) stats_period: u64,
    /// Print one JSON object with all totals to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Models that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// Intel 82599.
    Ixgbe,
}

/// Variants of the 82599.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    /// With an SFP+ cage (10FB).
    #[default]
    Sfp,
    /// With a KX4 backplane (10F7).
    Kx4,
}

/// Modules for the cage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModuleName {
    /// 10GBASE-SR.
    #[default]
    Sr,
    /// 10GBASE-LR.
    Lr,
    /// A passive copper cable.
    Dac,
    /// 10GBASE-SR of a vendor that drivers may refuse.
    Foreign,
    /// None.
    Absent,
}

/// What a lost client does to its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lost {
    /// It keeps its state for the next client.
    #[default]
    Keep,
    /// It is reset.
    Reset,
}

/// What one device did.
#[derive(Serialize)]
struct Totals {
    socket: String,
    clients: u64,
    commands: u64,
    errors: u64,
    refused_accesses: u64,
    rx_packets: u64,
    rx_bytes: u64,
    tx_packets: u64,
    tx_bytes: u64,
}

/// A device at work.
struct Served {
    socket: PathBuf,
    traffic: Watch<Traffic>,
    thread: JoinHandle<Result<ServerStats, ServerError>>,
}

/// How often the main thread looks whether to end.
const TICK: Duration = Duration::from_millis(20);

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Fault> {
    let Device::Ixgbe = args.model;
    if args.socket.len() != args.link.len() {
        let (sockets, links) = (args.socket.len(), args.link.len());
        return Err(Fault::Usage(format!(
            "{sockets} --socket and {links} --link: each device takes one of both"
        )));
    }
    let stop = Stop::on_signal()?;
    let end = Arc::new(AtomicBool::new(false));
    let mut panel = PatchPanel::new();
    // All of them are made before the first one works, so that a mistake ends the command at once.
    let mut made = Vec::new();
    for (number, (socket, link)) in args.socket.iter().zip(&args.link).enumerate() {
        let opened = panel.open(&link.parse::<Spec>()?)?;
        let model = Model82599::new(config(args, number as u8), opened.link);
        let model = Watched::new(model, args.trace_mmio);
        let lost_client = match args.lost_client {
            Lost::Keep => LostClient::Keep,
            Lost::Reset => LostClient::Reset,
        };
        let options = ServerOptions { lost_client, ..ServerOptions::default() };
        let server = Server::bind(socket, model, options).map_err(|error| of_socket(error, socket))?;
        note!("serving 82599 {} on {}", mac(args, number as u8), socket.display());
        made.push((socket.clone(), opened.traffic, server));
    }
    panel.finish()?;
    let mut all = Vec::new();
    for (socket, traffic, server) in made {
        let (end, once) = (end.clone(), args.once);
        let thread =
            thread::Builder::new().name("serve".into()).spawn(move || work(server, &end, once)).map_err(
                |error| Fault::Run(format!("cannot start a thread for {}: {error}", socket.display())),
            )?;
        all.push(Served { socket, traffic, thread });
    }
    watch(args, &all, &stop);
    end.store(true, Ordering::Release);
    finish(args, all)
}

fn work(mut server: Server<Watched>, end: &AtomicBool, once: bool) -> Result<ServerStats, ServerError> {
    if once {
        while !end.load(Ordering::Acquire) && !server.attach_wait(TICK)? {}
        while !end.load(Ordering::Acquire) && server.is_attached() {
            server.serve_round(IdlePolicy::default())?;
        }
    } else {
        server.serve(end, IdlePolicy::default())?;
    }
    Ok(server.stats())
}

/// Shows rates until it is time to end.
fn watch(args: &ServeArgs, all: &[Served], stop: &Stop) {
    let period = Duration::from_secs(args.stats_period);
    let mut before: Vec<Traffic> = all.iter().map(|one| one.traffic.get()).collect();
    let mut shown = Instant::now();
    while !stop.is_set() && !all.iter().all(|one| one.thread.is_finished()) {
        thread::sleep(TICK);
        let over = shown.elapsed();
        if period.is_zero() || over < period {
            continue;
        }
        shown = Instant::now();
        for (one, before) in all.iter().zip(&mut before) {
            let now = one.traffic.get();
            let per_second = |now: u64, before: u64| (now - before) as f64 / over.as_secs_f64();
            let (rx, tx) = (now.rx_frames - before.rx_frames, now.tx_frames - before.tx_frames);
            if rx + tx > 0 {
                note!(
                    "{}: from the link {:.0} packets/s {:.1} Mbit/s, to the link {:.0} packets/s {:.1} Mbit/s",
                    one.socket.display(),
                    per_second(now.rx_frames, before.rx_frames),
                    per_second(now.rx_bytes, before.rx_bytes) * 8e-6,
                    per_second(now.tx_frames, before.tx_frames),
                    per_second(now.tx_bytes, before.tx_bytes) * 8e-6,
                );
            }
            *before = now;
        }
    }
}

fn finish(args: &ServeArgs, all: Vec<Served>) -> Result<(), Fault> {
    let mut totals = Vec::new();
    for one in all {
        let joined = one.thread.join();
        let stats = joined
            .map_err(|_| Fault::Run("a device model panicked: this is a bug".into()))?
            .map_err(|error| of_socket(error, &one.socket))?;
        let traffic = one.traffic.get();
        totals.push(Totals {
            socket: one.socket.display().to_string(),
            clients: stats.clients,
            commands: stats.commands,
            errors: stats.errors,
            refused_accesses: stats.refused_accesses,
            rx_packets: traffic.rx_frames,
            rx_bytes: traffic.rx_bytes,
            tx_packets: traffic.tx_frames,
            tx_bytes: traffic.tx_bytes,
        });
    }
    if args.json {
        let text = serde_json::to_string(&totals).map_err(|error| Fault::Run(error.to_string()))?;
        out!("{text}");
        return Ok(());
    }
    for one in &totals {
        out!(
            "{}: {} clients, {} commands ({} refused), {} register accesses refused; from the link {} packets, {} bytes; to the link {} packets, {} bytes",
            one.socket,
            one.clients,
            one.commands + one.errors,
            one.errors,
            one.refused_accesses,
            one.rx_packets,
            one.rx_bytes,
            one.tx_packets,
            one.tx_bytes,
        );
    }
    Ok(())
}

fn mac(args: &ServeArgs, number: u8) -> MacAddr {
    let mut bytes = args.mac.0;
    bytes[5] = bytes[5].wrapping_add(number);
    MacAddr(bytes)
}

fn config(args: &ServeArgs, number: u8) -> Config {
    let part = match args.part {
        PartName::Sfp => Part::Sfp,
        PartName::Kx4 => Part::BackplaneKx4,
    };
    let module = match args.module {
        ModuleName::Sr => Module::Sr,
        ModuleName::Lr => Module::Lr,
        ModuleName::Dac => Module::DirectAttach,
        ModuleName::Foreign => Module::ForeignSr,
        ModuleName::Absent => Module::Absent,
    };
    Config { part, module, ..Config::new(mac(args, number).0) }
}

fn of_socket(error: ServerError, socket: &std::path::Path) -> Fault {
    Fault::Run(format!("--socket {}: {error}", socket.display()))
}
