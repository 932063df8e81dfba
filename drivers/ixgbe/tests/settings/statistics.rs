//! What was counted.

use pmd_ixgbe::Config;
use pmd_ixgbe::rss::RssConfig;
use vfio_hal::pmd::{MacAddr, PortStats};

use crate::bench::{Bench, OWN, PEER, frame, ipv4};

fn sized(len: usize) -> Vec<u8> {
    let mut frame = frame(OWN);
    frame.resize(len, 0x11);
    frame
}

#[test]
fn packets_and_bytes_balance_without_check_sequences() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(bench.port.stats(), Ok(PortStats::default()));
    let mut bytes = 0;
    for len in [60, 61, 500, 1514] {
        assert!(bench.takes(&sized(len)));
        bytes += len as u64;
    }
    for len in [60, 1000] {
        bench.send(&sized(len));
    }
    assert_eq!(bench.sent().len(), 2);
    let expected =
        PortStats { ipackets: 4, ibytes: bytes, opackets: 2, obytes: 1060, ..PortStats::default() };
    assert_eq!(bench.port.stats(), Ok(expected));
    assert_eq!(bench.port.stats(), Ok(expected), "asking twice counts nothing twice");
    for (name, value) in [
        ("rx_good_packets", 4),
        ("rx_good_bytes", bytes),
        ("tx_good_packets", 2),
        ("tx_good_bytes", 1060),
        ("rx_q0_packets", 4),
        ("rx_q0_bytes", bytes),
        ("tx_q0_packets", 2),
        ("tx_q0_bytes", 1060),
        ("rx_size_64_packets", 1),
        ("rx_size_65_to_127_packets", 1),
        ("rx_size_1024_to_max_packets", 1),
        ("rx_total_packets", 4),
        ("rx_total_bytes", bytes),
        ("rx_priority0_dropped", 0),
    ] {
        assert_eq!(bench.xstat(name), value, "{name}");
    }
}

#[test]
fn sums_survive_a_restart_and_end_with_a_reset() {
    let mut bench = Bench::new(Config::default());
    for round in 1..=3 {
        assert!(bench.takes(&frame(OWN)));
        bench.send(&frame(PEER));
        // Not asked for before it stops: the stop itself gathers them.
        bench = bench.restart();
        let stats = bench.port.stats().unwrap();
        assert_eq!((stats.ipackets, stats.opackets), (round, round));
    }
    bench.port.reset_stats().unwrap();
    assert_eq!(bench.port.stats(), Ok(PortStats::default()));
    assert!(bench.takes(&frame(OWN)));
    assert_eq!(bench.port.stats().unwrap().ipackets, 1);
    assert_eq!(bench.port.full_counters(), 0);
}

#[test]
fn what_is_filtered_is_no_good_packet() {
    let mut bench = Bench::new(Config::default());
    assert!(!bench.takes(&frame(PEER)));
    assert!(bench.takes(&frame(MacAddr::BROADCAST)));
    assert_eq!(bench.port.stats().unwrap().ipackets, 1);
    assert_eq!(bench.xstat("rx_broadcast_packets"), 1);
    assert_eq!(bench.xstat("rx_multicast_packets"), 0);
    assert_eq!(bench.xstat("rx_total_packets"), 2);
}

#[test]
fn a_packet_over_the_mtu_is_an_error_until_the_mtu_grows() {
    let mut bench = Bench::new(Config::default());
    assert!(bench.takes(&sized(1514)) && !bench.takes(&sized(1515)));
    let stats = bench.port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.ierrors), (1, 1));
    assert_eq!(bench.xstat("rx_oversize_errors"), 1);

    bench.port.set_mtu(9000).unwrap();
    assert!(bench.takes(&sized(9014)) && !bench.takes(&sized(9015)), "over several buffers");
    bench = bench.restart();
    assert!(bench.takes(&sized(9014)));
    bench.port.set_mtu(1500).unwrap();
    assert!(!bench.takes(&sized(1515)) && bench.takes(&sized(1514)));
    assert!(bench.port.set_mtu(67).is_err() && bench.port.set_mtu(15_855).is_err());
    assert_eq!(bench.port.info().mtu, 1500);
    bench.port.set_mtu(15_854).unwrap();
    assert!(bench.takes(&sized(15_868)));
}

#[test]
fn drops_for_want_of_descriptors_are_missed_and_have_a_queue() {
    let config = Config { rx_ring: 64, drop_enable: Some(true), ..Config::default() };
    let mut bench = Bench::new(config);
    for _ in 0..100 {
        bench.arrive(&frame(OWN));
    }
    let delivered = bench.received().len() as u64;
    assert!(delivered < 100);
    let stats = bench.port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.imissed), (delivered, 100 - delivered));
    assert_eq!(bench.xstat("rx_q0_errors"), 100 - delivered);
    assert_eq!(bench.xstat("rx_missed_errors"), 100 - delivered);
    assert_eq!(bench.xstat("rx_total_missed_packets"), 0, "the packet buffer was never full");
}

#[test]
fn each_queue_counts_its_own() {
    let rss = Some(RssConfig::default());
    let mut bench = Bench::new(Config { rx_queues: 4, rx_ring: 64, rss, ..Config::default() });
    let mut expected = [0u64; 4];
    for port in 0..40 {
        bench.arrive(&ipv4(6, ([10, 0, 0, 1], port), ([10, 0, 0, 2], 80)));
        let received = bench.received();
        expected[usize::from(received[0].0)] += 1;
    }
    for (queue, expected) in expected.into_iter().enumerate() {
        assert_eq!(bench.xstat(&format!("rx_q{queue}_packets")), expected);
        assert_eq!(bench.xstat(&format!("rx_q{queue}_bytes")), expected * 60);
    }
    assert_eq!(bench.port.stats().unwrap().ipackets, 40);
}

#[test]
fn with_20_queues_the_sum_is_complete_and_each_queue_has_a_number() {
    let mut bench =
        Bench::new(Config { rx_queues: 20, tx_queues: 20, rx_ring: 64, tx_ring: 64, ..Config::default() });
    for _ in 0..5 {
        assert!(bench.takes(&frame(OWN)));
    }
    let mut burst = vfio_hal::dma::pool::Burst::new(1);
    for queue in [3, 17, 19] {
        let mut buf = bench.cache.alloc().unwrap();
        assert!(buf.fill(&frame(PEER)) && burst.push(buf).is_ok());
        assert_eq!(bench.tx[queue].tx_burst(&mut bench.cache, &mut burst), Ok(1));
    }
    bench.settle();
    let stats = bench.port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.opackets), (5, 3));
    for (name, value) in [
        ("rx_q0_packets", 5),
        ("rx_q19_packets", 0),
        ("tx_q3_packets", 1),
        ("tx_q16_packets", 0),
        ("tx_q17_packets", 1),
        ("tx_q17_bytes", 60),
        ("tx_q19_packets", 1),
    ] {
        assert_eq!(bench.xstat(name), value, "{name}");
    }
    bench.port.reset_stats().unwrap();
    for name in ["rx_q0_packets", "tx_q3_packets", "tx_q17_packets", "tx_q17_bytes"] {
        assert_eq!(bench.xstat(name), 0, "{name}");
    }
}
