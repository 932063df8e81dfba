//! Several queues, RSS, and traffic that fills rings.

use alloc::vec::Vec;

use pmd_igb::Config;
use pmd_igb::rss::{HashTypes, Redirection, RssConfig, RssKey};
use vfio_hal::dma::pool::{Burst, MAGAZINE};
use vfio_hal::pmd::FlowControl;

use super::frames::{self, Flow, TCP, UDP};
use super::{Bench, Checked, Group, ensure};
use crate::ping::{receive_error, send_error};

/// Four queues with RSS.
pub(super) const RSS: Group = Group {
    configs: || {
        let types = HashTypes::default() | HashTypes::UDP_IPV4;
        let rss = Some(RssConfig { types, ..RssConfig::default() });
        [Config::default(), Config { rx_queues: 4, rss, ..Config::default() }]
    },
    checks: &[
        ("rss_hash_and_queue", rss_hash_and_queue),
        ("rss_table_changes_under_traffic", rss_table_changes_under_traffic),
        ("rss_key_and_types_change", rss_key_and_types_change),
    ],
};

/// As many queues as there are.
pub(super) const ALL: Group = Group {
    configs: || {
        let all = Config { rx_queues: 16, tx_queues: 16, rx_ring: 128, tx_ring: 128, ..Config::default() };
        [all.clone(), Config { rss: Some(RssConfig::default()), ..all }]
    },
    checks: &[("sixteen_queues_each_way", sixteen_queues_each_way)],
};

/// The smallest rings.
pub(super) const SMALL: Group = Group {
    configs: || {
        let small = Config { rx_ring: 64, tx_ring: 64, ..Config::default() };
        [small.clone(), small]
    },
    checks: &[
        ("bursts_without_loss", bursts_without_loss),
        ("a_full_ring_recovers", a_full_ring_recovers),
        ("a_queue_stops_and_starts", a_queue_stops_and_starts),
        ("statistics_balance", statistics_balance),
        ("flow_control_is_negotiated", flow_control_is_negotiated),
    ],
};

/// The first flows of Microsoft's verification suite for its key, with the hashes over addresses and ports, and over
/// addresses.
const SUITE: [(Flow, u32, u32); 3] = [
    (Flow { from: ([66, 9, 149, 187], 2794), to: ([161, 142, 100, 80], 1766) }, 0x51cc_c178, 0x323e_8fc2),
    (Flow { from: ([199, 92, 111, 2], 14230), to: ([65, 69, 140, 83], 4739) }, 0xc626_b0ea, 0xd718_262a),
    (Flow { from: ([24, 19, 198, 95], 12898), to: ([12, 22, 207, 184], 38024) }, 0x5c2b_394a, 0xd2d0_a5de),
];

fn segment(bench: &Bench, flow: Flow, protocol: u8) -> Vec<u8> {
    let mut frame = frames::ipv4(bench.b.mac(), bench.a.mac(), flow, protocol, &[0; 20]);
    frames::finish(&mut frame);
    frame
}

fn rss_hash_and_queue(bench: &mut Bench) -> Checked {
    for (flow, hash, _) in SUITE {
        for protocol in [TCP, UDP] {
            let frame = segment(bench, flow, protocol);
            let seen = bench.pass(&frame)?;
            ensure!(seen.hash == Some(hash), "the hash is {:x?}, not {hash:x}", seen.hash);
            ensure!(seen.queue == hash as usize % 128 % 4, "it came on queue {}", seen.queue);
        }
    }
    // What has no hash comes on the first queue.
    let plain = bench.frame(64, 0);
    let seen = bench.pass(&plain)?;
    ensure!(seen.hash.is_none() && seen.queue == 0, "{:?} on queue {}", seen.hash, seen.queue);
    // Many flows are spread over all queues, each on one.
    let mut counts = [0; 4];
    for port in 0..256u16 {
        let flow = Flow { from: ([10, 0, 0, 1], port), to: ([10, 0, 0, 2], 80) };
        let frame = segment(bench, flow, TCP);
        counts[bench.pass(&frame)?.queue] += 1;
    }
    ensure!(counts.iter().all(|count| *count > 32), "256 flows came as {counts:?}");
    Ok(())
}

