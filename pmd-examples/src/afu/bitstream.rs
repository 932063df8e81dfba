//! Bitstream files: `reconfigure` and `package`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use pmd_afu::gbs::{Builder, Gbs, GbsError};
use pmd_afu::guid::Uuid;
use pmd_afu_model::{AfuKind, Config, bitstream};
use serde_json::json;

use super::session::Session;
use crate::fault::Fault;
use crate::{note, output};

/// A larger file than any bitstream is, in bytes.
const MOST: u64 = 512 << 20;

/// Options of `reconfigure`.
#[derive(Args)]
pub(crate) struct ReconfigureArgs {
    /// The GBS file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which port
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u8,
    /// Leave the user clock as it is
    #[arg(long)]
    no_clock: bool,
}

/// Loads a bitstream into a port, and sets the user clock to what it needs.
pub(super) fn reconfigure(session: &Session, args: &ReconfigureArgs) -> Result<(), Fault> {
    let name = args.file.display();
    let wrong = |error: std::io::Error| Fault::Usage(format!("{name}: {error}"));
    if std::fs::metadata(&args.file).map_err(wrong)?.len() > MOST {
        return Err(Fault::Usage(format!("{name}: a bitstream has at most {} MiB", MOST >> 20)));
    }
    let bytes = std::fs::read(&args.file).map_err(wrong)?;
    let gbs = Gbs::parse(&bytes).map_err(|error: GbsError| Fault::Usage(format!("{name}: {error}")))?;
    let (start, mut last) = (Instant::now(), Instant::now());
    session.card.fme()?.reconfigure(args.port, &gbs, |progress| {
        if last.elapsed() >= Duration::from_secs(1) {
            last = Instant::now();
            let percent = 100 * progress.done as u64 / (progress.total as u64).max(1);
            note!("{percent:3} %, {} of {} KiB", progress.done >> 10, progress.total >> 10);
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let clocks = match (gbs.clocks().low_mhz(), args.no_clock) {
        (Some(mhz), false) => Some(session.card.port(args.port)?.user_clock()?.set(mhz)?),
        _ => None,
    };
    let afus = session.card.accelerators();
    let guid = afus.iter().find(|afu| afu.port == Some(args.port)).and_then(|afu| afu.guid);
    let promised: Vec<Uuid> = gbs.metadata().accelerators.iter().map(|afu| afu.guid).collect();
    if session.json() {
        output::json(&json!({
            "port": args.port, "bytes": gbs.data().len(), "seconds": seconds,
            "accelerator": guid.map(|guid| guid.to_string()),
            "user_clock_high": clocks.map(|clocks| clocks.high), "user_clock_low": clocks.map(|clocks| clocks.low),
        }))?;
    } else {
        let has = guid.map_or("no accelerator".to_owned(), |guid| guid.to_string());
        crate::out!("port {}: {has}, {} bytes in {seconds:.3} s", args.port, gbs.data().len());
        if let Some(clocks) = clocks {
            crate::out!("user clock: {} MHz and {} MHz", clocks.high / 1_000_000, clocks.low / 1_000_000);
        }
    }
    match guid {
        Some(guid) if promised.is_empty() || promised.contains(&guid) => Ok(()),
        _ => Err(Fault::Run("the port does not hold the accelerator that the file promised".into())),
    }
}

/// Options of `package`.
#[derive(Args)]
pub(crate) struct PackageArgs {
    /// The accelerator: nlb0, he-lpbk, he-mem, dummy or stream
    #[arg(value_name = "AFU")]
    afu: AfuKind,
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The interface id of the cards that it is for [default: the model's]
    #[arg(long, value_name = "UUID")]
    interface_id: Option<Uuid>,
    /// The user clock that it needs (1×), in MHz; the faster clock has twice as much
    #[arg(long, default_value_t = 200, value_name = "MHZ", value_parser = clap::value_parser!(u32).range(10..=300))]
    clock: u32,
    /// KiB of data, as real bitstreams have
    #[arg(long, default_value_t = 256, value_name = "KIB", value_parser = clap::value_parser!(u32).range(0..=65536))]
    size: u32,
}

/// Writes a GBS file for the model.
pub(super) fn package(args: &PackageArgs, as_json: bool) -> Result<(), Fault> {
    let interface = args.interface_id.unwrap_or(Config::default().interface_id);
    let data = bitstream::build(interface, args.afu.guid(), args.size << 10);
    let low = f64::from(args.clock);
    let file = Builder::new(interface)
        .platform("model")
        .accelerator(args.afu.name(), args.afu.guid())
        .clocks(2.0 * low, low)
        .build(&data);
    std::fs::write(&args.file, &file)
        .map_err(|error| Fault::Run(format!("{}: {error}", args.file.display())))?;
    if as_json {
        return output::json(
            &json!({ "file": args.file, "bytes": file.len(), "interface_id": interface.to_string() }),
        );
    }
    crate::out!("{}: {} bytes for interface {interface}", args.file.display(), file.len());
    Ok(())
}
