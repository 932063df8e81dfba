//! What goes wrong, and that the card is usable afterwards.

use std::sync::Arc;
use std::time::Duration;

use pmd_afu::accel::he::{Config as Exercise, HostExerciser};
use pmd_afu::accel::loopback::Buffers;
use pmd_afu::accel::nlb0::{Config as Test, Nlb0};
use pmd_afu::accel::{Accelerator, Memory};
use pmd_afu::{AfuError, Event, Injection, Sharing, guid};
use pmd_afu_model::{AfuKind, Config, Faults};
use vfio_hal::dma::{DmaAccess, IovaSpace};
use vfio_hal::testing::FakeDevice;
use vfio_hal::wrap::{FaultInjector, Faults as Injected};
use vfio_hal::{Clock, Device, DeviceError};

use crate::bench::Bench;

#[test]
fn an_accelerator_that_never_finishes_is_reset_in_time() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::Nlb0, AfuKind::HeMem]));
    let card = bench.card();
    let (source, destination) = (bench.buffer(65536, DmaAccess::Read), bench.buffer(65536, DmaAccess::Write));
    let buffers = Buffers { source: &source, destination: &destination };
    let mut nlb = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let mut he = HostExerciser::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let stalled = Faults { stalled: true, ..Faults::default() };
    bench.control.set_faults(0, stalled);
    bench.control.set_faults(1, stalled);
    let timeout = Duration::from_millis(20);
    let before = bench.clock.now();
    let error = nlb.run(&Test { timeout, ..Test::default() }, &buffers).unwrap_err();
    assert_eq!(error, AfuError::Unfinished { millis: 20 });
    let error = he.run(&Exercise { timeout, ..Exercise::default() }, &buffers).unwrap_err();
    assert_eq!(error, AfuError::Unfinished { millis: 20 });
    assert!(bench.clock.now() - before < Duration::from_millis(100));
    bench.control.set_faults(0, Faults::default());
    bench.control.set_faults(1, Faults::default());
    nlb.run(&Test::default(), &buffers).unwrap();
    he.run(&Exercise::default(), &buffers).unwrap();
    drop((source, destination));
}

#[test]
fn a_port_stuck_in_reset_is_told_and_can_come_back() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let afu = card.open_afu(guid::NLB0, Sharing::Exclusive).unwrap();
    bench.control.set_faults(0, Faults { reset_stuck: true, ..Faults::default() });
    let before = bench.clock.now();
    let error = afu.reset().unwrap_err();
    assert!(matches!(error, AfuError::Device(DeviceError::Timeout { .. })), "{error}");
    assert!(bench.clock.now() - before < Duration::from_millis(200));
    assert_eq!(afu.read64(0x100), Err(AfuError::InReset { port: 0 }));
    bench.control.set_faults(0, Faults::default());
    afu.reset().unwrap();
    afu.read64(0x100).unwrap();

    // Stuck from the start: listed, not opened.
    let bench = Bench::new(Config::default());
    bench.control.set_faults(0, Faults { reset_stuck: true, ..Faults::default() });
    let card = bench.card();
    assert_eq!(card.accelerators()[0].guid, None);
    assert_eq!(
        card.open_afu(guid::NLB0, Sharing::Shared).unwrap_err(),
        AfuError::NoAccelerator { guid: guid::NLB0 }
    );
    bench.control.set_faults(0, Faults::default());
    card.port(0).unwrap().reset().unwrap();
    card.rescan().unwrap();
    card.open_afu(guid::NLB0, Sharing::Shared).unwrap();
}

#[test]
fn memory_that_is_not_there_is_an_error_and_not_a_hang() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::HeLpbk]));
    let card = bench.card();
    let mut he = HostExerciser::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let (source, destination) = (bench.buffer(65536, DmaAccess::Read), bench.buffer(65536, DmaAccess::Write));
    let buffers = Buffers { source: &source, destination: &destination };
    bench.control.set_faults(0, Faults { dma_fails_after: Some(100), ..Faults::default() });
    let error = he
        .run(&Exercise { timeout: Duration::from_millis(20), ..Exercise::default() }, &buffers)
        .unwrap_err();
    assert!(matches!(error, AfuError::Accelerator { .. } | AfuError::Unfinished { .. }), "{error}");
    bench.control.set_faults(0, Faults::default());
    he.run(&Exercise::default(), &buffers).unwrap();
}

#[test]
fn a_driver_refuses_another_accelerator() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::Dummy]));
    let card = bench.card();
    let afu = card.open_afu(guid::DUMMY, Sharing::Exclusive).unwrap();
    let wrong = Nlb0::attach(afu, &bench.memory).unwrap_err();
    assert_eq!(wrong, AfuError::WrongAccelerator { found: guid::DUMMY, wanted: guid::NLB0 });
    let none = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap_err();
    assert_eq!(none, AfuError::NoAccelerator { guid: guid::NLB0 });
}

#[test]
fn a_device_without_a_list_is_told() {
    for word in [0, u64::MAX] {
        let device = FakeDevice::new(0x1000);
        device.registers().registers().write(0, vfio_hal::bar::Width::W64, word);
        let bench = Bench::new(Config::default());
        let error = bench.open_as(Arc::new(device)).unwrap_err();
        assert!(error.to_string().contains("no feature list"), "{error}");
    }
}

/// Does everything an application does.
fn life(bench: &Bench, device: Arc<dyn Device>) -> Result<(), AfuError> {
    let space = IovaSpace::new();
    let memory = Memory::new(&space);
    let card = pmd_afu::Card::open(device, bench.clock())?;
    card.attach(&space)?;
    let fme = card.fme()?;
    fme.mask_errors(false)?;
    fme.info()?;
    fme.metrics()?;
    let errors = fme.errors()?;
    fme.clear_errors(&errors)?;
    fme.inject_errors(Injection::default())?;
    let port = card.port(0)?;
    port.info()?;
    port.clear_errors(&port.errors()?)?;
    port.user_clock()?.measure()?;
    let event = card.events().subscribe(Event::FmeError)?;
    let (source, destination) = (
        memory.buffer(4096, DmaAccess::Read, "source")?,
        memory.buffer(4096, DmaAccess::Write, "destination")?,
    );
    let mut he = HostExerciser::open(&card, Sharing::Exclusive, &memory)?;
    let test = Exercise { lines: 64, timeout: Duration::from_millis(10), ..Exercise::default() };
    let buffers = Buffers { source: &source, destination: &destination };
    he.run(&test, &buffers)?;
    he.start(&Exercise { continuous: true, ..test }, &buffers)?.stop()?;
    he.detach().reset()?;
    card.events().stop(Event::FmeError)?;
    drop(event);
    card.lost().check()?;
    Ok(())
}

#[test]
fn a_device_may_vanish_at_each_register_access() {
    let mut ended = false;
    for accesses in 0..2_000 {
        let bench = Bench::new(Config::with_ports(&[AfuKind::HeLpbk]));
        let device = FaultInjector::new(bench.device.clone(), Injected::new().die_after(accesses));
        match life(&bench, Arc::new(device)) {
            Ok(()) => {
                ended = true;
                assert!(accesses > 100, "a whole life has more accesses");
                break;
            }
            Err(AfuError::Device(DeviceError::Lost)) => {}
            Err(error) => {
                let source = format!("{error:?}");
                assert!(source.contains("Lost"), "after {accesses} accesses: {error}");
            }
        }
        assert!(bench.clock.now() < Duration::from_secs(2), "after {accesses} accesses");
    }
    assert!(ended, "the whole life was seen");
}
