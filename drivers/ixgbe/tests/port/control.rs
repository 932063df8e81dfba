//! What is changed and asked while a port runs, beyond its filters (see the tests of settings).

use pmd_ixgbe::{Config, Started, StopFailed};
use vfio_hal::pmd::{FlowControl, PortError};
use vfio_hal::regs::{AccessKind, Register};

use crate::frames::{Frame, number_of};
use crate::rig::{Rig, queues, small};

/// Fills the rings of queue 0 and returns whether what came behind was dropped.
fn drops(rig: &mut Rig, started: &mut Started) -> bool {
    let missed = started.port.stats().unwrap().imissed;
    for number in 0..200 {
        rig.inject(&Frame::numbered(64, number));
    }
    let packets = rig.received(&mut started.rx[0]).len() as u64;
    let missed = started.port.stats().unwrap().imissed - missed;
    assert_eq!(packets + missed, 200);
    missed != 0
}

#[test]
fn drop_enable_follows_what_was_asked_for() {
    let mut rig = Rig::new();
    // With several queues one that is full must not hold up the others.
    let mut started = rig.start(queues(2, 2));
    assert!(drops(&mut rig, &mut started));
    started.port.set_drop_enable(Some(false)).unwrap();
    assert!(!drops(&mut rig, &mut started));
    started.port.set_drop_enable(Some(true)).unwrap();
    assert!(drops(&mut rig, &mut started));
    started.port.set_drop_enable(None).unwrap();
    assert!(drops(&mut rig, &mut started));
    // Pause frames are there so that nothing is dropped.
    started.port.set_flow_control(FlowControl::Full).unwrap();
    assert!(!drops(&mut rig, &mut started));
    started.port.set_flow_control(FlowControl::Rx).unwrap();
    assert!(drops(&mut rig, &mut started));
    // It holds for a queue that is started again, and for a port.
    started.port.set_drop_enable(Some(false)).unwrap();
    started.rx[0].stop().unwrap();
    started.rx[0].start().unwrap();
    assert!(!drops(&mut rig, &mut started));
    let mut started = started.port.restart(started.rx, started.tx).unwrap();
    assert!(started.port.wait_for_link(core::time::Duration::from_secs(3)).unwrap().up);
    assert!(!drops(&mut rig, &mut started));
    rig.stop(started);
}

#[test]
fn a_restart_in_the_middle_of_traffic_keeps_settings_and_statistics() {
    let mut rig = Rig::new();
    let mut started = rig.start(Config { mtu: 3000, ..small() });
    for life in 1..=5u64 {
        for number in 0..100 {
            rig.inject(&Frame::numbered(2500, number));
            let packets = rig.received(&mut started.rx[0]);
            assert_eq!(packets.len(), 1);
            rig.send(&mut started.tx[0], packets);
        }
        let stats = started.port.stats().unwrap();
        assert_eq!((stats.ipackets, stats.ibytes), (100 * life, 250_000 * life));
        started = started.port.restart(started.rx, started.tx).unwrap();
        assert!(started.port.wait_for_link(core::time::Duration::from_secs(3)).unwrap().up);
        assert_eq!(started.port.stats().unwrap().opackets, 100 * life);
        rig.sent();
    }
    let rx = started.rx.pop().unwrap();
    let failed = started.port.restart(started.rx, started.tx).unwrap_err();
    assert_eq!(failed.error, PortError::QueuesMissing { missing: 1 });
    let StopFailed::Running(back) = failed.back else { panic!("the port goes on") };
    let Started { port, tx, .. } = *back;
    rig.stop(Started { port, rx: vec![rx], tx });
}

#[test]
fn a_dump_of_registers_changes_nothing() {
    use pmd_ixgbe::regs::{CTRL, RDBA, RDLEN, RDT, SWSM};
    let mut rig = Rig::new();
    let mut started = rig.start(small());
    rig.inject(&Frame::numbered(64, 1));
    rig.run();
    let dump = |started: &mut Started| {
        let mut all = Vec::new();
        started.port.dump_registers(&mut |info, index, value| all.push((info, index, value))).unwrap();
        all
    };
    let first = dump(&mut started);
    let again = dump(&mut started);
    let find = |name, wanted| {
        first.iter().find(|(info, index, _)| info.name == name && *index == wanted).map(|(.., value)| *value)
    };
    assert!(first.len() > 2000, "{}", first.len());
    assert_eq!(find(RDLEN::NAME, 0), Some(64 * 16));
    assert_eq!(find(RDT::NAME, 0), Some(63));
    assert_ne!(find(RDBA::NAME, 0), Some(0));
    assert!(find(CTRL::NAME, 0).is_some());
    assert_eq!(find(SWSM::NAME, 0), None);
    assert!(first.iter().all(|(info, ..)| info.access != AccessKind::ReadClear));
    // Nothing but time has changed.
    let differ: Vec<_> = first.iter().zip(&again).filter(|(a, b)| a != b).map(|(a, _)| a.0.name).collect();
    assert!(differ.iter().all(|name| *name == "SYSTIM"), "{differ:?}");
    assert_eq!(started.port.stats().unwrap().ipackets, 1);
    // The semaphore is free, and the port works.
    started.port.inspect().nvm_version().unwrap();
    let packets = rig.received(&mut started.rx[0]);
    assert_eq!(packets.iter().map(|packet| number_of(packet.data())).collect::<Vec<_>>(), [1]);
    drop(packets);
    rig.stop(started);
}

#[test]
fn the_card_can_be_looked_at_in_every_state() {
    let rig = Rig::new();
    let mut probed = rig.probe();
    let version = probed.inspect().nvm_version().unwrap();
    assert_eq!(probed.inspect().module().unwrap().kind(), pmd_ixgbe::ModuleKind::Sr);
    let mut configured = probed.configure(&rig.space, &rig.pool, small()).unwrap();
    assert_eq!(configured.inspect().nvm_version().unwrap(), version);
    let mut started = rig.up(configured);
    assert_eq!(started.port.inspect().nvm().unwrap().len(), 8192);
    assert_eq!(started.port.inspect().module_eeprom().unwrap().len(), 512);
    let info = started.port.info();
    assert_eq!(
        (info.mac.0, info.max_rx_queues, info.max_rss_queues, info.reta_size),
        (crate::rig::MAC, 64, 16, 128)
    );
    rig.stop(started);
}
