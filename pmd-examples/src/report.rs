//! What a run shows: live rates, testpmd's statistics at the end, or one JSON object.

use std::time::Duration;

use serde::Serialize;
use vfio_hal::pmd::{Port, PortStats};

use crate::fault::Fault;
use crate::out;

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
    /// Received packets with a wrong IPv4 checksum, as the device says, in mode csum.
    pub(crate) rx_bad_ip_csum: u64,
    /// Received packets with a wrong TCP, UDP or SCTP checksum, in mode csum.
    pub(crate) rx_bad_l4_csum: u64,
    /// Of the packets sent to the port, those that it still had when the run ended: its link is down or paused.
    pub(crate) tx_left: u64,
}

impl std::ops::AddAssign for Forwarded {
    fn add_assign(&mut self, other: Forwarded) {
        self.rx_packets += other.rx_packets;
        self.tx_packets += other.tx_packets;
        self.tx_dropped += other.tx_dropped;
        self.mode_dropped += other.mode_dropped;
        self.rx_bad_ip_csum += other.rx_bad_ip_csum;
        self.rx_bad_l4_csum += other.rx_bad_l4_csum;
        self.tx_left += other.tx_left;
    }
}

/// Everything known of one port at the end of a run.
#[derive(Debug, Serialize)]
pub(crate) struct PortReport {
    pub(crate) port: usize,
    pub(crate) name: String,
    pub(crate) forwarded: Forwarded,
    pub(crate) stats: Stats,
    /// Packets for other stations, which the port was told not to receive.
    pub(crate) filtered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xstats: Option<std::collections::BTreeMap<String, u64>>,
    /// Frames that the link gave to the port, and took from it, where the link is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link_rx_frames: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link_tx_frames: Option<u64>,
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

/// What one lcore did.
#[derive(Debug, Serialize)]
pub(crate) struct LcoreReport {
    pub(crate) core: usize,
    pub(crate) streams: usize,
    /// How often it waited for an interrupt, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<u64>,
    /// How often one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interrupts: Option<u64>,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) mode: String,
    pub(crate) seconds: f64,
    pub(crate) lcores: Vec<LcoreReport>,
    pub(crate) ports: Vec<PortReport>,
    pub(crate) total: Forwarded,
    /// Every packet that a link gave to a port was forwarded, or is counted as dropped.
    pub(crate) balanced: bool,
    /// What ended the run, if it was a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
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
            let way = |name, packets: (u64, u64), bytes: (u64, u64)| {
                let packets = grouped(rate(packets.0, packets.1) as u64);
                format!("{name} {packets:>11} pps {:>14}", bits(8.0 * rate(bytes.0, bytes.1)))
            };
            let rx = way("RX", (now.ipackets, before.ipackets), (now.ibytes, before.ibytes));
            let tx = way("TX", (now.opackets, before.opackets), (now.obytes, before.obytes));
            let dropped = grouped(now.imissed.saturating_sub(before.imissed));
            format!("port {port}  {rx}   {tx}   RX-dropped {dropped}")
        });
        let lines = lines.collect();
        self.before = now.to_vec();
        lines
    }
}

/// Returns a rate in the unit that suits it.
pub(crate) fn bits(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e9 => format!("{:.2} Gbit/s", rate / 1e9),
        rate if rate >= 1e6 => format!("{:.2} Mbit/s", rate / 1e6),
        rate => format!("{:.2} kbit/s", rate / 1e3),
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
            port.print();
        }
        out!("\n  {:+^76}", " Accumulated forward statistics for all ports ");
        let missed = self.ports.iter().map(|port| port.stats.imissed).sum();
        out!("{}", row("RX", self.total.rx_packets, missed));
        out!("{}", row("TX", self.total.tx_packets, self.total.tx_dropped));
        out!("  {:+<76}", "");
        self.print_summary();
    }

    fn print_summary(&self) {
        let Forwarded { rx_packets, tx_packets, tx_dropped, mode_dropped, .. } = self.total;
        let per_second = (tx_packets.max(rx_packets) as f64 / self.seconds.max(1e-9)) as u64;
        let (from, packets, mode_dropped) = match self.mode.as_str() {
            // What flowgen receives has nothing to do with what it makes.
            "txonly" | "flowgen" => ("made", tx_packets + tx_dropped, 0),
            _ => ("received", rx_packets, mode_dropped),
        };
        out!(
            "\n  {} packets a second; {from} {} = sent {} + dropped {}{}",
            grouped(per_second),
            grouped(packets),
            grouped(tx_packets),
            grouped(tx_dropped + mode_dropped),
            if self.balanced { ": balanced" } else { ": NOT balanced" }
        );
        for lcore in &self.lcores {
            if let (Some(waits), Some(interrupts)) = (lcore.waits, lcore.interrupts) {
                out!("  lcore on core {} waited {waits} times, {interrupts} interrupts came", lcore.core);
            }
        }
    }
}

impl PortReport {
    fn print(&self) {
        let title = format!(" Forward statistics for port {} ({}) ", self.port, self.name);
        out!("  {title:-^76}");
        let Forwarded { rx_packets, tx_packets, tx_dropped, tx_left, .. } = self.forwarded;
        out!("{}", row("RX", rx_packets, self.stats.imissed));
        out!("{}", row("TX", tx_packets, tx_dropped));
        let Stats { rx_nombuf, ierrors, oerrors, .. } = self.stats;
        if rx_nombuf != 0 || ierrors != 0 || oerrors != 0 {
            out!("  RX-error: {ierrors:<14} RX-nombufs: {rx_nombuf:<12} TX-error: {oerrors}");
        }
        let Forwarded { rx_bad_ip_csum, rx_bad_l4_csum, .. } = self.forwarded;
        if rx_bad_ip_csum + rx_bad_l4_csum != 0 {
            out!("  Bad-ipcsum: {rx_bad_ip_csum:<14} Bad-l4csum: {rx_bad_l4_csum}");
        }
        if self.filtered != 0 {
            out!("  RX-filtered: {} for other stations", self.filtered);
        }
        if tx_left != 0 {
            out!(
                "  TX-left: {tx_left} of the packets sent were still on the ring: the link is down or paused"
            );
        }
        if let (Some(spoiled), Some(rx), Some(tx)) = (self.spoiled, self.link_rx_frames, self.link_tx_frames)
        {
            out!("  link: {rx} frames in, {tx} out, {spoiled} spoiled");
        }
        for (name, value) in self.xstats.iter().flatten().filter(|(_, value)| **value != 0) {
            out!("  {name}: {value}");
        }
        out!("  {:-<76}", "");
    }
}

fn row(way: &str, packets: u64, dropped: u64) -> String {
    format!(
        "  {way}-packets: {packets:<14} {way}-dropped: {dropped:<13} {way}-total: {}",
        packets.saturating_add(dropped)
    )
}
