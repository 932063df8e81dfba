//! Native loopback in every mode.

use std::time::Duration;

use pmd_afu::accel::loopback::{Buffers, Mode, Pattern};
use pmd_afu::accel::nlb0::{Channel, Config as Test, LINE, Nlb0};
use pmd_afu::accel::{Accelerator, Memory};
use pmd_afu::{AfuError, Filter, Sharing, guid};
use pmd_afu_model::{AfuKind, Config, Faults};
use vfio_hal::Clock;
use vfio_hal::dma::DmaAccess;

use crate::bench::Bench;

#[test]
fn every_mode_counts_what_was_asked() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let mut nlb = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let (source, destination) = (bench.buffer(65536, DmaAccess::Read), bench.buffer(65536, DmaAccess::Write));
    let buffers = Buffers { source: &source, destination: &destination };
    for (mode, lines_per_request) in
        Mode::ALL.into_iter().flat_map(|mode| [1, 2, 4].map(|lines| (mode, lines)))
    {
        let pattern = Pattern::new(u64::from(lines_per_request), LINE as usize);
        pattern.fill(&source, 1024).unwrap();
        destination.fill(0, 65536, 0xbe).unwrap();
        let test = Test {
            mode,
            lines_per_request,
            read_once: lines_per_request == 2,
            write_channel: Channel::Random,
            ..Test::default()
        };
        let report = nlb.run(&test, &buffers).unwrap();
        let lines = |used: bool| if used { 1024 } else { 0 };
        assert_eq!((report.reads, report.writes), (lines(mode.reads()), lines(mode.writes())), "{mode:?}");
        assert!(report.clocks > 1024 && report.bandwidth(400) > 0.0, "{report:?}");
        let copied = pattern.check("destination", &destination, 1024, 64).unwrap();
        assert_eq!(copied.is_none(), mode == Mode::Loopback, "{copied:?}");
    }
}

#[test]
fn a_flipped_bit_is_found_where_it_is() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let mut nlb = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let (source, destination) = (bench.buffer(65536, DmaAccess::Read), bench.buffer(65536, DmaAccess::Write));
    let buffers = Buffers { source: &source, destination: &destination };
    bench.control.set_faults(0, Faults { corrupt_line: Some(777), ..Faults::default() });
    let pattern = Pattern::new(5, 64);
    pattern.fill(&source, 1024).unwrap();
    nlb.run(&Test::default(), &buffers).unwrap();
    let mismatch = pattern.check("destination", &destination, 1024, 64).unwrap().unwrap();
    assert_eq!(mismatch.offset / 64, 777);
    assert_eq!((mismatch.expected ^ mismatch.found).count_ones(), 1, "{mismatch}");
}

#[test]
fn a_continuous_test_runs_until_it_is_stopped() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let mut nlb = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let (source, destination) = (bench.buffer(4096, DmaAccess::Read), bench.buffer(4096, DmaAccess::Write));
    let buffers = Buffers { source: &source, destination: &destination };
    let test = Test { lines: 64, continuous: true, mode: Mode::Throughput, ..Test::default() };
    assert!(matches!(nlb.run(&test, &buffers), Err(AfuError::Parameter { .. })));
    let mut running = nlb.start(&test, &buffers).unwrap();
    bench.pass(Duration::from_micros(500));
    let (reads, _) = running.progress().unwrap();
    assert!(reads > 2 * 64 && !running.is_done().unwrap());
    let before = bench.clock.now();
    let report = running.stop().unwrap();
    assert!(report.reads >= reads && report.writes >= reads, "{report:?}");
    assert!(bench.clock.now() - before < Duration::from_millis(100));
    // Dropped, it is stopped too, and the accelerator can be used again.
    drop(nlb.start(&test, &buffers).unwrap());
    nlb.run(&Test { lines: 64, ..Test::default() }, &buffers).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_before_it_starts() {
    let bench = Bench::new(Config::default());
    let card = bench.card();
    let mut nlb = Nlb0::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let (small, large) =
        (bench.buffer(4096, DmaAccess::ReadWrite), bench.buffer(65536, DmaAccess::ReadWrite));
    let short = nlb.run(&Test::default(), &Buffers { source: &large, destination: &small }).unwrap_err();
    assert_eq!(short, AfuError::BufferTooSmall { what: "destination", have: 4096, need: 65536 });
    let read_only = bench.buffer(65536, DmaAccess::Read);
    let refused =
        nlb.run(&Test::default(), &Buffers { source: &large, destination: &read_only }).unwrap_err();
    assert_eq!(refused, AfuError::BufferAccess { what: "destination", access: "write" });
    let foreign =
        Memory::new(&vfio_hal::dma::IovaSpace::new()).buffer(65536, DmaAccess::ReadWrite, "foreign").unwrap();
    assert!(nlb.run(&Test::default(), &Buffers { source: &foreign, destination: &large }).is_err());
    for (lines, lines_per_request) in [(0, 1), (3, 2), (4, 3)] {
        let test = Test { lines, lines_per_request, ..Test::default() };
        let refused = nlb.run(&test, &Buffers { source: &large, destination: &large });
        assert!(matches!(refused, Err(AfuError::Parameter { .. })), "{lines}, {lines_per_request}");
    }
    let he = card.open_afu(guid::NLB0, Sharing::Exclusive);
    assert!(he.is_err(), "it is open");
}

#[test]
fn accelerators_of_several_ports_and_cards_share_a_space() {
    let first = Bench::new(Config::with_ports(&[AfuKind::Nlb0, AfuKind::Nlb0]));
    let other = Bench::new(Config::default());
    let card = first.card();
    let second = pmd_afu::Card::open(other.device.clone(), other.clock()).unwrap();
    let mut all = [
        Nlb0::open_matching(&card, &Filter::new().port(0), Sharing::Exclusive, &first.memory).unwrap(),
        Nlb0::open_matching(&card, &Filter::new().port(1), Sharing::Exclusive, &first.memory).unwrap(),
        Nlb0::open(&second, Sharing::Exclusive, &first.memory).unwrap(),
    ];
    assert_eq!(first.space.stats().devices, 2);
    // From one accelerator to the next, and back.
    let stages: Vec<_> = (0..4).map(|_| first.buffer(65536, DmaAccess::ReadWrite)).collect();
    let pattern = Pattern::new(99, 64);
    pattern.fill(&stages[0], 1024).unwrap();
    for (stage, nlb) in all.iter_mut().enumerate() {
        let buffers = Buffers { source: &stages[stage], destination: &stages[stage + 1] };
        nlb.run(&Test::default(), &buffers).unwrap();
    }
    assert_eq!(pattern.check("last", &stages[3], 1024, 64).unwrap(), None);
}
