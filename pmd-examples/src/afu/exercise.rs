//! `lpbk`, `mem` and `hello`: the loopback accelerators, with `host_exerciser`'s and `hello_fpga`'s names.

mod args;
mod plan;

use std::time::Duration;

use pmd_afu::accel::Accelerator;
use pmd_afu::accel::he::{Config, HostExerciser};
use pmd_afu::accel::loopback::{Buffers, Mismatch, Pattern, Report};
use pmd_afu::accel::nlb0::{self, Nlb0};
use pmd_afu::{AfuError, Filter, Sharing, guid};
use serde_json::json;

pub(crate) use args::{ExerciseArgs, HelloArgs};

use super::rates::Rates;
use super::session::Session;
use super::test::{Outcome, Outcomes};
use crate::fault::Fault;

/// The clock that `host_exerciser` assumes where the accelerator tells none, in MHz.
const ASSUMED_MHZ: u32 = 350;
/// Between two looks at a continuous test.
const LOOK: Duration = Duration::from_millis(50);

/// Runs HE-LBK, or NLB0 where there is none.
pub(super) fn lpbk(session: &mut Session, args: &ExerciseArgs) -> Result<(), Fault> {
    match open(session, args, guid::HE_LBK) {
        Ok(he) => exercise(session, args, he),
        Err(AfuError::NoMatch | AfuError::NoAccelerator { .. }) => native(session, args),
        Err(error) => Err(error.into()),
    }
}

/// Runs HE-MEM.
pub(super) fn mem(session: &mut Session, args: &ExerciseArgs) -> Result<(), Fault> {
    let none = AfuError::NoAccelerator { guid: guid::HE_MEM };
    let he = open(session, args, guid::HE_MEM)
        .map_err(|error| if error == AfuError::NoMatch { none } else { error })?;
    exercise(session, args, he)
}

fn open(session: &Session, args: &ExerciseArgs, guid: guid::Uuid) -> Result<HostExerciser, AfuError> {
    let sharing = if args.shared { Sharing::Shared } else { Sharing::Exclusive };
    let afu = session.card.open_matching(&args.filter().guid(guid), sharing)?;
    HostExerciser::attach(afu, &session.memory)
}

fn exercise(session: &Session, args: &ExerciseArgs, mut he: HostExerciser) -> Result<(), Fault> {
    let info = he.info();
    session.say(format_args!("API version: {}", info.api));
    session.say(format_args!("Bus width: {} bytes", info.bus_bytes));
    if let Some(bytes) = info.local_bus_bytes {
        session.say(format_args!("Local memory bus width: {bytes} bytes"));
    }
    let mhz = args.clock_mhz.or(info.mhz).unwrap_or(ASSUMED_MHZ);
    match (args.clock_mhz, info.mhz) {
        (Some(mhz), _) => session.say(format_args!("AFU clock from command line: {mhz} MHz")),
        (None, Some(mhz)) => session.say(format_args!("AFU clock: {mhz} MHz")),
        (None, None) => {
            session.say(format_args!("Frequency of AFU clock unknown. Assuming {ASSUMED_MHZ} MHz."))
        }
    }
    let tests = plan::exerciser(args, &info, he.afu().interrupts());
    // All are checked before the first one runs.
    let mut bytes = 0;
    for (_, test) in &tests {
        bytes = bytes.max(test.check(&info)?);
    }
    let (source, destination) = (session.buffer(bytes, "source")?, session.buffer(bytes, "destination")?);
    let buffers = Buffers { source: &source, destination: &destination };
    let (mut outcomes, alone) = (Outcomes::default(), tests.len() == 1);
    for (seed, (name, test)) in (1..).zip(tests) {
        if session.stop.is_set() || crate::output::reader_left() {
            break;
        }
        let result = run(session, args, &mut he, &test, &buffers, seed);
        session.card.lost().check()?;
        let outcome = Outcome::of(name, result, test.expected(), mhz);
        if alone { outcomes.add_alone(session, outcome) } else { outcomes.add(session, outcome) }
    }
    let name = guid::name(he.afu().guid());
    let accelerator = json!({
        "name": name, "guid": he.afu().guid().to_string(), "api": info.api, "bus_bytes": info.bus_bytes, "mhz": mhz,
    });
    outcomes.finish(session, &accelerator)
}

/// Runs one test of a host exerciser.
fn run(
    session: &Session,
    args: &ExerciseArgs,
    he: &mut HostExerciser,
    test: &Config,
    buffers: &Buffers<'_>,
    seed: u64,
) -> Result<(Report, Option<Mismatch>), AfuError> {
    let pattern = he.prepare(test, buffers, seed)?;
    let report = if test.continuous {
        let mut rates = Rates::new(he.info().bus_bytes.into());
        let mut running = he.start(test, buffers)?;
        while rates.elapsed() < args.contmodetime() && !session.stop.is_set() {
            std::thread::sleep(LOOK.min(args.contmodetime().saturating_sub(rates.elapsed())));
            if rates.due() {
                let state = running.state()?;
                rates.tell(state.reads, state.writes);
            }
        }
        running.stop()?
    } else if let Some(interrupt) = test.interrupt {
        let event = he.afu().interrupt(interrupt.into());
        let file = he.afu().card().events().subscribe(event)?;
        let report = he.start(test, buffers)?.wait_for_interrupt(&file);
        he.afu().card().events().stop(event)?;
        report?
    } else {
        he.run(test, buffers)?
    };
    Ok((report, he.verify(test, buffers, &pattern)?))
}

