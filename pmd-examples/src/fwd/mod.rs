//! `pmd fwd`: forward packets between ports, as DPDK's testpmd does.
//!
//! [`run`] opens ports, gives each lcore its [streams](stream), shows rates, and ends with every packet accounted for.
//! What happens to a packet is a [mode](modes).

mod icmpecho;
mod modes;
mod stream;

use std::thread;
use std::time::{Duration, Instant};

use crate::cli::{FwdArgs, Mode};
use crate::fault::Fault;
use crate::lcore;
use crate::port::{self, Ports};
use crate::report::{Forwarded, PortReport, Rates, RunReport, grouped, xstats};
use crate::signal::Stop;

use modes::Action;
use stream::{Lcore, Stream};

/// How long a run that generates all traffic itself lasts when nothing is said.
const DEFAULT_DURATION: Duration = Duration::from_secs(5);

/// How long packets that are under way when a run ends may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Runs the command.
pub(crate) fn run(args: &FwdArgs) -> Result<(), Fault> {
    let cores = lcore::choose(args.env.lcores.as_ref())?;
    check(args, cores.len())?;
    let stop = Stop::on_signal()?;
    let mut ports = port::open(&args.env, &args.ports, port::default_vdevs())?;
    let action = Action::new(args, &mut ports)?;
    let duration = match args.run.duration {
        Some(time) => Some(time).filter(|time| !time.is_zero()),
        None if args.forward_mode == Mode::Txonly => Some(DEFAULT_DURATION),
        None => ports.open.iter().all(|one| one.plugged.endless).then_some(DEFAULT_DURATION),
    };
    let mut lcores = distribute(&mut ports, &cores, args, &action);
    if action.receives() {
        ports.open_valves();
    }
    let started = Instant::now();
    thread::scope(|scope| -> Result<(), Fault> {
        let quit = Stop::default();
        let mut workers = Vec::new();
        for lcore in &mut lcores {
            let quit = quit.clone();
            workers.push(lcore::spawn(scope, lcore.core, move || lcore.work(&quit))?);
        }
        let watched = watch(args, &mut ports, &stop, duration, || workers.iter().any(|one| one.is_finished()));
        for one in &ports.open {
            one.plugged.valve.set(false);
        }
        quit.set();
        for worker in workers {
            worker.join().map_err(|_| Fault::Run("an lcore panicked: this is a bug".into()))??;
        }
        watched
    })?;
    let elapsed = started.elapsed();
    let mut forwarded = vec![Forwarded::default(); ports.open.len()];
    for lcore in lcores {
        lcore.give_back(&mut ports, &mut forwarded);
    }
    let report = report(args, &mut ports, forwarded, elapsed)?;
    ports.stop()?;
    if args.run.json {
        report.print_json()?;
    } else {
        report.print();
        summary(&report);
    }
    match report.balanced {
        true => Ok(()),
        false => Err(Fault::Run("the totals do not balance: packets are unaccounted for".into())),
    }
}

/// Checks what can be checked before anything is opened.
fn check(args: &FwdArgs, lcores: usize) -> Result<(), Fault> {
    let vdevs = if args.env.vdevs.is_empty() { port::default_vdevs().len() } else { args.env.vdevs.len() };
    if args.ports.txq < args.ports.rxq && !matches!(args.forward_mode, Mode::Rxonly) {
        return Err(Fault::Usage(format!(
            "--txq {} is less than --rxq {}: each receive queue forwards through the transmit queue of its number",
            args.ports.txq, args.ports.rxq
        )));
    }
    let streams = vdevs * usize::from(args.ports.rxq);
    if lcores > streams {
        return Err(Fault::Usage(format!(
            "{lcores} lcores for {streams} receive queues: give -l at most {streams} cores, or more queues with --rxq"
        )));
    }
    match args.eth_peer.iter().find(|(port, _)| *port >= vdevs) {
        Some((port, _)) => Err(Fault::Usage(format!("--eth-peer names port {port}: there are {vdevs} ports"))),
        None => Ok(()),
    }
}

/// Returns the port that packets of `port` are sent to: pairs, as testpmd has it; the last of an odd number sends to itself.
fn peer(port: usize, ports: usize) -> usize {
    let other = port ^ 1;
    if other < ports { other } else { port }
}

