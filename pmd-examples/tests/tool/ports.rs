//! Queues, lcores, rings, buffers, models, idle policies: however a port is set up, packets come through.

use std::collections::BTreeMap;

use super::frames::{OTHER, PEER, PORT0, many, udp, udp_id};
use super::pcap::Files;
use super::support::{forward, number, text};

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Two lcores where there are two cores.
fn lcores() -> &'static str {
    if cores() > 1 { "-l 0-1" } else { "" }
}

#[test]
fn no_options_forward_generated_traffic() {
    let report = forward("--duration 1");
    for port in 0..2 {
        let count = |name: &str| number(&report, &format!("/ports/{port}/{name}"));
        assert!(count("forwarded/rx_packets") > 1_000, "{report:#}");
        assert_eq!(count("forwarded/rx_packets"), count("link_rx_frames"));
        assert_eq!(count("forwarded/tx_packets"), count("link_tx_frames"));
        assert_eq!((count("spoiled"), count("forwarded/tx_dropped"), count("stats/imissed")), (0, 0, 0));
    }
}

/// Each flow in order, all packets there, and every queue used.
#[test]
fn rss_spreads_flows_over_queues_and_keeps_each_in_order() {
    let frames: Vec<_> = (0..4_000).map(|number| udp(number as u16 % 64, number, 40)).collect();
    for more in ["", "--models threads"] {
        let files = Files::new(&frames);
        let args = format!("{} --rxq 4 --txq 4 {} --xstats {more}", files.one_port(), lcores());
        let report = forward(&args);
        let mut flows: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for frame in files.out() {
            let (flow, number) = udp_id(&frame);
            flows.entry(flow).or_default().push(number);
        }
        assert_eq!(flows.len(), 64);
        for (flow, numbers) in flows {
            assert_eq!(
                numbers,
                (0..4_000).filter(|number| number % 64 == u32::from(flow)).collect::<Vec<_>>()
            );
        }
        let of = |queue| number(&report, &format!("/ports/0/xstats/rx_q{queue}_packets"));
        let queues: Vec<u64> = (0..4).map(of).collect();
        assert!(queues.iter().all(|&packets| packets > 0), "{queues:?}");
        assert_eq!(queues.iter().sum::<u64>(), 4_000);
        assert_eq!(report["lcores"].as_array().unwrap().len(), cores().min(2));
    }
}

#[test]
fn without_rss_the_first_queue_gets_all() {
    let files = Files::new(&many(200));
    let report = forward(&format!("{} --rxq 4 --txq 4 --disable-rss --xstats", files.one_port()));
    assert_eq!(number(&report, "/ports/0/xstats/rx_q0_packets"), 200);
}

#[test]
fn more_queues_than_rss_has_work_without_it() {
    let files = Files::new(&many(50));
    forward(&format!("{} --rxq 64 --txq 64 --rxd 64 --txd 64 --disable-rss", files.one_port()));
    assert_eq!(files.out().len(), 50);
}

#[test]
fn bursts_rings_and_buffers_of_every_size() {
    let frames = many(700);
    for more in [
        "--burst 1",
        "--burst 512",
        "--rxd 64 --txd 64",
        "--rxd 4096 --txd 4096",
        "--rxd 64 --txd 4096 --burst 128",
        "--mbuf-size 1024",
        "--mbuf-size 16384",
        "--no-huge",
        "--total-num-mbufs 20000",
    ] {
        let files = Files::new(&frames);
        forward(&format!("{} {more}", files.one_port()));
        assert!(files.out() == frames, "{more}");
    }
}

#[test]
fn jumbo_frames_over_several_buffers() {
    let frames: Vec<_> = (0..40).map(|number| udp(1, number, 9_014 - 42 - number as usize * 100)).collect();
    let files = Files::new(&frames);
    forward(&format!("{} --max-pkt-len 9018 --mbuf-size 2048", files.one_port()));
    assert!(files.out() == frames);
}

