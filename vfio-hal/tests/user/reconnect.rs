//! A connection that is lost and made again, and a device that gets another life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vfio_hal::Device;
use vfio_hal::backend::user::UserError;
use vfio_hal::bar::Width;
use vfio_hal::irq::{EventFd, IrqKind, IrqSink};
use vfio_user_kit::server::ServerOptions;
use vfio_user_kit::{SharedRegisters, Spec};

use crate::common::{self, Served, reg, toy_spec};
use crate::kit::{At, Toy, options, wait_until};
use crate::wire::Wire;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn memory_and_interrupts_are_there_again() {
    let served = Served::start();
    for twin in [true, false] {
        let wire = Wire::to(&served.path);
        let toy = Toy::open(&wire.path, &options().twin_socket(twin).reconnect(SOON));
        let (shared, private) = (toy.shared(8192), toy.private(8192));
        let [fd, masked] = [0, 1].map(|_| Arc::new(EventFd::new().unwrap()));
        let irqs = toy.device.irqs().unwrap();
        let sink = |fd: &Arc<EventFd>| Some(fd.clone() as Arc<dyn IrqSink>);
        irqs.enable(IrqKind::MsiX, 2, &[sink(&fd), sink(&masked)]).unwrap();
        irqs.mask(IrqKind::MsiX, 3).unwrap();
        for round in 0..5 {
            wire.cut();
            toy.check_dma(&shared, round);
            toy.check_dma(&private, round + 100);
            assert_eq!(toy.act(reg::MSI, 0, 2), reg::DONE);
            assert_eq!(fd.wait(SOON), Ok(1), "round {round}");
            // What pends may come out when it is armed again, once.
            masked.take();
            toy.act(reg::MSI, 0, 3);
            assert_eq!(masked.take(), 0);
        }
        assert_eq!(wire.connections(), 6);
        assert!(!toy.device.lost().is_lost());
        drop((shared, private));
        assert_eq!(toy.space.stats().leaked_regions, 0);
    }
}

/// Registers, DMA by file and by message, mapping and unmapping go on while the wire is cut again and again.
#[test]
fn traffic_goes_on_over_lost_connections() {
    let served = Served::start();
    let wire = Wire::to(&served.path);
    let toy = Toy::open(&wire.path, &options().reconnect(SOON));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (toy, stop) = (&toy, &stop);
        scope.spawn(move || {
            let mut value = 1;
            while !stop.load(Ordering::Relaxed) {
                toy.bar.write(reg::SCRATCH + 0x400, Width::W64, value).unwrap();
                assert_eq!(toy.bar.read(reg::SCRATCH + 0x400, Width::W64), Ok(value));
                value += 1;
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                drop((toy.private(4096), toy.shared(4096)));
            }
        });
        scope.spawn(move || {
            let (shared, private) = (toy.shared(8192), toy.private(8192));
            let mut seed = 0;
            while !stop.load(Ordering::Relaxed) {
                toy.check_dma(&shared, seed);
                toy.check_dma(&private, seed);
                seed = seed.wrapping_add(1);
            }
        });
        for round in 0..30 {
            let before = wire.connections();
            // In the middle of messages, too.
            if round % 2 == 0 {
                wire.cut()
            } else {
                wire.cut_after(1000 + 37 * round)
            }
            wait_until("a new connection", || wire.connections() > before || toy.device.lost().is_lost());
            wire.cut_after(u64::MAX);
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(toy.device.fault(), None);
    assert_eq!(toy.space.stats().leaked_regions, 0);
}

#[test]
fn mapped_registers_are_exchanged() {
    let shared = SharedRegisters::new(2, 0x1000, 0x1000).unwrap();
    let toy_of =
        |shared: &SharedRegisters| common::Toy { shared: vec![shared.area()], ..common::Toy::default() };
    let served = Served::with(toy_of(&shared), ServerOptions::default());
    let wire = Wire::to(&served.path);
    let toy = Toy::open(&wire.path, &options().reconnect(SOON));
    let bar = toy.device.bar(2).unwrap();
    let bell = bar.doorbell(0x1010).unwrap();
    bell.ring(1);
    assert_eq!(shared.load32(0x1010), Some(1));
    wire.cut();
    toy.read(reg::STATUS);
    assert!(shared.store32(0x1020, 5));
    assert_eq!(bar.read(0x1020, Width::W32), Ok(5));
    bell.ring(2);
    assert_eq!(shared.load32(0x1010), Some(2));
}

#[test]
fn a_server_that_was_started_anew_is_a_lost_device_with_another_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let first = At::serve(&path, common::Toy::default());
    let toy = Toy::open(&path, &options().reconnect(SOON));
    let region = toy.shared(8192);
    toy.check_dma(&region, 1);
    drop(first);
    let second = At::serve(&path, common::Toy::default());
    wait_until("the loss", || toy.device.lost().is_lost());
    assert_eq!(toy.device.fault(), Some(UserError::StateLost));
    assert_eq!(toy.read(reg::SCRATCH), u32::MAX);
    // Another life.
    toy.device.reconnect().unwrap();
    assert!(!toy.device.lost().is_lost() && toy.bar.lost().is_lost());
    toy.space.reattach(&toy.erased).unwrap();
    let again = Toy::again(&toy);
    again.check_dma(&region, 2);
    assert_eq!(toy.read(reg::SCRATCH), u32::MAX, "the life before stays lost");
    drop(region);
    assert_eq!(toy.space.stats().leaked_regions, 0);
    drop(second);
}