/// Takes all queues out of `ports` and gives each lcore its streams, in turn.
fn distribute(ports: &mut Ports, cores: &[usize], args: &FwdArgs, action: &Action) -> Vec<Lcore> {
    let count = ports.open.len();
    let burst = usize::from(args.ports.burst);
    let mut lcores: Vec<Lcore> = cores.iter().map(|&core| Lcore::new(core, &ports.pool, burst)).collect();
    for (number, step) in ports.steps.iter().enumerate() {
        let index = number % lcores.len();
        lcores[index].steps.push(step.clone());
    }
    let mut tx: Vec<Vec<_>> = ports.tx.iter_mut().map(|queues| queues.drain(..).map(Some).collect()).collect();
    let mut number = 0;
    for port in 0..count {
        let to = action.sends_to(port, peer(port, count));
        for (queue, rx) in ports.rx[port].drain(..).enumerate() {
            let out = tx[to].get_mut(queue).and_then(Option::take);
            let stream = Stream::new(port, to, rx, out, action.clone());
            let index = number % lcores.len();
            lcores[index].streams.push(stream);
            number += 1;
        }
    }
    // Transmit queues without a stream wait here to be given back.
    for (port, queues) in tx.into_iter().enumerate() {
        lcores[0].spare.extend(queues.into_iter().flatten().map(|queue| (port, queue)));
    }
    lcores
}

/// Shows rates until it is time to end.
fn watch(
    args: &FwdArgs,
    ports: &mut Ports,
    stop: &Stop,
    duration: Option<Duration>,
    ended: impl Fn() -> bool,
) -> Result<(), Fault> {
    const TICK: Duration = Duration::from_millis(20);
    let start = Instant::now();
    let mut rates = Rates::default();
    let mut shown = start;
    while !stop.is_set() && !ended() {
        let left = duration.map(|limit| limit.saturating_sub(start.elapsed()));
        if left == Some(Duration::ZERO) {
            break;
        }
        if ports.open.iter().all(|one| !one.plugged.endless && one.plugged.valve.is_dry()) {
            break;
        }
        thread::sleep(TICK.min(left.unwrap_or(TICK)));
        let over = shown.elapsed();
        if !args.run.stats_period.is_zero() && over >= args.run.stats_period {
            shown = Instant::now();
            let mut now = Vec::new();
            for one in &mut ports.open {
                now.push(one.port.stats()?);
            }
            for line in rates.lines(&now, over) {
                if args.run.json {
                    eprintln!("{line}");
                } else {
                    println!("{line}");
                }
            }
        }
    }
    Ok(())
}

fn report(args: &FwdArgs, ports: &mut Ports, forwarded: Vec<Forwarded>, elapsed: Duration) -> Result<RunReport, Fault> {
    let mut reports = Vec::new();
    let mut total = Forwarded::default();
    let mut balanced = true;
    for (number, (one, forwarded)) in ports.open.iter_mut().zip(forwarded).enumerate() {
        let stats = one.port.stats()?;
        let traffic = one.plugged.traffic.get();
        let verdict = one.plugged.verdict.as_ref().map(|verdict| verdict.get());
        let discarded = stats.imissed + stats.ierrors;
        // In: what the link gave is what the application got or the device counts as not received. Out: what the
        // application sent is what the link took.
        balanced &= traffic.rx_frames == forwarded.rx_packets + discarded && traffic.tx_frames == forwarded.tx_packets;
        total += forwarded;
        reports.push(PortReport {
            port: number,
            name: one.name.clone(),
            forwarded,
            stats: stats.into(),
            xstats: if args.run.xstats { Some(xstats(&mut *one.port)?) } else { None },
            link_rx_frames: traffic.rx_frames,
            link_tx_frames: traffic.tx_frames,
            spoiled: verdict.map(|verdict| verdict.frames.saturating_sub(verdict.good)),
        });
    }
    let through = total.tx_packets + total.tx_dropped + total.mode_dropped;
    balanced &= args.forward_mode == Mode::Txonly || total.rx_packets == through;
    let mode = format!("{:?}", args.forward_mode).to_lowercase();
    Ok(RunReport { mode, seconds: elapsed.as_secs_f64(), ports: reports, total, balanced })
}

fn summary(report: &RunReport) {
    let Forwarded { rx_packets, tx_packets, tx_dropped, mode_dropped } = report.total;
    let per_second = (tx_packets.max(rx_packets) as f64 / report.seconds.max(1e-9)) as u64;
    let (from, received) = if report.mode == "txonly" { ("made", tx_packets + tx_dropped) } else { ("received", rx_packets) };
    println!(
        "\n  {} packets a second; {from} {} = sent {} + dropped {}{}",
        grouped(per_second),
        grouped(received),
        grouped(tx_packets),
        grouped(tx_dropped + mode_dropped),
        if report.balanced { ": balanced" } else { ": NOT balanced" }
    );
}
