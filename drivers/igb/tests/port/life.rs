//! A port's life: what it tells the device, in which order, and what comes back.

use pmd_igb::regs::{CTRL, CTRL_EXT, MRQC, RCTL, RDT, RXDCTL, SRRCTL, TCTL, TDT, TXDCTL};
use pmd_igb::{Failed, StopFailed};
use vfio_hal::pmd::PortError;
use vfio_hal::regs::Register;
use vfio_hal::testing::Access;

use crate::board::{Board, I350, burst_of, queues, small};

/// Returns when a register was written first with a value that is right.
fn first<R: Register>(log: &[Access], index: usize, right: impl Fn(R) -> bool) -> usize {
    let at = R::INFO.offset(index).unwrap();
    log.iter()
        .position(|access| {
            matches!(access, Access::Write { offset, value, .. } if *offset == at && right(R::from_raw(*value)))
        })
        .unwrap_or_else(|| panic!("{} was not written so", R::NAME))
}

#[test]
fn queues_are_enabled_before_their_tails_and_receive_comes_last() {
    let board = Board::new();
    let configured = board.configure(queues(2, 2));
    board.chip.registers().take_log();
    let started = configured.start().unwrap();
    let log = board.chip.registers().take_log();
    let reset = first(&log, 0, CTRL::rst);
    let send = first(&log, 0, TCTL::en);
    let receive = first(&log, 0, RCTL::rxen);
    for queue in 0..2 {
        let enable = first(&log, queue, RXDCTL::enable);
        let tail = first(&log, queue, |rdt: RDT| rdt.rdt() == 63);
        assert!(reset < enable && enable < tail && tail < receive);
        assert!(send < first(&log, queue, TXDCTL::enable));
        let srrctl = board.get::<SRRCTL>(queue);
        assert_eq!((srrctl.bsizepacket(), srrctl.desctype(), srrctl.drop_en()), (2, 1, true));
    }
    assert_eq!(board.get::<TDT>(0).tdt(), 0);
    assert!(board.get::<CTRL_EXT>(0).drv_load() && board.get::<CTRL>(0).slu());
    assert!(board.chip.config()[4] & 6 == 6, "memory and bus master are on");
    board.stop(started);
    board.assert_home();
}

#[test]
fn a_port_may_start_again_and_again() {
    let board = Board::new();
    let mut configured = board.configure(small());
    for round in 0..5 {
        let mut started = configured.start().unwrap();
        assert!(board.receive(0, &[round; 60], 2048, [0, 0]));
        let mut cache = board.pool.cache();
        let packets = crate::board::take(&mut started.rx[0], &mut cache);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].data(), [round; 60]);
        let mut burst = burst_of(packets);
        assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst).unwrap(), 1);
        assert_eq!(board.transmit(0).len(), 1);
        drop(cache);
        configured = board.stop(started);
        board.assert_home();
        assert!(!board.get::<RCTL>(0).rxen() && !board.get::<RXDCTL>(0).enable());
    }
    let other = configured.unconfigure().configure(&board.space, &board.pool, queues(4, 1)).unwrap();
    board.stop(other.start().unwrap());
    board.assert_home();
}

#[test]
fn what_was_not_sent_comes_home_when_the_port_stops() {
    let board = Board::new();
    let mut started = board.start(small());
    let mut cache = board.pool.cache();
    let mut burst = burst_of((0..20).map(|number| board.buf(&[number; 80])));
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst).unwrap(), 20);
    drop(cache);
    board.stop(started);
    board.assert_home();
}

#[test]
fn a_stop_wants_all_queues_and_no_others() {
    let board = Board::new();
    let mut started = board.start(queues(2, 1));
    let kept = started.rx.pop().unwrap();
    let Failed { error, back } = started.port.stop(started.rx, started.tx).unwrap_err();
    assert_eq!(error, PortError::QueuesMissing { missing: 1 });
    let StopFailed::Running(mut started) = back else { panic!("it must run on") };
    started.rx.push(kept);

    let other = Board::new();
    let foreign = other.start(small());
    started.rx.extend(foreign.rx);
    let Failed { error, back } = started.port.stop(started.rx, started.tx).unwrap_err();
    assert!(matches!(error, PortError::Invalid { .. }), "{error}");
    let StopFailed::Running(mut started) = back else { panic!("it must run on") };
    let foreign_rx = started.rx.split_off(2);
    board.stop(*started);
    board.assert_home();
    foreign.port.stop(foreign_rx, foreign.tx).unwrap();
    other.assert_home();
}

#[test]
fn a_running_port_that_is_dropped_leaks_what_the_device_may_use() {
    let board = Board::new();
    let started = board.start(small());
    drop(started);
    assert_eq!(board.pool.leaked(), 64);
    assert_eq!(board.pool.available() + board.pool.leaked(), board.pool.capacity());
}

#[test]
fn a_restart_keeps_the_statistics() {
    let board = Board::new();
    let mut started = board.start(small());
    board.registers().write32(0x4074, 5);
    assert_eq!(started.port.stats().unwrap().ipackets, 5);
    let mut started = started.port.restart(started.rx, started.tx).unwrap();
    assert_eq!(started.port.stats().unwrap().ipackets, 5);
    board.stop(started);
    board.assert_home();
}

#[test]
fn an_i350_has_eight_queues() {
    let board = Board::of(I350);
    let failed = board.probe().configure(&board.space, &board.pool, queues(9, 1)).unwrap_err();
    let what = "the number of receive queues";
    assert_eq!(failed.error, PortError::OutOfRange { what, value: 9, min: 1, max: 8 });
    let rss = Some(pmd_igb::rss::RssConfig::default());
    let config = pmd_igb::Config { rss, ..queues(8, 8) };
    let configured = failed.back.configure(&board.space, &board.pool, config).unwrap();
    assert_eq!(configured.info().max_rx_queues, 8);
    let started = configured.start().unwrap();
    assert_eq!(board.get::<MRQC>(0).mrqe(), 2);
    board.stop(started);
}

#[test]
fn a_configuration_that_cannot_be_is_refused_before_the_device_is_touched() {
    use pmd_igb::Config;
    let board = Board::new();
    let mut probed = board.probe();
    board.chip.registers().take_log();
    let wrong = [
        queues(0, 1),
        queues(17, 1),
        queues(1, 17),
        Config { rx_ring: 32, ..small() },
        Config { tx_ring: 8192, ..small() },
        Config { rx_ring: 96, ..small() },
        Config { mtu: 67, ..small() },
        Config { mtu: 9707, ..small() },
    ];
    for config in wrong {
        let failed = probed.configure(&board.space, &board.pool, config.clone()).unwrap_err();
        assert!(
            matches!(failed.error, PortError::OutOfRange { .. } | PortError::Invalid { .. }),
            "{config:?}: {}",
            failed.error
        );
        probed = failed.back;
    }
    let elsewhere = vfio_hal::dma::IovaSpace::new();
    let failed = probed.configure(&elsewhere, &board.pool, small()).unwrap_err();
    assert_eq!(failed.error, PortError::NotInSpace);
    assert!(board.chip.registers().log().is_empty());
    board.assert_home();
}
