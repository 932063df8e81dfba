//! The end of a run: what is under way arrives, so that all packets are accounted for.

use std::thread;
use std::time::{Duration, Instant};

use vfio_hal::pmd::PortStats;

use super::DRAIN_LIMIT;
use crate::port::Ports;
use crate::report::Forwarded;

/// How often it is looked whether all has arrived.
const TICK: Duration = Duration::from_millis(1);

/// For how long nothing must change to say that nothing is under way, where counts alone cannot say it.
const STILL: Duration = Duration::from_millis(100);

/// Waits, with lcores at work and nothing more coming in, until the devices have handed out what they received.
pub(super) fn received(ports: &mut Ports, ended: impl Fn() -> bool) {
    let limit = Instant::now() + DRAIN_LIMIT;
    let mut before: Vec<PortStats> = Vec::new();
    let mut since = Instant::now();
    while Instant::now() < limit && !ended() {
        let now: Vec<PortStats> = ports.open.iter_mut().map(|one| one.last_stats()).collect();
        let all = ports.open.iter().zip(&now).all(|(one, stats)| {
            let counted = stats.ipackets + stats.imissed + stats.ierrors;
            // A wire that is not ours goes on without end.
            one.wire().is_none_or(|wire| wire.traffic.get().rx_frames == counted)
        });
        if now != before {
            (before, since) = (now, Instant::now());
        }
        if all || since.elapsed() > STILL {
            return;
        }
        thread::sleep(TICK);
    }
}

/// Waits, with all lcores done, until the devices have sent what they were given. What a device has not sent by then,
/// because its link is down or paused, is counted. What a lost device did is not known.
pub(super) fn transmitted(ports: &mut Ports, forwarded: &mut [Forwarded]) {
    let limit = Instant::now() + DRAIN_LIMIT;
    loop {
        // Models that worked on lcores have nobody else now.
        while ports.steps.iter().any(|step| step()) && Instant::now() < limit {}
        let lost = ports.open.iter().any(|one| one.plugged.device.lost().is_lost());
        let mut left = 0;
        for (one, count) in ports.open.iter_mut().zip(&mut *forwarded).filter(|_| !lost) {
            count.tx_left = count.tx_packets.saturating_sub(one.last_stats().opackets);
            left += count.tx_left;
        }
        if left == 0 || lost || Instant::now() >= limit {
            return;
        }
        thread::sleep(TICK);
    }
}
