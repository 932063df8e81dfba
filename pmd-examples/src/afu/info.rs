//! What a card says of itself, with `fpgainfo`'s names.

use clap::{Args, Subcommand};
use pmd_afu::{Fme, Injection, Metric, Port};
use serde_json::{Value, json};

use super::session::Session;
use crate::fault::Fault;
use crate::output;

/// Options of `info`.
#[derive(Args)]
pub(crate) struct InfoArgs {
    #[command(subcommand)]
    what: What,
}

/// What is shown.
#[derive(Subcommand)]
enum What {
    /// The management engine: versions, bitstream, interface id
    Fme,
    /// Ports: accelerator, power state, user clock
    Port(PortArgs),
    /// Errors of the card and its ports
    Errors(ErrorArgs),
    /// Temperature
    Thermal,
    /// The same
    Temp,
    /// Power
    Power,
    /// Performance counters
    Perf(PerfArgs),
}

/// Options of `info port`.
#[derive(Args)]
struct PortArgs {
    /// Which port [default: all]
    #[arg(long, value_name = "PORT")]
    port: Option<u8>,
    /// Set the user clock (1×), in MHz
    #[arg(long, value_name = "MHZ", requires = "port")]
    set_clock: Option<u32>,
}

/// Options of `info errors`.
#[derive(Args)]
struct ErrorArgs {
    /// Clear them, and show what is left
    #[arg(short = 'c', long)]
    clear: bool,
    /// Inject errors of the card, which last until others are injected, or none
    #[arg(long, value_delimiter = ',', value_parser = ["catastrophic", "fatal", "nonfatal", "none"], value_name = "KIND,...")]
    inject: Vec<String>,
}

/// Options of `info perf`.
#[derive(Args)]
struct PerfArgs {
    /// Set the counters to 0 first
    #[arg(long)]
    reset: bool,
}

/// Shows what is asked for.
pub(super) fn run(session: &Session, args: &InfoArgs) -> Result<(), Fault> {
    let value = match &args.what {
        What::Fme => fme(&session.card.fme()?)?,
        What::Port(args) => ports(session, args)?,
        What::Errors(args) => errors(session, args)?,
        What::Thermal | What::Temp => thermal(&session.card.fme()?)?,
        What::Power => power(&session.card.fme()?)?,
        What::Perf(args) => perf(&session.card.fme()?, args)?,
    };
    if session.json() {
        return output::json(&value);
    }
    show(&value, 0);
    Ok(())
}

