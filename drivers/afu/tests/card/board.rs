//! The management engine and the ports: sensors, counters, errors, events, reset, user clock.

use std::time::Duration;

use pmd_afu::accel::Accelerator;
use pmd_afu::accel::loopback::Buffers;
use pmd_afu::accel::nlb0::{Config as Test, Nlb0};
use pmd_afu::{
    AfuError, Event, FabricEvent, Injection, PerfEvent, PowerState, Sharing, SipEvent, Unit, guid,
};
use pmd_afu_model::{AfuKind, Config, Counters, ErrorRegister, Headers};
use vfio_hal::dma::DmaAccess;

use crate::bench::Bench;

#[test]
fn sensors_say_what_the_environment_is() {
    let bench = Bench::new(Config::default());
    let fme = bench.card().fme().unwrap();
    bench.control.set_temperature(71);
    bench.control.set_power(55);
    assert_eq!(fme.thermal().unwrap().celsius, 71);
    assert_eq!(fme.power().unwrap().watts, 55);
    fme.set_power_thresholds(60, 100).unwrap();
    let power = fme.power().unwrap();
    assert_eq!((power.threshold1, power.threshold2), ((60, false), (100, false)));
    assert!(matches!(fme.set_power_thresholds(128, 0), Err(AfuError::Parameter { value: 128, .. })));
    let metric = fme.metric("thermal", "temperature").unwrap();
    assert_eq!((metric.value, metric.unit), (71, Unit::Celsius));
    assert!(fme.metric("thermal", "humidity").is_err());
}

#[test]
fn counters_count_what_an_accelerator_does() {
    for counters in [Counters::Discrete, Counters::Integrated] {
        let bench = Bench::new(Config { counters, ..Config::default() });
        let card = bench.card();
        let fme = card.fme().unwrap();
        fme.reset_perf().unwrap();
        let read = |event| fme.perf(PerfEvent::Fabric(event, None)).unwrap();
        let before = (read(FabricEvent::Pcie0Read), read(FabricEvent::Pcie0Write));
        let mut nlb = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
        let (source, destination) =
            (bench.buffer(4096, DmaAccess::Read), bench.buffer(4096, DmaAccess::Write));
        let buffers = Buffers { source: &source, destination: &destination };
        nlb.run(&Test { lines: 64, ..Test::default() }, &buffers).unwrap();
        assert!(read(FabricEvent::Pcie0Read) >= before.0 + 64, "{counters:?}");
        assert!(read(FabricEvent::Pcie0Write) >= before.1 + 64);
        assert!(fme.perf(PerfEvent::Clock).unwrap() > 0);
        let integrated = counters == Counters::Integrated;
        assert_eq!(fme.perf(PerfEvent::Sip(SipEvent::ContextHit)).is_ok(), integrated);
        let names = fme.metrics().unwrap();
        assert_eq!(names.iter().any(|metric| metric.name == "cache_read_hit"), integrated);
        assert!(names.iter().any(|metric| metric.name == "fab_mmio_read" && metric.value > 0));

        fme.freeze_perf(true).unwrap();
        let frozen = read(FabricEvent::Pcie0Read);
        nlb.run(&Test { lines: 64, ..Test::default() }, &buffers).unwrap();
        assert_eq!(read(FabricEvent::Pcie0Read), frozen);
        fme.freeze_perf(false).unwrap();
        fme.reset_perf().unwrap();
        assert!(read(FabricEvent::Pcie0Read) < frozen);
    }
}

#[test]
fn errors_of_the_card_appear_are_named_and_clear() {
    let bench = Bench::new(Config::default());
    let fme = bench.card().fme().unwrap();
    fme.mask_errors(false).unwrap();
    assert!(fme.errors().unwrap().is_clear());
    bench.control.raise_fme_error(ErrorRegister::Pcie0, 1 << 7);
    bench.pass(Duration::from_micros(10));
    let seen = fme.errors().unwrap();
    assert_eq!(seen.pcie0, 1 << 7);
    assert!(seen.to_string().contains("cpl_timeout"), "{seen}");
    bench.control.raise_fme_error(ErrorRegister::Pcie0, 1 << 1);
    bench.pass(Duration::from_micros(10));
    let changed = fme.clear_errors(&seen).unwrap_err();
    assert_eq!(changed, AfuError::Changed { seen: 0x80, now: 0x82 });
    fme.clear_errors(&fme.errors().unwrap()).unwrap();
    assert_eq!(fme.errors().unwrap().pcie0, 0);

    fme.inject_errors(Injection { nonfatal: true, ..Injection::default() }).unwrap();
    bench.pass(Duration::from_micros(10));
    let seen = fme.errors().unwrap();
    assert!(seen.injected.nonfatal && seen.to_string().contains("injected"), "{seen}");
    fme.inject_errors(Injection::default()).unwrap();
    bench.pass(Duration::from_micros(10));
    assert_eq!(fme.errors().unwrap().nonfatal & 1 << 6, 0);
}

