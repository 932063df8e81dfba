//! Links that stand still, pools that run dry, rings that run full: nothing that was accepted is lost, and it goes on.

use std::time::Duration;

use pmd_ixgbe::{Config, Started};
use pmd_ixgbe_model::{Model82599, Overrun};
use pmd_links::{Impair, ImpairConfig, Link, PauseSwitch};
use vfio_hal::dma::pool::Burst;

use crate::frames::{Frame, number_of};
use crate::rig::{Rig, model_config, small};

/// Polls during which the link takes nothing.
const POLLS: u32 = 100_000;

/// A model on a link that can be paused.
fn pausable(overrun: Overrun) -> (Rig, PauseSwitch) {
    let mut switch = None;
    let config = pmd_ixgbe_model::Config { overrun, ..model_config() };
    let make = |wire: Box<dyn Link>| {
        let impaired = Impair::new(wire, &ImpairConfig::default());
        switch = Some(impaired.pause_switch());
        Model82599::new(config, Box::new(impaired))
    };
    let rig = Rig::of(make, 2048);
    (rig, switch.unwrap())
}

/// Receives and sends, as a forwarder does. Returns how many packets were accepted for sending; the others are dropped.
fn forward(
    rig: &Rig,
    started: &mut Started,
    cache: &mut vfio_hal::dma::pool::Cache,
    burst: &mut Burst,
) -> u64 {
    started.rx[0].rx_burst(cache, burst).unwrap();
    let sent = started.tx[0].tx_burst(cache, burst).unwrap();
    cache.free_all(burst);
    rig.stepper.step();
    sent as u64
}

#[test]
fn a_long_pause_costs_nothing_that_was_accepted() {
    let (mut rig, pause) = pausable(Overrun::Drop);
    let mut started = rig.start(Config { drop_enable: Some(true), ..small() });
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    let (mut accepted, mut number) = (0, 0);
    let mut arrived = Vec::new();
    let mut round = |rig: &mut Rig, started: &mut Started, inject: bool| {
        if inject {
            rig.inject(&Frame::numbered(64, number));
            number += 1;
        }
        accepted += forward(rig, started, &mut cache, &mut burst);
        accepted
    };
    for _ in 0..500 {
        round(&mut rig, &mut started, true);
        arrived.extend(rig.sent());
    }
    pause.set(true);
    for poll in 0..POLLS {
        round(&mut rig, &mut started, poll % 16 == 0);
    }
    // The ring is full, nothing is hung on to but what is on it.
    assert_eq!(rig.sent().len(), 0);
    let full = started.tx[0].stats().full();
    assert!(full > 0);
    pause.set(false);
    let mut total = 0;
    for inject in core::iter::repeat_n(true, 500).chain([false, false]) {
        total = round(&mut rig, &mut started, inject);
        arrived.extend(rig.sent());
    }
    assert_eq!(started.tx[0].stats().full(), full, "nothing is held up any more");
    let numbers: Vec<_> = arrived.iter().map(|frame| number_of(frame)).collect();
    assert_eq!(numbers.len() as u64, total, "as many as were accepted");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    assert_eq!(numbers[numbers.len() - 500..], Vec::from_iter(number - 500..number), "all after the pause");
    let stats = started.port.stats().unwrap();
    assert_eq!((stats.ipackets + stats.imissed, stats.opackets), (number.into(), total));
    drop((cache, burst));
    rig.stop(started);
}

#[test]
fn a_stop_in_a_pause_takes_back_what_was_not_sent() {
    let (mut rig, pause) = pausable(Overrun::Drop);
    let started = rig.start(small());
    let mut started = started;
    pause.set(true);
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    for number in 0..63 {
        burst.push(rig.buf(&Frame::numbered(64, number))).unwrap();
        assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst), Ok(1));
    }
    assert_eq!(started.tx[0].free(), 0);
    burst.push(rig.buf(&Frame::numbered(64, 63))).unwrap();
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst), Ok(0));
    assert_eq!((burst.len(), started.tx[0].stats().full()), (1, 1));
    drop((cache, burst));
    // One queue, and then all of them.
    started.tx[0].stop().unwrap();
    assert_eq!(rig.pool.available(), rig.pool.capacity() - 64);
    started.tx[0].start().unwrap();
    assert_eq!(started.tx[0].free(), 63);
    rig.send(&mut started.tx[0], [rig.buf(&Frame::numbered(64, 1))]);
    let configured = rig.stop(started);
    pause.set(false);
    rig.sent();
    let mut started = rig.up(configured);
    rig.send(&mut started.tx[0], (0..200).map(|number| rig.buf(&Frame::numbered(64, number))));
    let numbers: Vec<_> = rig.sent().iter().map(|frame| number_of(frame)).collect();
    assert_eq!(numbers, Vec::from_iter(0..200));
    rig.stop(started);
}

#[test]
fn an_empty_pool_leaves_packets_and_loses_none_of_those_that_wait() {
    let mut rig = Rig::with(model_config(), 400);
    let mut started = rig.start(Config { drop_enable: Some(true), ..small() });
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    for _ in 0..3 {
        started.port.reset_stats().unwrap();
        let hoard: Vec<_> = core::iter::from_fn(|| cache.alloc()).collect();
        assert_eq!(rig.pool.available(), 0);
        for number in 0..100 {
            rig.inject(&Frame::numbered(64, number));
        }
        rig.run();
        for _ in 0..50 {
            assert_eq!(started.rx[0].rx_burst(&mut cache, &mut burst), Ok(0));
        }
        assert_eq!(started.port.stats().unwrap().rx_nombuf, 50);
        drop(hoard);
        let mut numbers = Vec::new();
        while started.rx[0].rx_burst(&mut cache, &mut burst).unwrap() != 0 {
            numbers.extend(burst.iter().map(|packet| number_of(packet.data())));
            cache.free_all(&mut burst);
        }
        // What fits on the ring: all descriptors but one, less those that were renewed and not yet posted.
        assert!((32..64).contains(&numbers.len()), "{}", numbers.len());
        assert_eq!(numbers, Vec::from_iter(0..numbers.len() as u32));
        let stats = started.port.stats().unwrap();
        assert_eq!((stats.ipackets, stats.ipackets + stats.imissed), (numbers.len() as u64, 100));
        // It goes on.
        for number in 0..500 {
            rig.inject(&Frame::numbered(64, number));
            rig.run();
            assert_eq!(started.rx[0].rx_burst(&mut cache, &mut burst), Ok(1));
            assert_eq!(number_of(burst.take().unwrap().data()), number);
        }
    }
    drop((cache, burst));
    rig.stop(started);
}

#[test]
fn without_drop_enable_packets_wait_for_descriptors() {
    for (drop_enable, waits) in [(Some(false), true), (Some(true), false), (None, true)] {
        let mut rig = Rig::new();
        let mut started = rig.start(Config { drop_enable, ..small() });
        for number in 0..300 {
            rig.inject(&Frame::numbered(64, number));
        }
        rig.wait(Duration::from_millis(1));
        let packets = rig.received(&mut started.rx[0]).len() as u64;
        let stats = started.port.stats().unwrap();
        assert_eq!((stats.ipackets, stats.ipackets + stats.imissed), (packets, 300));
        assert_eq!(packets == 300, waits, "{drop_enable:?}: {packets}");
        rig.stop(started);
    }
}
