//! Which tests are run.

use pmd_afu::accel::he::{Atomic, Config, Encoding, Info};
use pmd_afu::accel::loopback::Mode;
use pmd_afu::accel::nlb0;

use super::args::ExerciseArgs;
use crate::fault::Fault;

/// Returns the tests of a host exerciser: the one that the command line describes, or one of everything that it can.
pub(super) fn exerciser(args: &ExerciseArgs, info: &Info, interrupts: u32) -> Vec<(String, Config)> {
    let base = Config { lines: args.lines, timeout: args.timeout(), ..Config::default() };
    if args.chooses() {
        return vec![chosen(args, base)];
    }
    let lengths = || [1, 2, 4, 8, 16].into_iter().filter(|length| *length <= info.max_length);
    let mut tests = Vec::new();
    for mode in Mode::ALL {
        for length in lengths() {
            tests.push((format!("{} cl_{length}", mode.name()), Config { mode, length, ..base }));
        }
    }
    for mode in Mode::ALL {
        tests.push((format!("{} delay", mode.name()), Config { mode, delay: true, ..base }));
        tests.push((format!("{} stride 3", mode.name()), Config { mode, stride: 3, ..base }));
    }
    for (name, encoding) in Encoding::ALL.into_iter().filter(|_| info.api != 0) {
        tests.push((format!("lpbk encoding {name}"), Config { encoding, ..base }));
    }
    for interleave in 0..=2 {
        let mode = Mode::Throughput;
        tests.push((format!("trput interleave {interleave}"), Config { mode, interleave, ..base }));
    }
    for (name, atomic) in Atomic::ALL.into_iter().filter(|_| info.atomics) {
        tests.push((format!("lpbk atomic {name}"), Config { atomic: Some(atomic), ..base }));
    }
    if interrupts != 0 {
        tests.push(("lpbk interrupt 0".into(), Config { interrupt: Some(0), ..base }));
    }
    if args.testall {
        for mode in [Mode::Read, Mode::Write, Mode::Throughput] {
            for length in lengths() {
                let name = format!("{} cl_{length} continuous", mode.name());
                tests.push((name, Config { mode, length, continuous: true, ..base }));
            }
        }
    }
    tests
}

fn chosen(args: &ExerciseArgs, base: Config) -> (String, Config) {
    let mode = args.mode.map_or(Mode::Loopback, Mode::from);
    let length = args.cls.map_or(1, |cls| cls.lines());
    let test = Config {
        mode,
        length,
        stride: args.stride.unwrap_or(1),
        continuous: args.continuousmode,
        delay: args.delay,
        atomic: args.atomic.and_then(|atomic| atomic.0),
        encoding: args.encoding.unwrap_or_default(),
        interleave: args.interleave.unwrap_or(0),
        interrupt: args.interrupt,
        ..base
    };
    (format!("{} cl_{length}", mode.name()), test)
}

/// Returns the tests of native loopback, which has fewer options.
pub(super) fn native(args: &ExerciseArgs) -> Result<Vec<(String, nlb0::Config)>, Fault> {
    let missing = [
        (args.stride.is_some(), "--stride"),
        (args.atomic.is_some_and(|atomic| atomic.0.is_some()), "--atomic"),
        (args.encoding.is_some_and(|encoding| encoding != Encoding::Default), "--encoding"),
        (args.delay, "--delay"),
        (args.interleave.is_some_and(|interleave| interleave != 0), "--interleave"),
        (args.interrupt.is_some(), "--interrupt"),
    ];
    if let Some((_, option)) = missing.iter().find(|(given, _)| *given) {
        let text = format!("{option} is for host exercisers: this card has only native loopback (NLB0)");
        return Err(Fault::Usage(text));
    }
    let base = nlb0::Config { lines: args.lines, timeout: args.timeout(), ..nlb0::Config::default() };
    if args.chooses() {
        let mode = args.mode.map_or(Mode::Loopback, Mode::from);
        let lines_per_request = args.cls.map_or(1, |cls| cls.lines());
        let test = nlb0::Config { mode, lines_per_request, continuous: args.continuousmode, ..base };
        return Ok(vec![(format!("{} cl_{lines_per_request}", mode.name()), test)]);
    }
    let mut tests = Vec::new();
    for continuous in [false, true].into_iter().take(1 + usize::from(args.testall)) {
        for (mode, lines_per_request) in
            Mode::ALL.into_iter().flat_map(|mode| [1, 2, 4].map(|lines| (mode, lines)))
        {
            let name = format!(
                "{} cl_{lines_per_request}{}",
                mode.name(),
                if continuous { " continuous" } else { "" }
            );
            tests.push((name, nlb0::Config { mode, lines_per_request, continuous, ..base }));
        }
    }
    Ok(tests)
}
