//! OpenMetrics 1.0 over HTTP, for Prometheus and its like.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use vfio_hal::dma::pool::Pool;

use super::{Ask, Asker, TICK};
use crate::fault::Fault;
use crate::port::Open;
use crate::report::{Stats, xstats};

/// How long a client may take to ask and to read.
const LIMIT: Duration = Duration::from_secs(1);

/// The longest request.
const REQUEST: usize = 8192;

pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, Fault> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener
        .map_err(|error| Fault::Run(format!("--metrics {address}: {error}: choose another address or port")))
}

/// Answers one client after the other until the run is over.
pub(super) fn serve(listener: &TcpListener, asker: &Asker) {
    while !asker.is_over() {
        match listener.accept() {
            // A client that leaves early has what it wanted.
            Ok((client, _)) => drop(answer(client, asker)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TICK),
            // Such as too many open files: it may pass.
            Err(_) => thread::sleep(TICK),
        }
    }
}

fn answer(mut client: TcpStream, asker: &Asker) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(LIMIT))?;
    client.set_write_timeout(Some(LIMIT))?;
    let start = Instant::now();
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let len = client.read(&mut part)?;
        request.extend_from_slice(&part[..len]);
        if len == 0 || request.len() > REQUEST || start.elapsed() > LIMIT {
            return reply(&mut client, "400 Bad Request", "text/plain", "a GET was expected\n");
        }
    }
    let line = String::from_utf8_lossy(&request);
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics" | "/")) => match asker.ask(Ask::Metrics) {
            Some(text) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                reply(&mut client, "200 OK", kind, &text)
            }
            None => reply(&mut client, "503 Service Unavailable", "text/plain", "the run starts or ends\n"),
        },
        (Some("GET"), _) => reply(&mut client, "404 Not Found", "text/plain", "metrics are at /metrics\n"),
        _ => reply(&mut client, "405 Method Not Allowed", "text/plain", "only GET\n"),
    }
}

fn reply(client: &mut TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// A counter of a port: name, help, value.
type Counter = (&'static str, &'static str, fn(&Stats) -> u64);

const COUNTERS: [Counter; 8] = [
    ("rx_packets", "Packets received", |stats| stats.ipackets),
    ("tx_packets", "Packets sent", |stats| stats.opackets),
    ("rx_bytes", "Bytes received", |stats| stats.ibytes),
    ("tx_bytes", "Bytes sent", |stats| stats.obytes),
    ("rx_missed", "Packets dropped for want of descriptors or packet memory", |stats| stats.imissed),
    ("rx_errors", "Packets received with an error", |stats| stats.ierrors),
    ("tx_errors", "Packets that could not be sent", |stats| stats.oerrors),
    ("rx_nombuf", "Polls that found the pool empty", |stats| stats.rx_nombuf),
];

/// Returns all metrics. A device that is gone has none.
pub(super) fn text(open: &mut [Open], pool: &Pool) -> String {
    let mut text = String::new();
    let labels = |number: usize, one: &Open| format!("port=\"{number}\",device=\"{}\"", escaped(&one.name));
    let known: Vec<(String, Stats)> = open
        .iter_mut()
        .enumerate()
        .filter_map(|(number, one)| Some((labels(number, one), Stats::from(one.stats().ok()?))))
        .collect();
    for (name, help, value) in COUNTERS {
        head(&mut text, &format!("pmd_port_{name}"), "counter", help);
        for (labels, stats) in &known {
            line(&mut text, &format!("pmd_port_{name}_total"), labels, value(stats));
        }
    }
    head(&mut text, "pmd_port_link_up", "gauge", "Whether packets can pass");
    for (number, one) in open.iter_mut().enumerate() {
        if let Ok(link) = one.port.link() {
            line(&mut text, "pmd_port_link_up", &labels(number, one), link.up.into());
        }
    }
    head(&mut text, "pmd_port_xstat", "unknown", "Extended statistics, by DPDK's names");
    for (number, one) in open.iter_mut().enumerate() {
        let of_port = labels(number, one);
        for (name, value) in xstats(&mut *one.port).unwrap_or_default() {
            line(&mut text, "pmd_port_xstat", &format!("{of_port},name=\"{}\"", escaped(&name)), value);
        }
    }
    for (name, help, value) in [
        ("pmd_pool_buffers", "Buffers of the pool", pool.capacity().into()),
        ("pmd_pool_free_buffers", "Buffers that nobody has", u64::from(pool.available())),
        ("pmd_pool_leaked_buffers", "Buffers left to a device that did not stop", u64::from(pool.leaked())),
    ] {
        head(&mut text, name, "gauge", help);
        line(&mut text, name, "", value);
    }
    text.push_str("# EOF\n");
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}.");
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// Returns a label's value with what would end it escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
