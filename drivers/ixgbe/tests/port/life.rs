//! Start, traffic, stop, and again; what is lost on the way: nothing.

use std::time::Duration;

use pmd_ixgbe::{Config, Running, Started, StopFailed};
use vfio_hal::Device;
use vfio_hal::dma::DmaError;
use vfio_hal::dma::pool::Burst;
use vfio_hal::pmd::{self, PortError};
use vfio_hal::ring::{RxError, TxError};

use crate::frames::{Frame, number_of};
use crate::rig::{Rig, pool, queues, small, stop};

/// Receives and sends `count` packets at once on queue 0, and leaves some on both rings.
fn traffic(rig: &mut Rig, started: &mut Started, count: u32) {
    for number in 0..count {
        rig.inject(&Frame::numbered(64 + number as usize % 1400, number));
        let packets = rig.received(&mut started.rx[0]);
        assert_eq!(packets.iter().map(|packet| number_of(packet.data())).collect::<Vec<_>>(), [number]);
        rig.send(&mut started.tx[0], packets);
        assert_eq!(rig.sent().iter().map(|frame| number_of(frame)).collect::<Vec<_>>(), [number]);
    }
    rig.inject(&Frame::numbered(64, 0));
    rig.run();
    rig.send(&mut started.tx[0], [rig.buf(&Frame::numbered(64, 1)), rig.buf(&Frame::numbered(64, 2))]);
}

#[test]
fn twenty_lives_lose_nothing() {
    let mut rig = Rig::new();
    let mut configured = rig.configure(queues(2, 2));
    for _ in 0..20 {
        let mut started = rig.up(configured);
        traffic(&mut rig, &mut started, 100);
        assert!(rig.pool.available() < rig.pool.capacity());
        configured = rig.stop(started);
        rig.sent();
    }
    let mut started = rig.up(configured.unconfigure().configure(&rig.space, &rig.pool, small()).unwrap());
    assert_eq!(started.rx.len(), 1);
    traffic(&mut rig, &mut started, 10);
    rig.stop(started);
    assert_eq!(rig.inspect(|model| model.counters().dma_faults), 0);
    assert_eq!(rig.inspect(|model| model.counters().accesses_in_reset), 0);
    assert_eq!(rig.inspect(|model| model.counters().unknown_writes), 0);
    assert_eq!(rig.model.refused_accesses(), 0);
}

#[test]
fn everything_goes_when_it_is_dropped() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    traffic(&mut rig, &mut started, 40);
    drop(rig.stop(started));
    let Rig { space, pool, .. } = rig;
    drop(pool);
    let stats = space.stats();
    assert_eq!((stats.regions, stats.mapped_bytes, stats.leaked_bytes), (0, 0, 0));
}

#[test]
fn a_stop_sends_what_was_accepted() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    rig.send(&mut started.tx[0], (0..40).map(|number| rig.buf(&Frame::numbered(100, number))));
    rig.stop(started);
    assert_eq!(
        rig.sent().iter().map(|frame| number_of(frame)).collect::<Vec<_>>(),
        (0..40).collect::<Vec<_>>()
    );
}

#[test]
fn a_reset_by_somebody_else_in_the_middle_of_traffic_is_survived() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    traffic(&mut rig, &mut started, 50);
    rig.model.reset().unwrap();
    rig.inject(&Frame::numbered(64, 1));
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    rig.run();
    while started.rx[0].rx_burst(&mut cache, &mut burst).unwrap() != 0 {
        burst.clear();
    }
    drop(cache);
    let configured = rig.stop(started);
    // What the device had when it was reset is gone, what comes now is not.
    rig.sent();
    let mut started = rig.up(configured);
    traffic(&mut rig, &mut started, 50);
    rig.stop(started);
}

#[test]
fn a_device_that_does_not_let_go_of_the_bus_is_reset_as_a_whole() {
    use pmd_ixgbe::regs::STATUS;
    use vfio_hal::regs::Register;
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    traffic(&mut rig, &mut started, 50);
    let busy = STATUS::default().with_pcie_master_enable(true).to_raw();
    rig.faults.set(vfio_hal::wrap::Faults::new().stuck(0, STATUS::OFFSET, busy, busy));
    let configured = rig.stop(started);
    rig.sent();
    let mut started = rig.up(configured);
    traffic(&mut rig, &mut started, 50);
    rig.stop(started);
}

#[test]
fn a_stop_without_all_queues_goes_on_until_it_gets_them() {
    let mut rig = Rig::new();
    let Started { port, mut rx, mut tx } = rig.start(queues(3, 2));
    let (kept_rx, kept_tx) = (rx.remove(1), tx.remove(0));
    let failed = port.stop(rx, tx).unwrap_err();
    assert_eq!(failed.error, PortError::QueuesMissing { missing: 2 });
    let StopFailed::Running(back) = failed.back else { panic!("the port goes on") };
    let Started { port, mut rx, mut tx } = *back;
    assert_eq!((rx.len(), tx.len()), (2, 1));
    rx.push(kept_rx);
    tx.push(kept_tx);
    let mut started = Started { port, rx, tx };
    traffic(&mut rig, &mut started, 20);
    rig.stop(started);
}

