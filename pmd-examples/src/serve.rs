//! `pmd serve`: device models on vfio-user sockets, for QEMU or for another process' drivers.
//!
//! Each `--socket` is a device of its own, on a thread of its own. A client that leaves can come back; Ctrl-C ends all of them
//! and prints what crossed the links. In this order: everything is opened ([`device`]), the threads are started and wait, the
//! process is confined ([`sandbox`]), the threads serve.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pmd_afu_model::Control;
use pmd_links::{PatchPanel, Spec, Traffic, Watch};
use serde::Serialize;
use vfio_user_kit::server::{IdlePolicy, Server, ServerError, ServerOptions, ServerStats};

use crate::fault::Fault;
use crate::signal::Stop;
use crate::{note, out};

mod args;
mod control;
mod device;
mod rates;
mod sandbox;
mod watched;

use args::Doorbells;
pub(crate) use args::ServeArgs;
use rates::Rates;
use sandbox::{confine_calls, confine_files};
use watched::Watched;

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
    /// What the model counted of itself.
    model: std::collections::BTreeMap<&'static str, u64>,
}

/// A device that is open.
struct Opened {
    socket: PathBuf,
    traffic: Option<Watch<Traffic>>,
    server: Server<Watched>,
}

/// A device at work.
struct Served {
    socket: PathBuf,
    traffic: Option<Watch<Traffic>>,
    thread: JoinHandle<Result<Ended, Fault>>,
}