/// Prints nested values as `name : value`, indented.
fn show(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
                {
                    crate::out!("{indent}{name}:");
                    show(value, depth + 1);
                } else {
                    crate::out!("{indent}{name:<24} : {}", plain(value));
                }
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                if index != 0 {
                    crate::out!("");
                }
                show(value, depth);
            }
        }
        value => crate::out!("{indent}{}", plain(value)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

fn fme(fme: &Fme) -> Result<Value, Fault> {
    let info = fme.info()?;
    let (major, minor, patch) = info.bitstream_version;
    Ok(json!({
        "Ports Num": info.ports,
        "Bitstream Id": format!("{:#018x}", info.bitstream_id),
        "Bitstream Version": format!("{major}.{minor}.{patch}"),
        "Bitstream Metadata": format!("{:#x}", info.bitstream_metadata),
        "Pr Interface Id": info.interface_id.map(|id| id.to_string()),
        "Fabric Version": info.fabric_version,
        "Socket Id": info.socket,
        "Address Width": info.address_width,
        "Cache Size": info.cache_size,
    }))
}

fn ports(session: &Session, args: &PortArgs) -> Result<Value, Fault> {
    let ports = match args.port {
        Some(port) => vec![session.card.port(port)?],
        None => session.card.ports(),
    };
    if let (Some(mhz), [port]) = (args.set_clock, ports.as_slice()) {
        port.user_clock()?.set(mhz)?;
    }
    ports.iter().map(|one| port(session, one)).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn port(session: &Session, port: &Port) -> Result<Value, Fault> {
    let info = port.info()?;
    let afus = session.card.accelerators();
    let afu = afus.iter().find(|afu| afu.port == Some(info.number)).and_then(|afu| afu.guid);
    // A port without a user clock has none to show.
    let clock = port.user_clock().and_then(|clock| clock.measure()).ok();
    Ok(json!({
        "Port": info.number,
        "Accelerator GUID": afu.map(|guid| guid.to_string()),
        "Accelerator": afu.and_then(pmd_afu::guid::name),
        "In Reset": info.in_reset,
        "Power State": info.power.to_string(),
        "AP1 Event": info.ap1_event,
        "AP2 Event": info.ap2_event,
        "Latency Tolerance": info.ltr,
        "Mmio Size": info.mmio_size,
        "Interrupts": info.user_interrupts.map_or(0, |(count, _)| count),
        "User Clock High (Hz)": clock.map(|clock| clock.high),
        "User Clock Low (Hz)": clock.map(|clock| clock.low),
    }))
}

fn errors(session: &Session, args: &ErrorArgs) -> Result<Value, Fault> {
    let mut value = json!({});
    let Some(map) = value.as_object_mut() else { return Ok(value) };
    // A virtual function has no management engine.
    if let Ok(fme) = session.card.fme() {
        if !args.inject.is_empty() {
            let is = |kind: &str| args.inject.iter().any(|asked| asked == kind);
            let (catastrophic, fatal, nonfatal) = (is("catastrophic"), is("fatal"), is("nonfatal"));
            fme.mask_errors(false)?;
            fme.inject_errors(Injection { catastrophic, fatal, nonfatal })?;
        }
        let mut seen = fme.errors()?;
        if args.clear {
            fme.clear_errors(&seen)?;
            seen = fme.errors()?;
        }
        let groups = seen.groups().map(|(name, bits, value)| {
            let names: Vec<_> = value.fields().filter(|(_, set)| *set != 0).map(|(name, _)| name).collect();
            (name.to_owned(), json!({ "bits": format!("{bits:#x}"), "errors": names }))
        });
        let mut fme: serde_json::Map<String, Value> = groups.into_iter().collect();
        fme.insert("first".into(), format!("{:#x}", seen.first).into());
        map.insert("FME".into(), Value::Object(fme));
    }
    for port in session.card.ports() {
        let mut seen = port.errors()?;
        if args.clear {
            port.clear_errors(&seen)?;
            seen = port.errors()?;
        }
        let [low, high] = seen.malformed;
        let errors = json!({
            "bits": format!("{:#x}", seen.errors),
            "errors": seen.names().collect::<Vec<_>>(),
            "first": format!("{:#x}", seen.first),
            "malformed": format!("{high:#018x}{low:016x}"),
        });
        map.insert(format!("Port {}", port.number()), errors);
    }
    Ok(value)
}

fn thermal(fme: &Fme) -> Result<Value, Fault> {
    let thermal = fme.thermal()?;
    let limits = thermal.thresholds;
    Ok(json!({
        "FPGA Temperature (°C)": thermal.celsius,
        "Threshold 1 (°C)": limits.map(|limits| limits.throttle),
        "Threshold 1 Policy": limits.map(|limits| if limits.throttle_half { "AP1" } else { "AP2" }),
        "Threshold 1 Reached": limits.map(|limits| limits.throttle_reached),
        "Threshold 2 (°C)": limits.map(|limits| limits.stop),
        "Threshold 2 Reached": limits.map(|limits| limits.stop_reached),
        "Trip (°C)": limits.map(|limits| limits.trip),
    }))
}

fn power(fme: &Fme) -> Result<Value, Fault> {
    let power = fme.power()?;
    let tenths = |limit: Option<u16>| limit.map(|limit| f64::from(limit) / 10.0);
    Ok(json!({
        "Consumed (W)": power.watts,
        "Threshold 1 (W)": power.threshold1.0,
        "Threshold 1 Reached": power.threshold1.1,
        "Threshold 2 (W)": power.threshold2.0,
        "Threshold 2 Reached": power.threshold2.1,
        "Processor Limit (W)": tenths(power.processor_limit),
        "FPGA Limit (W)": tenths(power.fpga_limit),
    }))
}

fn perf(fme: &Fme, args: &PerfArgs) -> Result<Value, Fault> {
    if args.reset {
        fme.reset_perf()?;
    }
    let metrics = fme.metrics()?;
    let counters = metrics.iter().filter(|metric| metric.group == "performance");
    Ok(Value::Object(counters.map(|Metric { name, value, .. }| ((*name).to_owned(), json!(value))).collect()))
}
