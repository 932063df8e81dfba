//! The host exercisers in every mode.

use std::time::Duration;

use pmd_afu::accel::Accelerator;
use pmd_afu::accel::he::{Atomic, Config as Test, Encoding, HostExerciser};
use pmd_afu::accel::loopback::{Buffers, Mode};
use pmd_afu::{AfuError, Filter, Sharing};
use pmd_afu_model::{AfuKind, Config, Faults};
use vfio_hal::dma::{DmaAccess, Region};

use crate::bench::Bench;

const BYTES: usize = 1 << 20;

fn with<T>(kind: AfuKind, f: impl FnOnce(&Bench, &mut HostExerciser, &Region, &Region) -> T) -> T {
    let bench = Bench::new(Config::with_ports(&[kind]));
    let card = bench.card();
    let mut he = HostExerciser::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let (source, destination) =
        (bench.buffer(BYTES, DmaAccess::ReadWrite), bench.buffer(BYTES, DmaAccess::ReadWrite));
    f(&bench, &mut he, &source, &destination)
}

#[test]
fn both_run_every_mode_length_encoding_and_pattern() {
    for kind in [AfuKind::HeLpbk, AfuKind::HeMem] {
        with(kind, |_, he, source, destination| {
            assert_eq!(he.info().memory, kind == AfuKind::HeMem);
            let buffers = Buffers { source, destination };
            let base = Test { lines: 256, ..Test::default() };
            let mut tests = Vec::new();
            for mode in Mode::ALL {
                tests.extend([1, 2, 4, 8, 16].map(|length| Test { mode, length, ..base }));
                tests.push(Test { mode, delay: true, ..base });
                tests.push(Test { mode, stride: 3, length: 2, ..base });
                tests.extend(Encoding::ALL.map(|(_, encoding)| Test { mode, encoding, ..base }));
            }
            tests.extend([0, 1, 2].map(|interleave| Test { mode: Mode::Throughput, interleave, ..base }));
            tests.extend(Atomic::ALL.map(|(_, atomic)| Test { atomic: Some(atomic), ..base }));
            for (seed, test) in (1..).zip(tests) {
                let pattern = he.prepare(&test, &buffers, seed).unwrap();
                let report = he.run(&test, &buffers).unwrap();
                assert_eq!(Some((report.reads, report.writes)), test.expected(), "{test:?}");
                assert!(report.clocks > 256 && report.mhz == Some(400), "{report:?}");
                assert_eq!(he.verify(&test, &buffers, &pattern).unwrap(), None, "{test:?}");
            }
        });
    }
}

#[test]
fn verification_sees_every_kind_of_damage() {
    with(AfuKind::HeLpbk, |bench, he, source, destination| {
        let buffers = Buffers { source, destination };
        let copy = Test { lines: 64, ..Test::default() };
        for test in [copy, Test { atomic: Some(Atomic::ALL[1].1), ..copy }, Test { stride: 2, ..copy }] {
            bench.control.set_faults(0, Faults { corrupt_line: Some(20), ..Faults::default() });
            let pattern = he.prepare(&test, &buffers, 3).unwrap();
            he.run(&test, &buffers).unwrap();
            let found = he.verify(&test, &buffers, &pattern).unwrap().expect("a mismatch");
            assert_eq!(found.offset / 64, 20 * test.stride as usize, "{found}");
            bench.control.set_faults(0, Faults::default());
            let pattern = he.prepare(&test, &buffers, 4).unwrap();
            he.run(&test, &buffers).unwrap();
            assert_eq!(he.verify(&test, &buffers, &pattern).unwrap(), None);
            // A test that did nothing is not taken for one that worked.
            let pattern = he.prepare(&test, &buffers, 5).unwrap();
            assert!(he.verify(&test, &buffers, &pattern).unwrap().is_some());
        }
    });
}

#[test]
fn the_end_comes_as_an_interrupt() {
    with(AfuKind::HeLpbk, |bench, he, source, destination| {
        let buffers = Buffers { source, destination };
        let event = he.afu().card().events().subscribe(he.afu().interrupt(2)).unwrap();
        let test = Test { interrupt: Some(2), timeout: Duration::from_millis(50), ..Test::default() };
        let running = he.start(&test, &buffers).unwrap();
        bench.pass(Duration::from_millis(1));
        running.wait_for_interrupt(&event).unwrap();
        let never = Test { interrupt: Some(2), continuous: true, ..Test::default() };
        assert!(matches!(he.start(&never, &buffers), Err(AfuError::Parameter { .. })));
    });
}

#[test]
fn a_continuous_test_is_stopped() {
    with(AfuKind::HeMem, |bench, he, source, destination| {
        let buffers = Buffers { source, destination };
        for mode in Mode::ALL {
            let test = Test { mode, continuous: true, ..Test::default() };
            let mut running = he.start(&test, &buffers).unwrap();
            bench.pass(Duration::from_micros(300));
            let state = running.state().unwrap();
            assert!(state.reads + state.writes > 0, "{mode:?} {state:?}");
            let report = running.stop().unwrap();
            assert!(report.reads + report.writes >= state.reads + state.writes);
        }
        he.run(&Test::default(), &buffers).unwrap();
    });
}

#[test]
fn what_the_hardware_cannot_is_refused() {
    let bench = Bench::new(Config { atomics: false, ..Config::with_ports(&[AfuKind::HeLpbk]) });
    let card = bench.card();
    let filter = Filter::new().port(0);
    let mut he = HostExerciser::open_matching(&card, &filter, Sharing::Exclusive, &bench.memory).unwrap();
    let buffer = bench.buffer(BYTES, DmaAccess::ReadWrite);
    let buffers = Buffers { source: &buffer, destination: &buffer };
    assert!(!he.info().atomics);
    let base = Test::default();
    for test in [
        Test { atomic: Some(Atomic::ALL[0].1), ..base },
        Test { length: 3, ..base },
        Test { length: 32, lines: 64, ..base },
        Test { lines: 0, ..base },
        Test { lines: 17, length: 2, ..base },
        Test { lines: (1 << 20) + 1, ..base },
        Test { stride: 0, ..base },
        Test { stride: 64, ..base },
        Test { interleave: 3, ..base },
    ] {
        assert!(matches!(he.run(&test, &buffers), Err(AfuError::Parameter { .. })), "{test:?}");
    }
    let far = Test { lines: 16384, stride: 2, ..base };
    assert!(matches!(he.run(&far, &buffers), Err(AfuError::BufferTooSmall { .. })), "the stride counts");
}
