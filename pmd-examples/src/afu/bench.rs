//! `bench`: loopback bandwidth beside a plain copy of the same size.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args;
use pmd_afu::accel::Accelerator;
use pmd_afu::accel::he::{Config, HostExerciser};
use pmd_afu::accel::loopback::{Buffers, Pattern, Report};
use pmd_afu::accel::nlb0::{self, Nlb0};
use pmd_afu::{AfuError, Filter, Sharing};
use serde::Serialize;
use serde_json::json;

use super::session::Session;
use crate::fault::Fault;
use crate::output;

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// The accelerator of this port [default: the first that fits]
    #[arg(long, value_name = "PORT")]
    port: Option<u8>,
    /// Sizes in KiB
    #[arg(long, value_delimiter = ',', default_value = "4,16,64,256,1024,4096,16384", value_name = "KIB,...",
        value_parser = clap::value_parser!(u32).range(4..=65536))]
    sizes: Vec<u32>,
    /// How long each size is measured, in milliseconds
    #[arg(long, default_value_t = 200, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
}

/// One size, measured. Rates are in 10^9 bytes a second.
#[derive(Serialize)]
struct Row {
    bytes: u64,
    /// Copies that the accelerator made.
    runs: u32,
    /// From the call of the driver to its answer.
    loopback: f64,
    /// By the accelerator's own clock.
    accelerator: f64,
    /// The processor, from one buffer to another.
    copy: f64,
}

enum Device {
    Exerciser(Box<HostExerciser>),
    Native(Box<Nlb0>),
}

impl Device {
    fn open(session: &Session, args: &BenchArgs) -> Result<Device, AfuError> {
        let filter = args.port.map_or(Filter::new(), |port| Filter::new().port(port));
        let (sharing, memory) = (Sharing::Exclusive, &session.memory);
        match HostExerciser::open_matching(&session.card, &filter, sharing, memory) {
            Ok(he) => Ok(Device::Exerciser(Box::new(he))),
            Err(AfuError::NoAccelerator { .. } | AfuError::NoMatch) => {
                Nlb0::open_matching(&session.card, &filter, sharing, memory)
                    .map(|nlb| Device::Native(Box::new(nlb)))
            }
            Err(error) => Err(error),
        }
    }

    fn copy(&mut self, bytes: u64, buffers: &Buffers<'_>) -> Result<Report, AfuError> {
        match self {
            Device::Exerciser(he) => {
                let lines = (bytes / u64::from(he.info().bus_bytes)) as u32;
                let length = he.info().max_length;
                he.run(&Config { lines, length, ..Config::default() }, buffers)
            }
            Device::Native(nlb) => {
                let lines = (bytes / nlb0::LINE) as u32;
                nlb.run(&nlb0::Config { lines, lines_per_request: 4, ..nlb0::Config::default() }, buffers)
            }
        }
    }
}

/// Measures.
pub(super) fn run(session: &Session, args: &BenchArgs) -> Result<(), Fault> {
    let mut device = Device::open(session, args)?;
    let most = u64::from(args.sizes.iter().copied().max().unwrap_or(4)) << 10;
    let (source, destination) = (session.buffer(most, "source")?, session.buffer(most, "destination")?);
    let (from, mut to) = (vec![1u8; most as usize], vec![0u8; most as usize]);
    let buffers = Buffers { source: &source, destination: &destination };
    let limit = Duration::from_millis(args.time);
    let (pattern, mut rows) = (Pattern::new(7, 64), Vec::new());
    session.say(format_args!(
        "{:>10} {:>8} {:>14} {:>14} {:>14}",
        "bytes", "runs", "loopback", "accelerator", "plain copy"
    ));
    for kib in &args.sizes {
        if session.stop.is_set() {
            break;
        }
        let bytes = u64::from(*kib) << 10;
        pattern.fill(&source, bytes / 64).map_err(AfuError::from)?;
        let (start, mut runs, mut seconds, mut mhz) = (Instant::now(), 0, 0.0, 350);
        while runs == 0 || start.elapsed() < limit {
            let report = device.copy(bytes, &buffers)?;
            mhz = report.mhz.unwrap_or(mhz);
            seconds += report.seconds(mhz);
            runs += 1;
        }
        let loopback = rate(bytes, runs, start.elapsed().as_secs_f64());
        if let Some(mismatch) =
            pattern.check("destination", &destination, bytes / 64, 64).map_err(AfuError::from)?
        {
            return Err(Fault::Run(mismatch.to_string()));
        }
        let (start, mut copies) = (Instant::now(), 0);
        while copies == 0 || start.elapsed() < limit {
            if let (Some(from), Some(to)) = (from.get(..bytes as usize), to.get_mut(..bytes as usize)) {
                to.copy_from_slice(black_box(from));
                black_box(to);
            }
            copies += 1;
        }
        let copy = rate(bytes, copies, start.elapsed().as_secs_f64());
        let row = Row { bytes, runs, loopback, accelerator: rate(bytes, runs, seconds), copy };
        let Row { accelerator, .. } = &row;
        session.say(format_args!(
            "{bytes:>10} {runs:>8} {loopback:>9.3} GB/s {accelerator:>9.3} GB/s {copy:>9.3} GB/s"
        ));
        rows.push(row);
    }
    if session.json() {
        output::json(&json!({ "device": session.card.device().name(), "sizes": rows }))?;
    }
    Ok(())
}

fn rate(bytes: u64, runs: u32, seconds: f64) -> f64 {
    bytes as f64 * f64::from(runs) / seconds.max(1e-9) / 1e9
}