#[test]
fn every_idle_policy_forwards() {
    let frames = many(300);
    for policy in ["spin", "pause", "yield", "interrupt"] {
        let files = Files::new(&frames);
        forward(&format!("{} --models threads --idle {policy}", files.one_port()));
        assert!(files.out() == frames, "{policy}");
        if policy != "interrupt" {
            forward(&format!("{} --idle {policy}", files.one_port()));
            assert!(files.out() == frames, "{policy}, inline");
        }
    }
}

/// 200 frames a second: between two of them there is nothing to do but wait, on each of four queues.
#[test]
fn policy_interrupt_sleeps_between_packets() {
    let args = "--vdev net_ixgbe0,link=gen,rate=200,count=100,flows=64 --models threads --idle interrupt --rxq 4 --txq 4";
    let report = forward(args);
    assert_eq!(number(&report, "/total/tx_packets"), 100);
    let (waits, interrupts) = (number(&report, "/lcores/0/waits"), number(&report, "/lcores/0/interrupts"));
    // On a busy machine one interrupt may stand for several packets.
    assert!(interrupts >= 10 && interrupts <= waits, "{report:#}");
    assert_eq!(number(&report, "/ports/0/spoiled"), 0);
}

#[test]
fn without_promiscuous_mode_packets_for_others_are_filtered_and_counted() {
    let mut frames = many(30);
    for frame in frames.iter_mut().step_by(3) {
        frame[..6].copy_from_slice(&PORT0);
    }
    let files = Files::new(&frames);
    let report = forward(&format!("{} --no-promiscuous", files.one_port()));
    let own: Vec<_> = frames.iter().step_by(3).cloned().collect();
    assert_eq!(files.out(), own);
    assert_eq!(number(&report, "/ports/0/filtered"), 20);
    assert!(frames[1][..6] == OTHER && frames[1][6..12] == PEER);
}

/// What a bad cable does to packets it does outside of the port: the totals balance all the same.
#[test]
fn bad_cables_balance_too() {
    let link = "gen,count=20000,flows=8,loss=1%,dup=1%,reorder=1%,corrupt=1%,seed=3";
    let report = forward(&format!("--vdev net_ixgbe0,link={link}"));
    assert!(number(&report, "/ports/0/spoiled") > 0);
}

#[test]
fn two_ports_joined_by_a_cable_pass_packets() {
    let report = forward(
        "--vdev net_ixgbe0,link=pair,id=x --vdev net_ixgbe1,link=pair,id=x --forward-mode txonly --duration 300ms",
    );
    // Nothing is received in this mode: what the other port's buffer cannot hold waits on the cable.
    assert!(number(&report, "/total/tx_packets") > 0);
}

#[test]
fn links_and_parts_can_be_chosen() {
    for device in ["part=kx4", "module=lr", "module=dac", "part=sfp,module=sr"] {
        let report = forward(&format!("--vdev net_ixgbe0,{device},link=gen,count=100"));
        assert_eq!(number(&report, "/total/tx_packets"), 100);
    }
}

#[test]
fn a_capture_may_be_played_again_and_again() {
    let files = Files::new(&many(10));
    let port = format!("--vdev net_pcap0,rx_pcap={},infinite_rx=1", text(&files.path("in.pcap")));
    let report = forward(&format!("{port} --duration 1"));
    assert!(number(&report, "/total/tx_packets") > 20);
}

#[test]
fn gen_finds_every_packet_again() {
    for args in ["", "--traffic size=imix,count=5000,flows=9,vlan=7", "--models threads --traffic count=1000"]
    {
        let ran = super::support::run(&format!("gen --json --duration 500ms {args}"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let (sent, good) = (number(&report, "/sent"), number(&report, "/good"));
        assert!(sent > 0 && sent == good, "{args}: {report:#}");
        assert_eq!(number(&report, "/received"), sent);
    }
}

#[test]
fn dump_writes_what_is_received() {
    let frames = many(100);
    let files = Files::new(&frames);
    let (rx, out) = (files.path("in.pcap"), files.path("out.pcap"));
    let args = format!("dump --vdev net_pcap0,rx_pcap={} -w {} -c 60", text(&rx), text(&out));
    let ran = super::support::run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("60 packets written"), "{}", ran.stdout);
    assert_eq!(files.out(), frames[..60]);
}
