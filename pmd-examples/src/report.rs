//! What a run shows: live rates, testpmd's statistics at the end, or one JSON object.

use std::time::Duration;

use serde::Serialize;
use vfio_hal::pmd::{Port, PortStats};

use crate::fault::Fault;

/// What one port did during a run, counted by the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Forwarded {
    /// Packets received from the port.
    pub(crate) rx_packets: u64,
    /// Packets sent to the port.
    pub(crate) tx_packets: u64,
    /// Packets that the port's transmit ring had no room for, or refused.
    pub(crate) tx_dropped: u64,
    /// Packets that the mode dropped.
    pub(crate) mode_dropped: u64,
}

impl std::ops::AddAssign for Forwarded {
    fn add_assign(&mut self, other: Forwarded) {
        self.rx_packets += other.rx_packets;
        self.tx_packets += other.tx_packets;
        self.tx_dropped += other.tx_dropped;
        self.mode_dropped += other.mode_dropped;
    }
}

/// Everything known of one port at the end of a run.
#[derive(Debug, Serialize)]
pub(crate) struct PortReport {
    pub(crate) port: usize,
    pub(crate) name: String,
    pub(crate) forwarded: Forwarded,
    pub(crate) stats: Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xstats: Option<std::collections::BTreeMap<String, u64>>,
    /// Frames that the link gave to the port, and took from it.
    pub(crate) link_rx_frames: u64,
    pub(crate) link_tx_frames: u64,
    /// Of the frames that reached the link's sink, those that were not a generator's, whole and in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spoiled: Option<u64>,
}

/// The device's basic statistics, under DPDK's names.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Stats {
    pub(crate) ipackets: u64,
    pub(crate) opackets: u64,
    pub(crate) ibytes: u64,
    pub(crate) obytes: u64,
    pub(crate) imissed: u64,
    pub(crate) ierrors: u64,
    pub(crate) oerrors: u64,
    pub(crate) rx_nombuf: u64,
}

impl From<PortStats> for Stats {
    fn from(from: PortStats) -> Stats {
        let PortStats { ipackets, opackets, ibytes, obytes, imissed, ierrors, oerrors, rx_nombuf } = from;
        Stats { ipackets, opackets, ibytes, obytes, imissed, ierrors, oerrors, rx_nombuf }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) mode: String,
    pub(crate) seconds: f64,
    pub(crate) ports: Vec<PortReport>,
    pub(crate) total: Forwarded,
    /// Every packet that a link gave to a port was forwarded, or is counted as dropped.
    pub(crate) balanced: bool,
}

/// Reads all extended statistics of a port.
pub(crate) fn xstats(port: &mut dyn Port) -> Result<std::collections::BTreeMap<String, u64>, Fault> {
    let mut all = std::collections::BTreeMap::new();
    port.xstats(&mut |name, value| {
        all.insert(name.to_owned(), value);
    })?;
    Ok(all)
}

/// Turns totals into rates from one second to the next.
#[derive(Default)]
pub(crate) struct Rates {
    before: Vec<PortStats>,
}

impl Rates {
    /// Returns one line a port: packets and bits a second since the last call.
    pub(crate) fn lines(&mut self, now: &[PortStats], over: Duration) -> Vec<String> {
        self.before.resize(now.len(), PortStats::default());
        let seconds = over.as_secs_f64().max(1e-9);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let lines = now.iter().zip(&self.before).enumerate().map(|(port, (now, before))| {
            format!(
                "port {port}: Rx-pps: {:>11} Rx-bps: {:>15}  Tx-pps: {:>11} Tx-bps: {:>15}  missed: {}",
                grouped(rate(now.ipackets, before.ipackets) as u64),
                grouped((8.0 * rate(now.ibytes, before.ibytes)) as u64),
                grouped(rate(now.opackets, before.opackets) as u64),
                grouped((8.0 * rate(now.obytes, before.obytes)) as u64),
                grouped(now.imissed),
            )
        });
        let lines = lines.collect();
        self.before = now.to_vec();
        lines
    }
}

/// Returns a number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl RunReport {
    /// Prints statistics as testpmd does at the end of a run.
    pub(crate) fn print(&self) {
        for port in &self.ports {
            let title = format!(" Forward statistics for port {} ({}) ", port.port, port.name);
            println!("  {title:-^76}");
            let Forwarded { rx_packets, tx_packets, tx_dropped, .. } = port.forwarded;
            println!("{}", row("RX", rx_packets, port.stats.imissed));
            println!("{}", row("TX", tx_packets, tx_dropped));
            if port.stats.rx_nombuf != 0 || port.stats.ierrors != 0 || port.stats.oerrors != 0 {
                let Stats { rx_nombuf, ierrors, oerrors, .. } = port.stats;
                println!("  RX-error: {ierrors:<14} RX-nombufs: {rx_nombuf:<12} TX-error: {oerrors}");
            }
            if let Some(spoiled) = port.spoiled {
                println!("  link: {} frames in, {} out, {spoiled} spoiled", port.link_rx_frames, port.link_tx_frames);
            }
            for (name, value) in port.xstats.iter().flatten().filter(|(_, value)| **value != 0) {
                println!("  {name}: {value}");
            }
            println!("  {:-<76}", "");
        }
        println!("\n  {:+^76}", " Accumulated forward statistics for all ports ");
        let missed = self.ports.iter().map(|port| port.stats.imissed).sum();
        println!("{}", row("RX", self.total.rx_packets, missed));
        println!("{}", row("TX", self.total.tx_packets, self.total.tx_dropped));
        println!("  {:+<76}", "");
    }

    /// Prints the report as JSON.
    pub(crate) fn print_json(&self) -> Result<(), Fault> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Fault::Run(error.to_string()))?;
        println!("{text}");
        Ok(())
    }
}

fn row(way: &str, packets: u64, dropped: u64) -> String {
    format!(
        "  {way}-packets: {packets:<14} {way}-dropped: {dropped:<13} {way}-total: {}",
        packets.saturating_add(dropped)
    )
}