#[test]
fn a_port_does_not_take_the_queues_of_another() {
    let (rig, other) = (Rig::new(), Rig::new());
    let Started { port, rx, tx } = rig.start(small());
    let Started { port: stranger, rx: foreign_rx, tx: foreign_tx } = other.start(small());
    // Instead of its own.
    let failed = port.stop(foreign_rx, tx).unwrap_err();
    assert_eq!(failed.error, PortError::QueuesMissing { missing: 1 });
    let StopFailed::Running(back) = failed.back else { panic!("the port goes on") };
    let Started { port, rx: mut foreign_rx, tx } = *back;
    // Besides its own: a proof that this port stopped says nothing of the other.
    let all = rx.into_iter().chain(foreign_rx.drain(..)).collect();
    let failed = port.stop(all, tx).unwrap_err();
    assert!(matches!(failed.error, PortError::Invalid { .. }), "{}", failed.error);
    let StopFailed::Running(back) = failed.back else { panic!("the port goes on") };
    let Started { port, mut rx, tx } = *back;
    let foreign = rx.pop().unwrap();
    assert!(foreign.is_running());
    rig.stop(Started { port, rx, tx });
    other.stop(Started { port: stranger, rx: vec![foreign], tx: foreign_tx });
}

#[test]
fn a_queue_stops_and_starts_while_the_others_run() {
    let mut rig = Rig::new();
    let mut started = rig.start(queues(2, 2));
    traffic(&mut rig, &mut started, 20);
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    for round in 0..5 {
        let before = rig.pool.available();
        started.rx[1].stop().unwrap();
        started.tx[1].stop().unwrap();
        assert!(rig.pool.available() >= before + 64);
        assert_eq!(started.rx[1].rx_burst(&mut cache, &mut burst), Err(RxError::Stopped));
        burst.push(rig.buf(&Frame::numbered(64, round))).unwrap();
        assert_eq!(started.tx[1].tx_burst(&mut cache, &mut burst), Err(TxError::Stopped));
        assert_eq!(burst.len(), 1);
        // Once more changes nothing.
        started.rx[1].stop().unwrap();
        started.tx[1].stop().unwrap();
        rig.inject(&Frame::numbered(80, round));
        assert_eq!(rig.received(&mut started.rx[0]).last().map(|last| number_of(last.data())), Some(round));
        started.rx[1].start().unwrap();
        started.tx[1].start().unwrap();
        started.tx[1].start().unwrap();
        rig.sent();
        assert_eq!(started.tx[1].tx_burst(&mut cache, &mut burst), Ok(1));
        assert_eq!(rig.sent().iter().map(|frame| number_of(frame)).collect::<Vec<_>>(), [round]);
    }
    // The queue that receives can be one of these.
    started.rx[0].stop().unwrap();
    rig.inject(&Frame::numbered(64, 7));
    rig.run();
    started.rx[0].start().unwrap();
    rig.inject(&Frame::numbered(64, 8));
    assert_eq!(
        rig.received(&mut started.rx[0]).iter().map(|packet| number_of(packet.data())).collect::<Vec<_>>(),
        [8]
    );
    // A port stops with queues that are stopped.
    started.rx[1].stop().unwrap();
    drop(cache);
    rig.stop(started);
}

#[test]
fn a_queue_that_finds_no_buffers_can_be_started_later() {
    let rig = Rig::with(crate::rig::model_config(), 400);
    let mut started = rig.start(small());
    started.rx[0].stop().unwrap();
    let hoard: Vec<_> = core::iter::from_fn(|| rig.pool.alloc()).skip(10).collect();
    // All are out, those that were skipped are not.
    let error = started.rx[0].start().unwrap_err();
    assert!(matches!(error, PortError::Ring(_)), "{error}");
    assert!(!started.rx[0].is_running());
    drop(hoard);
    started.rx[0].start().unwrap();
    assert!(started.rx[0].is_running());
    rig.stop(started);
}

#[test]
fn what_is_dropped_without_a_stop_is_given_up_and_counted() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    traffic(&mut rig, &mut started, 5);
    let Started { port, rx, tx } = started;
    drop((port, rx, tx));
    // The receive ring, and what was not reaped of the transmit ring: 5 packets and 2.
    assert_eq!(rig.pool.leaked(), 64 + 7);
    assert_eq!(rig.pool.available(), rig.pool.capacity() - 71);
    // The device goes on writing, and hits nothing that is used by others.
    let all: Vec<_> = core::iter::from_fn(|| rig.pool.alloc())
        .map(|mut buf| {
            assert!(buf.fill(&[0x5a; 1500]));
            buf
        })
        .collect();
    assert_eq!(all.len() as u32, rig.pool.capacity() - 71);
    for number in 0..200 {
        rig.inject(&Frame::numbered(1500, number));
    }
    rig.run();
    assert!(all.iter().all(|buf| buf.data() == [0x5a; 1500]));
    drop(all);
    // The same device can be used again.
    let mut started = rig.start(Config { rx_ring: 128, ..small() });
    assert!(rig.received(&mut started.rx[0]).is_empty());
    stop(started);
    assert_eq!(rig.pool.available() + rig.pool.leaked(), rig.pool.capacity());
    drop(rig.pool);
    assert_eq!(rig.space.stats().regions, 1, "the pool stays mapped for as long as buffers are out");
}

