//! Pause frames.

use pmd_ixgbe::Config;
use vfio_hal::pmd::{FlowControl, MacAddr};

use crate::bench::{Bench, OWN, PEER, frame};

const PAUSE: MacAddr = MacAddr([0x01, 0x80, 0xc2, 0, 0, 1]);

/// Returns a pause frame for so many times 512 bit times.
fn pause(quanta: u16) -> Vec<u8> {
    let mut frame = [PAUSE.0, PEER.0].concat();
    frame.extend([0x88, 0x08, 0, 1]);
    frame.extend(quanta.to_be_bytes());
    frame.resize(60, 0);
    frame
}

fn bench(flow_control: FlowControl) -> Bench {
    Bench::new(Config { flow_control, rx_ring: 64, drop_enable: Some(false), ..Config::default() })
}

/// Fills ring and packet buffer, at most with so many packets; returns the pause times that came back.
fn flood(bench: &mut Bench, packets: usize) -> Vec<u16> {
    let mut large = frame(OWN);
    large.resize(1514, 0);
    (0..packets).for_each(|_| bench.arrive(&large));
    times(bench)
}

fn times(bench: &mut Bench) -> Vec<u16> {
    let sent = bench.sent();
    assert!(sent.iter().all(|frame| frame[..6] == PAUSE.0 && frame[6..12] == OWN.0));
    sent.iter().map(|frame| u16::from_be_bytes([frame[16], frame[17]])).collect()
}

#[test]
fn received_pauses_stop_transmission_where_that_was_asked_for() {
    for (mode, obeys) in [
        (FlowControl::Off, false),
        (FlowControl::Rx, true),
        (FlowControl::Tx, false),
        (FlowControl::Full, true),
    ] {
        let mut bench = bench(mode);
        bench.arrive(&pause(0xffff));
        assert!(bench.received().is_empty(), "the host does not see it");
        bench.send(&frame(PEER));
        assert_eq!(bench.sent().is_empty(), obeys, "{mode:?}");
        bench.clock.advance(std::time::Duration::from_millis(4));
        bench.settle();
        assert_eq!(bench.sent().len(), usize::from(obeys));
        assert_eq!(bench.xstat("rx_xoff_packets"), 1);
        assert_eq!(bench.port.stats().unwrap().opackets, 1);
    }
}

#[test]
fn a_full_packet_buffer_pauses_the_partner_where_that_was_asked_for() {
    for (mode, sends) in [(FlowControl::Rx, false), (FlowControl::Tx, true)] {
        let mut bench = bench(mode);
        // 497 of 512 KiB is the high level.
        let before = flood(&mut bench, 64 + 330);
        assert!(before.is_empty(), "{before:?}");
        let during = flood(&mut bench, 20);
        assert_eq!(during.first().copied(), sends.then_some(0x680), "{mode:?}");
        let xoff = during.len() as u64;
        while !bench.received().is_empty() {
            bench.settle();
        }
        let after: Vec<u16> = times(&mut bench);
        assert_eq!(after.last().copied(), sends.then_some(0), "go on");
        assert_eq!(bench.xstat("tx_xon_packets"), u64::from(sends));
        assert!(bench.xstat("tx_xoff_packets") >= xoff);
        let stats = bench.port.stats().unwrap();
        assert_eq!((stats.opackets, stats.obytes), (0, 0), "pause frames are no packets sent");
    }
}

#[test]
fn the_mode_changes_while_packets_flow_and_survives_a_restart() {
    let mut bench = bench(FlowControl::Off);
    bench.port.set_flow_control(FlowControl::Rx).unwrap();
    let mut bench = bench.restart();
    bench.arrive(&pause(0xffff));
    bench.send(&frame(PEER));
    assert!(bench.sent().is_empty());
    bench.clock.advance(std::time::Duration::from_millis(4));
    bench.settle();
    assert_eq!(bench.sent().len(), 1);
    bench.port.set_flow_control(FlowControl::Off).unwrap();
    bench.arrive(&pause(0xffff));
    bench.send(&frame(PEER));
    assert_eq!(bench.sent().len(), 1);
}
