//! `pmd fwd`: forward packets between ports, as DPDK's testpmd does.
//!
//! [`run`] opens ports, gives each [lcore](worker) its [streams](stream), shows rates, and ends with every packet
//! accounted for. What happens to a packet is a [mode](modes), what happens without one is a [policy](idle).

mod csum;
mod headers;
mod icmpecho;
mod idle;
mod modes;
mod noisy;
mod options;
mod settle;
mod stream;
mod swap;
mod worker;

use std::thread;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::lcore;
use crate::monitor::Monitor;
use crate::port::{self, Holders, Open, Ports, Sources};
use crate::report::{Forwarded, LcoreReport, PortReport, Rates, RunReport, xstats};
use crate::signal::Stop;
use crate::{note, out, output};
use clap::ValueEnum as _;

pub(crate) use options::FwdArgs;

use idle::Policy;
use modes::Action;
use noisy::Noisy;
use options::Mode;
use stream::Stream;
use worker::Lcore;

/// How long a run that generates all traffic itself lasts when nothing is said.
const DEFAULT_DURATION: Duration = Duration::from_secs(5);

/// How long packets that are under way when a run ends may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Runs the command.
pub(crate) fn run(args: &FwdArgs) -> Result<(), Fault> {
    let cores = lcore::choose(args.common.env.lcores.as_ref())?;
    let sources = Sources::read(&args.common.env, port::default_vdevs())?;
    check(args, &sources, cores.len())?;
    let stop = Stop::on_signal()?;
    let each_stream = match args.forward_mode {
        Mode::Noisy => Noisy::holds(&args.noisy, args.common.ports.burst),
        _ => 0,
    };
    let holders = Holders { lcores: cores.len(), each_stream };
    let mut ports = port::open(&args.common.env, &args.common.ports, sources, holders, &stop)?;
    let action = Action::new(args, &ports);
    let monitor = Monitor::start(&args.common.monitor)?;
    let mut lcores = distribute(&mut ports, &cores, args, &action)?;
    lcores.iter().for_each(|lcore| note!("{lcore}"));
    if action.receives() {
        ports.open_valves();
    }
    let started = Instant::now();
    let ended = forward(args, &mut ports, &mut lcores, &monitor, &stop);
    let elapsed = started.elapsed();
    let mut forwarded = vec![Forwarded::default(); ports.open.len()];
    let lcore_reports = lcores.iter().map(Lcore::report).collect();
    for lcore in lcores {
        lcore.give_back(&mut ports, &mut forwarded);
    }
    settle::transmitted(&mut ports, &mut forwarded);
    let mut report = report(args, &mut ports, forwarded, lcore_reports, elapsed);
    // The first failure is the cause, those that follow from it would hide it.
    let ended = ended.and(ports.stop());
    report.error = ended.as_ref().err().map(Fault::to_string);
    if args.common.run.json {
        output::json(&report)?;
    } else {
        report.print();
    }
    ended?;
    match report.balanced {
        true => Ok(()),
        false => Err(Fault::Run("the totals do not balance: packets are unaccounted for".into())),
    }
}

/// Checks what can be checked before anything is opened.
fn check(args: &FwdArgs, sources: &Sources, lcores: usize) -> Result<(), Fault> {
    let count = sources.len();
    let (rxq, txq) = (args.common.ports.rxq, args.common.ports.txq);
    if txq < rxq && args.forward_mode != Mode::Rxonly {
        return Err(Fault::Usage(format!(
            "--txq {txq} is less than --rxq {rxq}: each receive queue forwards through the transmit queue of its number, \
             so give --txq {rxq}"
        )));
    }
    let streams = count * usize::from(rxq);
    if lcores > streams {
        return Err(Fault::Usage(format!(
            "{lcores} lcores for {streams} receive queues: give -l at most {streams} cores, or more queues with --rxq"
        )));
    }
    if let Some((port, _)) = args.eth_peer.iter().find(|(port, _)| *port >= count) {
        let last = count - 1;
        return Err(Fault::Usage(format!("--eth-peer names port {port}: there are ports 0 to {last}")));
    }
    if u32::from(args.txpkts) > args.common.ports.mbuf_size {
        let (txpkts, mbuf_size) = (args.txpkts, args.common.ports.mbuf_size);
        return Err(Fault::Usage(format!(
            "--txpkts {txpkts} does not fit into a buffer of --mbuf-size {mbuf_size}: raise that"
        )));
    }
    idle::check(args, sources)
}