#[test]
fn a_configuration_that_cannot_be_gives_the_port_back() {
    let rig = Rig::new();
    let mut probed = rig.probe();
    let wrong = [
        Config { rx_queues: 0, ..small() },
        Config { rx_queues: 65, ..small() },
        Config { tx_queues: 0, ..small() },
        Config { tx_queues: 65, ..small() },
        Config { rx_ring: 32, ..small() },
        Config { rx_ring: 96, ..small() },
        Config { tx_ring: 8192, ..small() },
        Config { rx_queues: 17, rss: Some(Default::default()), ..small() },
    ];
    for config in wrong {
        let shown = format!("{config:?}");
        let failed = probed.configure(&rig.space, &rig.pool, config).unwrap_err();
        let refused = matches!(failed.error, PortError::OutOfRange { .. } | PortError::Invalid { .. });
        assert!(refused, "{shown}: {}", failed.error);
        probed = failed.back;
    }
    // More than the pool has, alone or together with another port.
    let config = Config { rx_ring: 2048, ..small() };
    let failed = probed.configure(&rig.space, &rig.pool, config).unwrap_err();
    assert!(matches!(failed.error, PortError::Dma(DmaError::PoolTooSmall { .. })), "{}", failed.error);
    let strange = Rig::new();
    let failed = failed.back.configure(&rig.space, &strange.pool, small()).unwrap_err();
    assert_eq!(failed.error, PortError::NotInSpace);
    let failed = failed.back.configure(&strange.space, &strange.pool, small()).unwrap_err();
    assert_eq!(failed.error, PortError::NotInSpace);
    let small_buffers = {
        let memory = vfio_hal::dma::memory::HeapMemory::new(1 << 20).unwrap();
        let access = vfio_hal::dma::DmaAccess::ReadWrite;
        let region = vfio_hal::dma::Region::alloc(&rig.space, memory, access).unwrap();
        vfio_hal::dma::pool::Pool::new(region, 512, 512).unwrap()
    };
    let failed = failed.back.configure(&rig.space, &small_buffers, small()).unwrap_err();
    assert!(matches!(failed.error, PortError::Invalid { .. }), "{}", failed.error);
    rig.stop(rig.up(failed.back.configure(&rig.space, &rig.pool, small()).unwrap()));
}

#[test]
fn two_ports_share_a_pool_that_is_large_enough_for_both() {
    let space = vfio_hal::dma::IovaSpace::new();
    let shared = pool(&space, 2 * small().buffers());
    let make = |wire| pmd_ixgbe_model::Model82599::new(crate::rig::model_config(), wire);
    let rigs: [Rig; 3] = core::array::from_fn(|_| Rig::in_space(make, space.clone(), shared.clone()));
    let first = rigs[0].configure(small());
    let second = rigs[1].start(small());
    let failed = rigs[2].probe().configure(&space, &shared, small()).unwrap_err();
    assert!(matches!(failed.error, PortError::Dma(DmaError::PoolTooSmall { .. })), "{}", failed.error);
    // What a port had set apart is free again once it is gone.
    drop(first);
    let third = rigs[2].up(failed.back.configure(&space, &shared, small()).unwrap());
    stop(second);
    rigs[2].stop(third);
}

#[test]
fn a_space_is_not_closed_under_rings_and_pools() {
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    let error = rig.space.close().unwrap_err();
    assert!(matches!(error, DmaError::SpaceInUse { .. }), "{error}");
    traffic(&mut rig, &mut started, 20);
    drop(rig.stop(started));
    assert!(rig.space.close().is_err(), "the pool is there still");
    let Rig { space, pool, .. } = rig;
    drop(pool);
    space.close().unwrap();
}

#[test]
fn an_erased_port_lives_the_same_life() {
    let rig = Rig::new();
    let pmd::Started { mut port, rx, mut tx } = Running::erase(rig.start(queues(2, 1)));
    assert!(port.link().unwrap().up);
    let mut burst = Burst::new(32);
    burst.push(rig.buf(&Frame::numbered(64, 3))).unwrap();
    assert_eq!(tx[0].tx_burst(&mut rig.pool.cache(), &mut burst), Ok(1));
    assert!(port.wait_for_link(Duration::from_millis(1)).unwrap().up);
    port.stop(rx, tx).unwrap();
    rig.assert_home();
}
