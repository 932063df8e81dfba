//! What the tool says: help, rates, statistics, memory, lcores.

use serde_json::Value;

use super::support::{number, pmd, run};

#[test]
fn help_is_whole() {
    let ran = run("--help");
    assert_eq!(ran.code, Some(0));
    for command in ["fwd", "gen", "dump", "info", "bind", "unbind", "status", "hugepages", "doctor"] {
        assert!(ran.stdout.contains(&format!("\n  {command} ")), "{}", ran.stdout);
        let help = run(&format!("{command} --help"));
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        assert!(help.stdout.contains("Usage: pmd "));
    }
    let help = run("fwd --help").stdout;
    for word in ["net_tapN", "rx_pcap=FILE", "  pair ", "icmpecho", "--idle", "Answer ARP", "probabilities"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    assert!(run("--version").stdout.starts_with("pmd "));
}

#[test]
fn without_a_command_there_is_help() {
    let ran = run("");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("Usage: pmd"), "{}", ran.stderr);
}

#[test]
fn a_bare_double_dash_is_passed_over_as_with_dpdk() {
    let ran = run("fwd --vdev net_ixgbe0,link=gen,count=10 -- --forward-mode rxonly");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("RX-packets: 10 "));
}

#[test]
fn live_rates_come_as_often_as_asked() {
    let lines = |period: &str| {
        let ran = run(&format!("fwd --duration 700ms --stats-period {period}"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout.lines().filter(|line| line.contains(" pps ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines("0"), Vec::<String>::new());
    let some = lines("100ms");
    assert!((2..=14).contains(&some.len()), "{some:?}");
    assert!(some[0].starts_with("port 0  RX ") && some[1].starts_with("port 1  RX "), "{some:?}");
    assert!(some.iter().all(|line| line.contains("bit/s") && line.contains("RX-dropped ")), "{some:?}");
}

#[test]
fn json_is_alone_on_standard_output() {
    let ran = run("fwd --duration 300ms --stats-period 50ms --json --xstats");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(ran.stderr.contains(" pps "), "{}", ran.stderr);
    let of = |name: &str| number(&report, &format!("/ports/0/xstats/{name}"));
    assert_eq!(of("rx_good_packets"), number(&report, "/ports/0/stats/ipackets"));
    assert_eq!(of("rx_q0_packets"), of("rx_good_packets"));
    assert!(report["seconds"].as_f64().unwrap() >= 0.3);
    assert!(report.get("error").is_none());
}

#[test]
fn memory_lcores_and_ports_are_said() {
    let ran = run("fwd --duration 100ms --no-huge -l 0 --rxq 2 --txq 2");
    let says = |words: &str| assert!(ran.stderr.contains(words), "no \"{words}\" in {}", ran.stderr);
    says("buffers of 2048 bytes in ");
    says("pages of 4 KiB");
    says("port 1: net_ixgbe1, net_ixgbe, MAC 02:82:59:90:00:01, link up, 10 Gbps full-duplex");
    says(
        "lcore on core 0: port 0 queue 0 -> port 1 queue 0, port 0 queue 1 -> port 1 queue 1, port 1 queue 0 -> ",
    );
}

/// A model on its own thread fills a ring of 64 faster than a lcore that takes one packet at a time empties it.
#[test]
fn missed_packets_are_shown_as_dropped() {
    let ran = run("fwd --models threads --enable-drop-en --rxd 64 --burst 1 --duration 500ms");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let numbers = |line: &str| {
        let digits = line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
        digits.collect::<Vec<u64>>()
    };
    let rows: Vec<_> = ran.stdout.lines().filter(|line| line.contains("RX-packets:")).map(numbers).collect();
    assert_eq!(rows.len(), 3, "{}", ran.stdout);
    assert!(rows[2][1] > 0, "nothing was missed: {rows:?}");
    for row in &rows {
        assert_eq!(row[0] + row[1], row[2], "packets and dropped make the total");
    }
    assert_eq!(rows[0][1] + rows[1][1], rows[2][1]);
    assert!(ran.stdout.contains(": balanced"));
}

#[test]
fn info_shows_ports() {
    let ran = run("info --vdev net_ixgbe0,mac=02:00:00:00:00:07,link=sink --vdev net_ixgbe1 --xstats");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for words in
        ["port 0: net_ixgbe0", "02:00:00:00:00:07", "port 1: net_ixgbe1", "up, 10 Gbps", "rx_good_packets: 0"]
    {
        assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
    }
    let ran = run("info --json --xstats --vdev net_ixgbe0");
    let ports: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(number(&ports, "/0/max_rss_queues"), 16);
    assert_eq!(ports[0]["link_up"], true);
    assert!(ports[0]["xstats"].as_object().unwrap().len() > 100);
}

#[test]
fn doctor_names_every_check() {
    let ran = run("doctor --json");
    assert_eq!(ran.code, Some(0));
    let checks: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(checks.as_array().unwrap().len() >= 6);
    assert!(run("doctor").stdout.contains("hugepages"));
}

#[test]
fn the_tracer_names_registers() {
    let output = pmd("info --trace-mmio --vdev net_ixgbe0").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("CTRL") && text.contains("STATUS"), "{text}");
}