/// Runs NLB0 with what it has of the options.
fn native(session: &Session, args: &ExerciseArgs) -> Result<(), Fault> {
    let sharing = if args.shared { Sharing::Shared } else { Sharing::Exclusive };
    let mut nlb = Nlb0::open_matching(&session.card, &args.filter(), sharing, &session.memory)?;
    let mhz = args.clock_mhz.or(nlb.mhz()?).unwrap_or(ASSUMED_MHZ);
    session.say(format_args!("Native loopback (NLB0), {mhz} MHz"));
    let tests = plan::native(args)?;
    let bytes = tests.iter().map(|(_, test)| test.bytes()).max().unwrap_or(0);
    let (source, destination) = (session.buffer(bytes, "source")?, session.buffer(bytes, "destination")?);
    let buffers = Buffers { source: &source, destination: &destination };
    let (mut outcomes, alone) = (Outcomes::default(), tests.len() == 1);
    for (seed, (name, test)) in (1..).zip(tests) {
        if session.stop.is_set() || crate::output::reader_left() {
            break;
        }
        let result = run_native(session, args, &mut nlb, &test, &buffers, seed);
        session.card.lost().check()?;
        let lines = |used: bool| if used { u64::from(test.lines) } else { 0 };
        let expected = (!test.continuous).then(|| (lines(test.mode.reads()), lines(test.mode.writes())));
        let outcome = Outcome::of(name, result, expected, mhz);
        if alone { outcomes.add_alone(session, outcome) } else { outcomes.add(session, outcome) }
    }
    let accelerator = json!({ "name": "NLB0", "guid": guid::NLB0.to_string(), "mhz": mhz });
    outcomes.finish(session, &accelerator)
}

fn run_native(
    session: &Session,
    args: &ExerciseArgs,
    nlb: &mut Nlb0,
    test: &nlb0::Config,
    buffers: &Buffers<'_>,
    seed: u64,
) -> Result<(Report, Option<Mismatch>), AfuError> {
    let pattern = Pattern::new(seed, nlb0::LINE as usize);
    pattern.fill(buffers.source, test.lines.into())?;
    buffers.destination.fill(0, test.bytes() as usize, 0xbe)?;
    if !test.continuous {
        let report = nlb.run(test, buffers)?;
        let copied = test.mode == pmd_afu::accel::loopback::Mode::Loopback;
        let check =
            || pattern.check("destination", buffers.destination, test.lines.into(), nlb0::LINE as usize);
        return Ok((report, if copied { check()? } else { None }));
    }
    let mut rates = Rates::new(nlb0::LINE);
    let mut running = nlb.start(test, buffers)?;
    while rates.elapsed() < args.contmodetime() && !session.stop.is_set() {
        std::thread::sleep(LOOK.min(args.contmodetime().saturating_sub(rates.elapsed())));
        if rates.due() {
            let (reads, writes) = running.progress()?;
            rates.tell(reads, writes);
        }
    }
    Ok((running.stop()?, None))
}

/// Runs native loopback once, as `hello_fpga` does; other than that, a difference is a failure.
pub(super) fn hello(session: &mut Session, args: &HelloArgs) -> Result<(), Fault> {
    let filter = args.port.map_or(Filter::new(), |port| Filter::new().port(port));
    let sharing = if args.shared { Sharing::Shared } else { Sharing::Exclusive };
    let mut nlb = Nlb0::open_matching(&session.card, &filter, sharing, &session.memory)?;
    session.say(format_args!("Running Test"));
    let test = nlb0::Config::default();
    let (source, destination) =
        (session.buffer(test.bytes(), "source")?, session.buffer(test.bytes(), "destination")?);
    let buffers = Buffers { source: &source, destination: &destination };
    let pattern = Pattern::new(1, nlb0::LINE as usize);
    pattern.fill(&source, test.lines.into())?;
    nlb.run(&test, &buffers)?;
    let mismatch = pattern.check("output", &destination, test.lines.into(), nlb0::LINE as usize)?;
    if session.json() {
        let mismatch = mismatch.map(|mismatch| mismatch.to_string());
        crate::output::json(&json!({ "pass": mismatch.is_none(), "mismatch": mismatch }))?;
    }
    match mismatch {
        None => {
            session.say(format_args!("Done Running Test"));
            Ok(())
        }
        Some(mismatch) => Err(Fault::Run(format!("output does not match input: {mismatch}"))),
    }
}