/// What a device leaves behind.
#[derive(Default)]
struct Ended {
    stats: ServerStats,
    counts: Vec<(&'static str, u64)>,
}

/// How often the main thread looks whether to end.
const TICK: Duration = Duration::from_millis(20);

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Fault> {
    env_logger::Builder::new().filter_level(args.log_level.into()).format_target(true).init();
    let stop = Stop::on_signal()?;
    let links: Vec<Spec> = args.link.iter().map(|link| link.parse()).collect::<Result<_, _>>()?;
    let (opened, control) = open(args, &links)?;
    // Holds for this thread and those that it starts, so before any of them.
    let rules = if args.no_sandbox { None } else { Some(confine_files(&args.socket).map_err(run_fault)?) };
    if let Some(control) = control {
        control::listen(control)?;
    }
    let end = Arc::new(AtomicBool::new(false));
    let mut all = Vec::new();
    let mut gates = Vec::new();
    for one in opened {
        let (gate, wait) = channel();
        let (ready, is_ready) = channel();
        all.push(start(one, ready, wait, &end, args.once)?);
        gates.push(gate);
        // A thread makes system calls of its own until it is there, which the filter would refuse.
        is_ready.recv().map_err(|_| Fault::Run("a thread ended before it began".into()))?;
    }
    match rules {
        Some(rules) => {
            let count =
                confine_calls(links.iter().map(|link| &link.kind), args.doorbells == Doorbells::Mapped)
                    .map_err(run_fault)?;
            note!("sandbox: seccomp lets {count} system calls through; {}", rules.words());
        }
        None => note!("sandbox: off"),
    }
    // A thread whose gate goes away without a word ends; these may begin.
    for gate in &gates {
        let _: Result<(), _> = Sender::send(gate, ());
    }
    watch(args, &all, &stop);
    end.store(true, Ordering::Release);
    finish(args, all)
}

fn run_fault(error: sandbox::SandboxError) -> Fault {
    Fault::Run(error.to_string())
}

/// Makes all devices before the first one works, so that a mistake ends the command at once.
fn open(args: &ServeArgs, links: &[Spec]) -> Result<(Vec<Opened>, Option<Control>), Fault> {
    if args.control && args.socket.len() > 1 {
        return Err(Fault::Usage("--control takes orders for one device: give one --socket".into()));
    }
    let (sockets, links_each) = (args.socket.len(), device::links(args.model));
    if links.len() != sockets * links_each {
        return Err(Fault::Usage(match links_each {
            0 => format!("{} --link: this device is plugged into none", links.len()),
            _ => format!("{sockets} --socket and {} --link: each device takes one of both", links.len()),
        }));
    }
    let mut panel = PatchPanel::new();
    let (mut all, mut control) = (Vec::new(), None);
    for (number, socket) in args.socket.iter().enumerate() {
        let mut made = device::make(args, number, links.get(number), &mut panel)?;
        if args.incoming && made.model.migration().is_none() {
            return Err(Fault::Usage("--incoming: this device's state cannot be moved".into()));
        }
        let decoder = args.trace_mmio.then_some(made.decoder);
        if args.control {
            control = made.control;
            if control.is_none() {
                return Err(Fault::Usage("--control: this device takes no orders".into()));
            }
        }
        let model = Watched::new(made.model, decoder, args.incoming);
        let options = ServerOptions {
            lost_client: args.lost_client.into(),
            mapped_doorbells: args.doorbells == Doorbells::Mapped,
            ..ServerOptions::default()
        };
        let server = Server::bind(socket, model, options).map_err(|error| of_socket(error, socket))?;
        let state = if args.incoming { ", for a state to come" } else { "" };
        note!("serving {} on {}{state}", made.title, socket.display());
        all.push(Opened { socket: socket.clone(), traffic: made.traffic, server });
    }
    panel.finish()?;
    Ok((all, control))
}

/// Starts a device's thread, which says that it is there and waits at its gate.
fn start(
    one: Opened,
    ready: Sender<()>,
    gate: Receiver<()>,
    end: &Arc<AtomicBool>,
    once: bool,
) -> Result<Served, Fault> {
    let Opened { socket, traffic, server } = one;
    let (end, path) = (end.clone(), socket.clone());
    let work = move || {
        if ready.send(()).is_err() || gate.recv().is_err() {
            return Ok(Ended::default());
        }
        work(server, &end, once, &path)
    };
    let thread = thread::Builder::new()
        .name("serve".into())
        .spawn(work)
        .map_err(|error| Fault::Run(format!("cannot start a thread for {}: {error}", socket.display())))?;
    Ok(Served { socket, traffic, thread })
}

fn work(
    mut server: Server<Watched>,
    end: &AtomicBool,
    once: bool,
    socket: &std::path::Path,
) -> Result<Ended, Fault> {
    let result = (|| {
        if !once {
            return server.serve(end, IdlePolicy::default());
        }
        while !end.load(Ordering::Acquire) && !server.attach_wait(TICK)? {}
        while !end.load(Ordering::Acquire) && server.is_attached() {
            server.serve_round(IdlePolicy::default())?;
        }
        Ok(())
    })();
    let stats = server.stats();
    let mut model = server.into_model();
    let counts = model.counts();
    model.flush()?;
    result.map_err(|error| of_socket(error, socket))?;
    Ok(Ended { stats, counts })
}

/// Shows rates until it is time to end.
fn watch(args: &ServeArgs, all: &[Served], stop: &Stop) {
    let period = Duration::from_secs(args.stats_period);
    let mut rates: Vec<Rates> = all.iter().map(|_| Rates::default()).collect();
    let mut shown = Instant::now();
    while !stop.is_set() && !all.iter().all(|one| one.thread.is_finished()) {
        thread::sleep(TICK);
        let over = shown.elapsed();
        if period.is_zero() || over < period {
            continue;
        }
        shown = Instant::now();
        for (one, rates) in all.iter().zip(&mut rates) {
            let now = one.traffic.as_ref().map(Watch::get);
            if let Some(line) = now.and_then(|now| rates.line(&one.socket.display().to_string(), now, over)) {
                note!("{line}");
            }
        }
    }
}

fn finish(args: &ServeArgs, all: Vec<Served>) -> Result<(), Fault> {
    let mut totals = Vec::new();
    let mut failed = None;
    for one in all {
        let joined = one.thread.join();
        let ended =
            joined.unwrap_or_else(|_| Err(Fault::Run("a device model panicked: this is a bug".into())));
        let ended = ended.unwrap_or_else(|fault| {
            failed.get_or_insert(fault);
            Ended::default()
        });
        let traffic = one.traffic.as_ref().map(Watch::get).unwrap_or_default();
        totals.push(Totals {
            socket: one.socket.display().to_string(),
            clients: ended.stats.clients,
            commands: ended.stats.commands,
            errors: ended.stats.errors,
            refused_accesses: ended.stats.refused_accesses,
            rx_packets: traffic.rx_frames,
            rx_bytes: traffic.rx_bytes,
            tx_packets: traffic.tx_frames,
            tx_bytes: traffic.tx_bytes,
            model: ended.counts.into_iter().collect(),
        });
    }
    if args.json {
        let text = serde_json::to_string(&totals).map_err(|error| Fault::Run(error.to_string()))?;
        out!("{text}");
    } else {
        totals.iter().for_each(print);
    }
    failed.map_or(Ok(()), Err)
}

fn print(one: &Totals) {
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

fn of_socket(error: ServerError, socket: &std::path::Path) -> Fault {
    Fault::Run(format!("--socket {}: {error}", socket.display()))
}