fn rss_table_changes_under_traffic(bench: &mut Bench) -> Checked {
    let (flow, hash, _) = SUITE[0];
    let frame = segment(bench, flow, TCP);
    let entry = (hash % 128) as u16;
    for queue in [3, 1, 0, 2] {
        bench.b.port.update_rss_table(entry, &[queue])?;
        let table = bench.b.port.rss_table()?;
        ensure!(table.len() == 128 && table[usize::from(entry)] == queue, "the table was not taken");
        let seen = bench.pass(&frame)?;
        ensure!(seen.queue == usize::from(queue), "queue {} instead of {queue}", seen.queue);
    }
    ensure!(bench.b.port.update_rss_table(entry, &[4]).is_err(), "there is no queue 4");
    ensure!(bench.b.port.update_rss_table(127, &[0, 0]).is_err(), "there is no entry 128");
    Ok(())
}

fn rss_key_and_types_change(bench: &mut Bench) -> Checked {
    let (flow, _, addresses) = SUITE[1];
    let only = RssConfig { types: HashTypes::IPV4, ..RssConfig::default() };
    bench.b.port.set_rss(&only)?;
    ensure!(bench.b.port.rss_types()? == HashTypes::IPV4, "the types were not taken");
    let frame = segment(bench, flow, TCP);
    let seen = bench.pass(&frame)?;
    ensure!(seen.hash == Some(addresses), "the hash over addresses is {:x?}", seen.hash);

    // Both directions of a flow are one with the symmetric key.
    let symmetric = RssConfig {
        key: RssKey::SYMMETRIC,
        redirection: Redirection::Table((0..128).map(|entry| entry / 32).collect()),
        ..RssConfig::default()
    };
    bench.b.port.set_rss(&symmetric)?;
    ensure!(bench.b.port.rss_key()? == RssKey::SYMMETRIC, "the key was not taken");
    for (Flow { from, to }, ..) in SUITE {
        let there = segment(bench, Flow { from, to }, TCP);
        let back = segment(bench, Flow { from: to, to: from }, TCP);
        let (there, back) = (bench.pass(&there)?, bench.pass(&back)?);
        ensure!(there.hash.is_some() && there.hash == back.hash, "{:x?} and {:x?}", there.hash, back.hash);
        ensure!(there.queue == back.queue, "queues {} and {}", there.queue, back.queue);
        let entry = there.hash.unwrap_or(0) as usize % 128;
        ensure!(there.queue == entry / 32, "entry {entry} gives queue {}", there.queue);
    }
    let wrong = RssConfig { types: HashTypes::SCTP_IPV4, ..RssConfig::default() };
    ensure!(bench.b.port.set_rss(&wrong).is_err(), "the device has no hash over SCTP ports");
    Ok(())
}

fn sixteen_queues_each_way(bench: &mut Bench) -> Checked {
    let mut counts = [0; 16];
    for port in 0..512u16 {
        let flow = Flow { from: ([10, 0, 0, 1], port), to: ([10, 0, 0, 2], 80) };
        let frame = segment(bench, flow, TCP);
        let buf = bench.buf(&frame)?;
        bench.send_on(usize::from(port) % 16, buf)?;
        let seen = bench.receive(1)?;
        ensure!(seen.len() == 1 && seen[0].bytes == frame, "a frame from queue {} did not come", port % 16);
        counts[seen[0].queue] += 1;
    }
    ensure!(counts.iter().all(|count| *count > 8), "512 flows came as {counts:?}");
    Ok(())
}

/// Sends `count` frames of 64 bytes and more (shorter ones are in no class of the model by size) in bursts and receives as it goes; returns how many came, in order.
fn flood(bench: &mut Bench, count: usize) -> Result<usize, super::Wrong> {
    let (mut sent, mut came) = (0, 0);
    let (mut out, mut back) = (Burst::new(MAGAZINE), Burst::new(MAGAZINE));
    let mut idle = 0;
    while came < count && idle < 10_000 {
        while sent < count && out.len() < 32 {
            let frame = bench.frame(64 + sent % 1400, sent);
            let buf = bench.buf(&frame)?;
            if out.push(buf).is_err() {
                break;
            }
            sent += 1;
        }
        if !out.is_empty() {
            bench.a.tx[0].tx_burst(&mut bench.cache, &mut out).map_err(send_error)?;
        }
        bench.b.rx[0].rx_burst(&mut bench.cache, &mut back).map_err(receive_error)?;
        idle += 1;
        while let Some(buf) = back.take() {
            let frame = frames::plain(bench.b.mac(), bench.a.mac(), 64 + came % 1400, came);
            ensure!(buf.data() == frame, "frame {came} is another one, or changed");
            bench.cache.free(buf);
            (came, idle) = (came + 1, 0);
        }
    }
    Ok(came)
}

