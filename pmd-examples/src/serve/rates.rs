//! Live rates of served devices, a line each, for as long as there is something to show.

use std::time::Duration;

use pmd_links::Traffic;

use crate::report::{bits, grouped};

/// The rates of one device.
#[derive(Default)]
pub(super) struct Rates {
    before: Traffic,
    /// The last line told of traffic: its end is told too.
    told: bool,
}

impl Rates {
    /// Returns the line for the time since the last call; `None` while nothing goes on.
    pub(super) fn line(&mut self, name: &str, now: Traffic, over: Duration) -> Option<String> {
        let before = std::mem::replace(&mut self.before, now);
        let moved = (now.rx_frames, now.tx_frames) != (before.rx_frames, before.tx_frames);
        if !moved && !std::mem::replace(&mut self.told, moved) {
            return None;
        }
        self.told = moved;
        let seconds = over.as_secs_f64().max(1e-9);
        let way = |name: &str, frames: u64, bytes: u64| {
            let packets = grouped((frames as f64 / seconds) as u64);
            format!("{name} {packets:>11} pps {:>14}", bits(8.0 * bytes as f64 / seconds))
        };
        let rx = way("from the link", now.rx_frames - before.rx_frames, now.rx_bytes - before.rx_bytes);
        let tx = way("to the link", now.tx_frames - before.tx_frames, now.tx_bytes - before.tx_bytes);
        Some(format!("{name}  {rx}   {tx}   busy {}", grouped(now.tx_busy - before.tx_busy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_and_its_end_are_told_and_silence_is_not() {
        let mut rates = Rates::default();
        let second = Duration::from_secs(1);
        assert_eq!(rates.line("a", Traffic::default(), second), None);
        let some = Traffic { rx_frames: 1_000, rx_bytes: 125_000, ..Traffic::default() };
        let line = rates.line("a", some, second).unwrap();
        assert!(line.contains("1,000 pps") && line.contains("1.00 Mbit/s"), "{line}");
        assert!(rates.line("a", some, second).unwrap().contains(" 0 pps"));
        assert_eq!(rates.line("a", some, second), None);
    }
}