#[test]
fn errors_of_a_port_clear_with_the_port_in_reset() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let port = card.port(0).unwrap();
    port.mask_errors(0).unwrap();
    bench.control.raise_port_error(0, 1 << 48);
    bench.pass(Duration::from_micros(10));
    let seen = port.errors().unwrap();
    assert_eq!(seen.names().collect::<Vec<_>>(), ["page_fault"]);
    assert_eq!(seen.first, 1 << 48);
    bench.control.raise_port_error(0, 1 << 0);
    bench.pass(Duration::from_micros(10));
    assert!(matches!(port.clear_errors(&seen), Err(AfuError::Changed { .. })));
    assert!(!port.is_in_reset(), "released all the same");
    port.clear_errors(&port.errors().unwrap()).unwrap();
    let clear = port.errors().unwrap();
    assert_eq!((clear.errors, clear.first), (0, 0));
    assert!(!port.info().unwrap().in_reset);
    assert_eq!(port.info().unwrap().power, PowerState::Normal);
}

#[test]
fn an_accelerator_cannot_be_used_while_its_port_is_in_reset() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::Dummy]));
    let card = bench.card();
    let afu = card.open_afu(guid::DUMMY, Sharing::Exclusive).unwrap();
    let port = afu.port().unwrap();
    port.mask_errors(0).unwrap();
    let held = port.hold().unwrap();
    let in_reset = AfuError::InReset { port: 0 };
    assert_eq!(afu.read64(0x28), Err(in_reset));
    assert_eq!(afu.write64(0x28, 1), Err(in_reset));
    assert_eq!(afu.reset().unwrap_err(), in_reset, "somebody holds it");
    assert!(port.info().unwrap().in_reset);
    held.release().unwrap();
    afu.write64(0x28, 7).unwrap();
    afu.reset().unwrap();
    assert_eq!(afu.read64(0x28), Ok(0), "reset");
    assert_eq!(port.errors().unwrap().errors, 0, "no access reached the port in reset");
}

#[test]
fn events_arrive_as_files() {
    for headers in [Headers::V0, Headers::V1] {
        let bench = Bench::new(Config { headers, ..Config::with_ports(&[AfuKind::Nlb0, AfuKind::HeLpbk]) });
        let card = bench.card();
        let events = card.events();
        assert_eq!(events.available().len(), 2 + 2 * (1 + 4), "{:?}", events.available());
        card.fme().unwrap().mask_errors(false).unwrap();
        card.port(1).unwrap().mask_errors(0).unwrap();

        let error = events.subscribe(Event::FmeError).unwrap();
        let port = events.subscribe(Event::PortError { port: 1 }).unwrap();
        let user = events.subscribe(Event::User { port: 1, index: 3 }).unwrap();
        bench.control.raise_fme_error(ErrorRegister::Fme, 1);
        bench.control.raise_port_error(1, 1);
        bench.control.raise_user_interrupt(1, 3);
        bench.pass(Duration::from_micros(100));
        assert_eq!((error.take(), port.take(), user.take()), (1, 1, 1), "{headers:?}");
        events.stop(Event::User { port: 1, index: 3 }).unwrap();
        bench.control.raise_user_interrupt(1, 3);
        bench.pass(Duration::from_micros(100));
        assert_eq!(user.take(), 0);
        assert!(events.subscribe(Event::User { port: 1, index: 4 }).is_err());
        assert!(events.subscribe(Event::PortError { port: 2 }).is_err());
    }
}

#[test]
fn heat_is_an_event() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let fme = card.fme().unwrap();
    fme.mask_errors(false).unwrap();
    let event = card.events().subscribe(Event::Thermal).unwrap();
    bench.pass(Duration::from_millis(1));
    assert_eq!(event.take(), 0);
    bench.control.set_temperature(127);
    bench.pass(Duration::from_millis(1));
    assert!(event.take() >= 1);
    assert!(fme.thermal().unwrap().thresholds.is_some_and(|thresholds| thresholds.throttle_reached));
}

#[test]
fn the_user_clock_is_set_and_measured() {
    let bench = Bench::new(Config::default());
    let clock = bench.card().port(0).unwrap().user_clock().unwrap();
    for (mhz, high, low) in
        [(100, 200_000_000, 100_000_000), (312, 600_000_000, 312_000_000), (25, 50_000_000, 25_000_000)]
    {
        let set = clock.set(mhz).unwrap();
        assert!(set.low.abs_diff(low) <= low / 100, "{mhz}: {set:?}");
        if mhz <= 300 {
            assert!(set.high.abs_diff(high) <= high / 100, "{mhz}: {set:?}");
        }
        assert!(clock.is_locked().unwrap());
        assert_eq!(clock.measure().unwrap(), set);
    }
    assert!(matches!(clock.set(601), Err(AfuError::Parameter { value: 601, .. })));
    assert!(matches!(clock.set(9), Err(AfuError::Parameter { .. })));
}
