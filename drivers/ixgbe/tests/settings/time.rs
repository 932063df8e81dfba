//! The device's clock, and the times of PTP packets.

use std::time::Duration;

use pmd_ixgbe::{Config, Stamp};
use vfio_hal::dma::pool::{Burst, TxFlags};
use vfio_hal::pmd::{FlowAction, FlowPattern, FlowRule, PortError};

use crate::bench::{Bench, OWN, PEER, frame};

fn bench() -> Bench {
    let mut bench = Bench::new(Config { rx_ring: 64, ..Config::default() });
    bench.port.enable_time_sync().unwrap();
    bench
}

/// A PTP version 2 message over Ethernet.
fn ptp(message: u8, sequence: u16) -> Vec<u8> {
    let mut frame = [OWN.0, PEER.0].concat();
    frame.extend([0x88, 0xf7, message, 2]);
    frame.resize(60, 0);
    frame[44..46].copy_from_slice(&sequence.to_be_bytes());
    frame
}

const SYNC: u8 = 0;

fn near(time: Duration, expected: Duration) -> bool {
    time.abs_diff(expected) <= Duration::from_nanos(10)
}

fn send_timed(bench: &mut Bench) {
    let mut burst = Burst::new(1);
    let mut buf = bench.cache.alloc().unwrap();
    assert!(buf.fill(&ptp(SYNC, 1)));
    buf.set_tx_flags(TxFlags::TIMESTAMP);
    assert!(burst.push(buf).is_ok());
    assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), Ok(1));
    bench.settle();
}

#[test]
fn the_clock_starts_at_0_and_goes_with_real_time() {
    let mut bench = bench();
    assert!(near(bench.port.time().unwrap(), Duration::ZERO));
    for _ in 0..3 {
        // The hardware's count goes round after 2.4 hours.
        let before = bench.port.time().unwrap();
        bench.clock.advance(Duration::from_secs(3600));
        let passed = bench.port.time().unwrap() - before;
        assert!(passed.abs_diff(Duration::from_secs(3600)) < Duration::from_micros(300), "{passed:?}");
    }
}

#[test]
fn a_received_ptp_packet_has_a_time_and_the_next_waits_until_it_was_read() {
    let mut bench = bench();
    assert_eq!(bench.port.rx_timestamp(), Ok(None));
    bench.clock.advance(Duration::from_millis(2));
    let before = bench.port.time().unwrap();
    bench.arrive(&ptp(SYNC, 0x1234));
    bench.arrive(&ptp(SYNC, 0x1235));
    let after = bench.port.time().unwrap();
    let Stamp { time, sequence } = bench.port.rx_timestamp().unwrap().expect("a time");
    assert_eq!(sequence, 0x1234);
    assert!(before <= time && time < after, "{before:?} {time:?} {after:?}");
    assert_eq!(bench.port.rx_timestamp(), Ok(None));
    bench.arrive(&frame(OWN));
    assert_eq!(bench.port.rx_timestamp(), Ok(None), "not PTP");
    bench.arrive(&ptp(SYNC, 0x1236));
    assert_eq!(bench.port.rx_timestamp().unwrap().unwrap().sequence, 0x1236);
    assert_eq!(bench.received().len(), 4, "all of them are packets, too");
}

#[test]
fn a_sent_packet_has_a_time_if_it_asks_for_one() {
    let mut bench = bench();
    bench.send(&ptp(SYNC, 1));
    assert_eq!(bench.port.tx_timestamp(), Ok(None));
    let before = bench.port.time().unwrap();
    send_timed(&mut bench);
    let time = bench.port.tx_timestamp().unwrap().expect("a time");
    assert!(before <= time && time < bench.port.time().unwrap());
    assert_eq!(bench.port.tx_timestamp(), Ok(None));
    assert_eq!(bench.sent().len(), 2);
}

#[test]
fn the_clock_can_be_moved_both_ways() {
    let mut bench = bench();
    bench.clock.advance(Duration::from_secs(1));
    let start = bench.port.time().unwrap();
    bench.port.adjust_time(2_000_000_000).unwrap();
    assert!(near(bench.port.time().unwrap(), start + Duration::from_secs(2)));
    bench.port.adjust_time(-2_500_000_000 / 2).unwrap();
    assert!(near(bench.port.time().unwrap(), start + Duration::from_millis(750)));
    let refused = bench.port.adjust_time(i64::MIN);
    assert!(matches!(refused, Err(PortError::OutOfRange { .. })));
    bench.arrive(&ptp(SYNC, 9));
    let stamp = bench.port.rx_timestamp().unwrap().unwrap();
    assert!(stamp.time >= start + Duration::from_millis(750), "{stamp:?}");
}

#[test]
fn off_is_off_also_after_a_restart() {
    let off = |result: Result<Duration, PortError>| matches!(result, Err(PortError::Invalid { .. }));
    let mut bench = Bench::new(Config::default());
    assert!(off(bench.port.time()));
    assert!(matches!(bench.port.adjust_time(1), Err(PortError::Invalid { .. })));
    bench.port.enable_time_sync().unwrap();
    bench.port.disable_time_sync().unwrap();
    bench.arrive(&ptp(SYNC, 1));
    assert!(matches!(bench.port.rx_timestamp(), Err(PortError::Invalid { .. })));
    bench.port.enable_time_sync().unwrap();
    let mut bench = bench.restart();
    assert!(off(bench.port.time()));
    bench.port.enable_time_sync().unwrap();
    assert_eq!(bench.port.rx_timestamp(), Ok(None));
}

#[test]
fn ptp_packets_can_have_a_queue_as_well() {
    let mut bench = Bench::new(Config { rx_queues: 4, rx_ring: 64, ..Config::default() });
    let rule = FlowRule::new(FlowPattern::EtherType(0x88f7), FlowAction::Queue(3));
    let id = bench.port.add_flow(&rule).unwrap();
    bench.port.enable_time_sync().unwrap();
    bench.arrive(&ptp(SYNC, 5));
    assert_eq!(bench.received()[0].0, 3);
    assert_eq!(bench.port.rx_timestamp().unwrap().unwrap().sequence, 5);
    bench.port.remove_flow(id).unwrap();
    bench.arrive(&ptp(SYNC, 6));
    assert_eq!(bench.received()[0].0, 0);
    assert_eq!(bench.port.rx_timestamp().unwrap().unwrap().sequence, 6);
    // Filters are for all of eight; this one counts.
    for n in 0..7 {
        bench
            .port
            .add_flow(&FlowRule::new(FlowPattern::EtherType(0x9000 + n), FlowAction::Queue(0)))
            .unwrap();
    }
    bench.port.disable_time_sync().unwrap();
    bench.port.add_flow(&rule).unwrap();
    bench.port.enable_time_sync().unwrap();
}