fn bursts_without_loss(bench: &mut Bench) -> Checked {
    let came = flood(bench, 20_000)?;
    ensure!(came == 20_000, "{came} of 20000 frames came");
    Ok(())
}

fn a_full_ring_recovers(bench: &mut Bench) -> Checked {
    for round in 0..5 {
        // Nobody looks: the ring takes what it has descriptors for, and the device drops the rest.
        for seed in 0..200 {
            let frame = bench.frame(60, seed);
            bench.send(&frame)?;
        }
        let seen = bench.receive(0)?;
        ensure!((60..200).contains(&seen.len()), "round {round}: {} frames were kept", seen.len());
        let frame = bench.frame(600, round);
        let seen = bench.pass(&frame)?;
        ensure!(seen.bytes == frame, "round {round}: the queue does not go on");
    }
    Ok(())
}

fn a_queue_stops_and_starts(bench: &mut Bench) -> Checked {
    let home = |bench: &mut Bench| {
        bench.cache.flush();
        bench.pool.available()
    };
    for round in 0..10 {
        let before = home(bench);
        bench.b.rx[0].stop()?;
        let stopped = home(bench);
        ensure!(stopped == before + 64, "{} buffers came home from the receive ring", stopped - before);
        let frame = bench.frame(200, round);
        bench.lose(&frame)?;
        bench.a.tx[0].stop()?;
        let refused = bench.send(&frame);
        ensure!(refused.is_err(), "a stopped queue sends");
        bench.a.tx[0].start()?;
        bench.b.rx[0].start()?;
        // QEMU keeps what comes while no queue is there to take it, and delivers it now.
        bench.send(&frame)?;
        let seen = bench.receive(2)?;
        ensure!(seen.iter().any(|seen| seen.bytes == frame), "round {round}: the queues do not go on");
    }
    Ok(())
}

fn statistics_balance(bench: &mut Bench) -> Checked {
    bench.a.port.reset_stats()?;
    bench.b.port.reset_stats()?;
    let came = flood(bench, 3_000)?;
    let bytes: u64 = (0..3_000).map(|number| 64 + number % 1400).sum();
    let (sent, received) = (bench.a.port.stats()?, bench.b.port.stats()?);
    ensure!(came == 3_000, "{came} of 3000 frames came");
    ensure!((sent.opackets, sent.obytes) == (3_000, bytes), "sent: {sent:?}");
    ensure!((received.ipackets, received.ibytes) == (3_000, bytes), "received: {received:?}");
    ensure!((received.imissed, received.ierrors, sent.oerrors) == (0, 0, 0), "errors: {received:?} {sent:?}");
    let (mut names, mut sum, mut queue) = (Vec::new(), 0, 0);
    bench.b.port.xstats(&mut |name, value| {
        names.push(alloc::string::String::from(name));
        if name.starts_with("rx_size_") {
            sum += value;
        }
        if name == "rx_q0_packets" {
            queue = value;
        }
    })?;
    ensure!((sum, queue) == (3_000, 3_000), "by size {sum}, of the queue {queue}");
    let count = names.len();
    names.sort();
    names.dedup();
    ensure!(names.len() == count && count == 8 + 5 + 51, "{count} statistics, {} names", names.len());
    Ok(())
}

fn flow_control_is_negotiated(bench: &mut Bench) -> Checked {
    let plain = bench.frame(100, 0);
    for mode in [FlowControl::Full, FlowControl::Tx, FlowControl::Rx, FlowControl::Off] {
        bench.b.port.set_flow_control(mode)?;
        bench.pass(&plain)?;
    }
    bench.b.port.set_drop_enable(Some(true))?;
    bench.pass(&plain)?;
    bench.b.port.set_drop_enable(None)?;
    Ok(())
}