/// Returns whether a mode makes the packets that it sends.
fn makes(mode: Mode) -> bool {
    matches!(mode, Mode::Txonly | Mode::Flowgen)
}

/// Returns the port that packets of `port` are sent to: pairs, as testpmd has it; the last of an odd number sends to itself.
fn peer(port: usize, ports: usize) -> usize {
    let other = port ^ 1;
    if other < ports { other } else { port }
}

/// Takes all queues out of `ports` and gives each lcore its streams, in turn.
fn distribute(
    ports: &mut Ports,
    cores: &[usize],
    args: &FwdArgs,
    action: &Action,
) -> Result<Vec<Lcore>, Fault> {
    let count = ports.open.len();
    let burst = usize::from(args.common.ports.burst);
    let mut lcores: Vec<Lcore> = cores.iter().map(|&core| Lcore::new(core, &ports.pool, burst)).collect();
    for (number, step) in ports.steps.iter().enumerate() {
        let index = number % lcores.len();
        lcores[index].steps.push(step.clone());
    }
    let mut tx: Vec<Vec<_>> =
        ports.tx.iter_mut().map(|queues| queues.drain(..).map(Some).collect()).collect();
    let mut number = 0;
    for port in 0..count {
        let to = action.sends_to(port, peer(port, count));
        for (queue, rx) in ports.rx[port].drain(..).enumerate() {
            let out = tx[to].get_mut(queue).and_then(Option::take);
            let stream = Stream::new(port, to, rx, out, action.clone(), burst)?;
            let index = number % lcores.len();
            lcores[index].streams.push(stream);
            number += 1;
        }
    }
    // Transmit queues without a stream wait here to be given back.
    for (port, queues) in tx.into_iter().enumerate() {
        lcores[0].spare.extend(queues.into_iter().flatten().map(|queue| (port, queue)));
    }
    for lcore in &mut lcores {
        lcore.policy = Policy::new(args.idle, &lcore.streams, ports)?;
    }
    Ok(lcores)
}

/// Forwards on all lcores until it is time to end, then until nothing is under way.
fn forward(
    args: &FwdArgs,
    ports: &mut Ports,
    lcores: &mut [Lcore],
    monitor: &Monitor,
    stop: &Stop,
) -> Result<(), Fault> {
    let duration = match args.common.run.duration {
        Some(time) => Some(time).filter(|time| !time.is_zero()),
        None if makes(args.forward_mode) => Some(DEFAULT_DURATION),
        None => ports
            .open
            .iter()
            .all(|one| one.wire().is_some_and(|wire| wire.endless))
            .then_some(DEFAULT_DURATION),
    };
    let quit = Stop::default();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        let mut result = Ok(());
        for lcore in lcores {
            let quit = quit.clone();
            match lcore::spawn(scope, lcore.core, move || lcore.work(&quit)) {
                Ok(worker) => workers.push(worker),
                Err(fault) => result = Err(fault),
            }
        }
        let ended = || workers.iter().any(|one| one.is_finished());
        if result.is_ok() {
            result = watch(args, ports, monitor, stop, duration, ended);
        }
        ports.shut_valves();
        if result.is_ok() {
            settle::received(ports, ended);
        }
        quit.set();
        for worker in workers {
            let worked = worker.join().map_err(|_| Fault::Run("an lcore panicked: this is a bug".into()));
            result = result.and(worked.and_then(|worked| worked));
        }
        result
    })
}