#[test]
fn without_the_option_a_lost_connection_is_a_lost_device_until_it_is_asked_back() {
    let served = Served::start();
    let wire = Wire::to(&served.path);
    let toy = Toy::open(&wire.path, &options());
    let region = toy.shared(8192);
    wire.shut(true);
    wait_until("the loss", || toy.device.lost().is_lost());
    assert!(toy.device.reconnect().is_err());
    assert!(toy.device.lost().is_lost());
    wire.shut(false);
    for _ in 0..3 {
        toy.device.reconnect().unwrap();
        toy.space.reattach(&toy.erased).unwrap();
        Toy::again(&toy).check_dma(&region, 9);
        // It is there, so nothing happens.
        toy.device.reconnect().unwrap();
        Toy::again(&toy).check_dma(&region, 10);
        wire.cut();
        wait_until("the loss", || toy.device.lost().is_lost());
    }
}

#[test]
fn another_device_at_the_path_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let first = At::serve(&path, common::Toy::default());
    let toy = Toy::open(&path, &options().reconnect(SOON));
    drop(first);
    let spec = Spec { ids: vfio_user_kit::Ids { device: 0x9999, ..toy_spec().ids }, ..toy_spec() };
    let _other = At::serve(&path, crate::kit::Looks(common::Toy::default(), spec));
    wait_until("the loss", || toy.device.lost().is_lost());
    assert_eq!(toy.device.fault(), Some(UserError::OtherDevice { what: "ids or class" }));
    assert!(toy.device.reconnect().is_err());
}

#[test]
fn a_server_that_does_not_come_back() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options().reconnect(Duration::from_millis(150)));
    drop(served);
    assert_eq!(toy.read(reg::SCRATCH), u32::MAX);
    assert_eq!(toy.device.fault(), Some(UserError::NotBack { millis: 150 }));
}

#[test]
fn a_device_can_be_dropped_while_it_waits() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options().reconnect(Duration::from_secs(3600)));
    drop(served);
    std::thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let bar = toy.bar.clone();
        scope.spawn(move || assert_eq!(bar.read(0, Width::W32), Ok(0xffff_ffff)));
        std::thread::sleep(Duration::from_millis(20));
        drop(toy);
    });
    assert!(start.elapsed() < SOON);
}
