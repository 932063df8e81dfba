//! What others can ask a run while it runs: DPDK's telemetry over a socket, OpenMetrics over HTTP.
//!
//! Ports belong to the thread that watches the run, so [`Monitor`]'s threads only speak their protocols and pass each
//! question on; [`Monitor::answer`] answers those that came, between two looks at the run. [`commands`] is what can be
//! asked, [`socket`] and [`metrics`] are the ways.

mod commands;
mod metrics;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Args;
use vfio_hal::dma::pool::Pool;

use crate::fault::Fault;
use crate::note;
use crate::port::Open;

/// How long an answer may take: a run that starts or ends answers nobody.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often threads look whether the run is over.
const TICK: Duration = Duration::from_millis(100);

/// Questions that may wait for the run to look.
const WAITING: usize = 16;

/// Options of telemetry.
#[derive(Args)]
#[command(next_help_heading = "Telemetry")]
pub(crate) struct MonitorArgs {
    /// Answer DPDK's telemetry client (dpdk-telemetry.py) on a socket
    #[arg(long)]
    telemetry: bool,
    /// Names the run to the telemetry client: its option -f
    #[arg(long, default_value = "rte", value_name = "NAME", value_parser = prefix)]
    file_prefix: String,
    /// Answer with OpenMetrics over HTTP at this address, or at a port of this machine only
    #[arg(long, value_name = "ADDRESS", value_parser = address, num_args = 0..=1, default_missing_value = "9876")]
    metrics: Option<SocketAddr>,
}

/// A question, and where its answer goes.
struct Question {
    ask: Ask,
    reply: SyncSender<String>,
}

/// What is asked.
enum Ask {
    /// A command of the telemetry protocol, with its parameters.
    Telemetry(String),
    /// All metrics.
    Metrics,
}

/// Passes questions on to the run.
#[derive(Clone)]
struct Asker {
    questions: SyncSender<Question>,
    over: Arc<AtomicBool>,
}

impl Asker {
    /// Returns the answer; `None` when the run does not answer in time.
    fn ask(&self, ask: Ask) -> Option<String> {
        let (reply, answer) = sync_channel(1);
        match self.questions.try_send(Question { ask, reply }) {
            Ok(()) => answer.recv_timeout(PATIENCE).ok(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The threads that can be asked; ended with this value.
pub(crate) struct Monitor {
    questions: Receiver<Question>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Removes the telemetry socket's file.
    _socket: Option<socket::Place>,
}

impl Monitor {
    /// Starts what the options say; says where it can be asked.
    pub(crate) fn start(args: &MonitorArgs) -> Result<Monitor, Fault> {
        let (questions, answers) = sync_channel(WAITING);
        let over = Arc::new(AtomicBool::new(false));
        let asker = Asker { questions, over: over.clone() };
        let mut monitor = Monitor { questions: answers, over, threads: Vec::new(), _socket: None };
        if args.telemetry {
            let (place, listener) = socket::listen(&args.file_prefix)?;
            note!("telemetry: {}", place.path().display());
            monitor._socket = Some(place);
            let asker = asker.clone();
            monitor.spawn("telemetry", move || socket::serve(&listener, &asker))?;
        }
        if let Some(address) = args.metrics {
            let listener = metrics::listen(address)?;
            let address = listener.local_addr().unwrap_or(address);
            note!("metrics: http://{address}/metrics");
            monitor.spawn("metrics", move || metrics::serve(&listener, &asker))?;
        }
        Ok(monitor)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
        let thread = thread::Builder::new().name(name.into()).spawn(work);
        let thread =
            thread.map_err(|error| Fault::Run(format!("cannot start a thread for {name}: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Answers the questions that have come.
    pub(crate) fn answer(&self, open: &mut [Open], pool: &Pool) {
        for Question { ask, reply } in self.questions.try_iter().take(WAITING) {
            let text = match ask {
                Ask::Telemetry(command) => commands::answer(&command, open, pool),
                Ask::Metrics => metrics::text(open, pool),
            };
            // Who asked may have gone.
            let _ = reply.try_send(text);
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reads an address: `9876`, `:9876`, `127.0.0.1:9876`, `[::]:9876`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let address =
        port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).ok().or_else(|| text.parse().ok());
    address.ok_or_else(|| "write a port such as 9876, or an address such as 0.0.0.0:9876".into())
}

/// A name of a folder.
fn prefix(text: &str) -> Result<String, String> {
    let good = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !text.starts_with('.');
    if good { Ok(text.to_owned()) } else { Err("use letters, digits, '-' and '_', 32 at most".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_this_machines_unless_said_otherwise() {
        for text in ["9876", ":9876", "127.0.0.1:9876"] {
            assert_eq!(address(text).unwrap().to_string(), "127.0.0.1:9876");
        }
        assert_eq!(address("[::]:80").unwrap().to_string(), "[::]:80");
        for wrong in ["", "x", "70000", "localhost:1", "1.2.3.4"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert!(
            prefix("../x").is_err() && prefix("").is_err() && prefix("..").is_err() && prefix("a-1").is_ok()
        );
    }
}