/// Shows rates until it is time to end.
fn watch(
    args: &FwdArgs,
    ports: &mut Ports,
    monitor: &Monitor,
    stop: &Stop,
    duration: Option<Duration>,
    ended: impl Fn() -> bool,
) -> Result<(), Fault> {
    const TICK: Duration = Duration::from_millis(20);
    let start = Instant::now();
    let mut rates = Rates::default();
    let mut shown = start;
    while !stop.is_set() && !output::reader_left() && !ended() {
        if let Some(fault) = ports.broken() {
            return Err(fault);
        }
        let left = duration.map(|limit| limit.saturating_sub(start.elapsed()));
        let dry = |one: &Open| one.wire().is_some_and(|wire| !wire.endless && wire.valve.is_dry());
        let dry = ports.open.iter().all(dry);
        if left == Some(Duration::ZERO) || dry {
            break;
        }
        thread::sleep(TICK.min(left.unwrap_or(TICK)));
        monitor.answer(&mut ports.open, &ports.pool);
        let over = shown.elapsed();
        if !args.common.run.stats_period.is_zero() && over >= args.common.run.stats_period {
            shown = Instant::now();
            let mut now = Vec::new();
            for one in &mut ports.open {
                now.push(one.stats()?);
            }
            for line in rates.lines(&now, over) {
                if args.common.run.json { note!("{line}") } else { out!("{line}") }
            }
        }
    }
    if stop.is_set() {
        note!("stopping: packets under way are finished; Ctrl-C again ends at once");
    }
    Ok(())
}

fn report(
    args: &FwdArgs,
    ports: &mut Ports,
    forwarded: Vec<Forwarded>,
    lcores: Vec<LcoreReport>,
    elapsed: Duration,
) -> RunReport {
    let mut reports = Vec::new();
    let mut total = Forwarded::default();
    let mut balanced = true;
    for (number, (one, forwarded)) in ports.open.iter_mut().zip(forwarded).enumerate() {
        let stats = one.last_stats();
        let traffic = one.wire().map(|wire| wire.traffic.get());
        let verdict = one.wire().and_then(|wire| wire.verdict.as_ref()).map(|verdict| verdict.get());
        // A device that is gone has no extended statistics, and its loss is what the run ends with.
        let all = xstats(&mut *one.port).unwrap_or_default();
        let seen = all.get("rx_total_packets").copied().unwrap_or_default();
        let refused = stats.imissed + stats.ierrors;
        let filtered = match args.common.ports.no_promiscuous {
            true => seen.saturating_sub(refused + forwarded.rx_packets),
            false => 0,
        };
        // In: what the link gave is what the application got or the device counts as not received; a wire that is not ours
        // does not stop when we do, so a device may have received more. Out: what the application sent is what the device
        // sent or still has, and what the link took.
        balanced &= forwarded.tx_packets == stats.opackets + forwarded.tx_left;
        balanced &= match traffic {
            Some(traffic) => {
                traffic.rx_frames == forwarded.rx_packets + refused + filtered
                    && traffic.tx_frames == stats.opackets
            }
            None => forwarded.rx_packets <= stats.ipackets,
        };
        total += forwarded;
        reports.push(PortReport {
            port: number,
            name: one.name.clone(),
            forwarded,
            stats: stats.into(),
            filtered,
            xstats: args.common.run.xstats.then_some(all),
            link_rx_frames: traffic.map(|traffic| traffic.rx_frames),
            link_tx_frames: traffic.map(|traffic| traffic.tx_frames),
            spoiled: verdict.map(|verdict| verdict.frames.saturating_sub(verdict.good)),
        });
    }
    let sent = if makes(args.forward_mode) { 0 } else { total.tx_packets + total.tx_dropped };
    balanced &= total.rx_packets == sent + total.mode_dropped;
    let mode =
        args.forward_mode.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
    let seconds = elapsed.as_secs_f64();
    RunReport { mode, seconds, lcores, ports: reports, total, balanced, error: None }
}
