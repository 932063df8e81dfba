//! What a socket between a driver and its device costs: register round trips, DMA by message and by mapping, packets a second
//! across two processes beside the same device in this one.
//!
//!     cargo run --release -p pmd-benches --bin socket -- benches/results/vfio-user.md
//!
//! The program starts itself again as the server. Times depend on the machine and on what else it does; the ratios say more.
#![forbid(unsafe_code)]

mod engine;
mod measure;
mod packets;
mod serve;

use std::error::Error;
use std::fmt::Write;

use serve::Served;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [what, path, doorbells] if what == "serve-engine" => {
            serve::engine(path.as_ref(), doorbells == "mapped")
        }
        [what, path, doorbells] if what == "serve-nic" => serve::nic(path.as_ref(), doorbells == "mapped"),
        [file] => {
            let text = report()?;
            print!("{text}");
            Ok(std::fs::write(file, text)?)
        }
        [] => {
            print!("{}", report()?);
            Ok(())
        }
        _ => Err("say which file to write, or nothing".into()),
    }
}

fn report() -> Result<String> {
    let mut text = String::from(HEAD);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism()?;
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    writeln!(text, "\nWhen it began, {load} programs wanted to run on {processors} processors.")?;
    let here = measure::here()?;
    let mapped = measure::on(&Served::engine(true)?)?;
    let trapped = measure::on(&Served::engine(false)?)?;
    writeln!(text, "\n## Registers\n\n| access | time | beside the same in this process |\n|---|---|---|")?;
    let mut row = |what: &str, time: f64, local: f64| {
        writeln!(text, "| {what} | {} | {:.0} |", nanos(time), time / local)
    };
    row("read, in this process", here.read, here.read)?;
    row("read, over the socket", trapped.read, here.read)?;
    row("write, in this process", here.write, here.write)?;
    row("write, over the socket, posted", trapped.write, here.write)?;
    row("doorbell, in this process", here.bell, here.bell)?;
    row("doorbell, over the socket, posted", trapped.bell, here.bell)?;
    row("doorbell, in memory", mapped.bell, here.bell)?;
    writeln!(
        text,
        "\n## DMA by the device\n\n| bytes | by mapping | by message | ratio |\n|---|---|---|---|"
    )?;
    for (bytes, by_mapping, by_message) in &trapped.dma {
        let ratio = by_message / by_mapping;
        writeln!(text, "| {bytes} | {} | {} | {ratio:.0} |", nanos(*by_mapping), nanos(*by_message))?;
    }
    writeln!(
        text,
        "\n## Packets\n\n| device | rings | doorbells | packets a second | of in-process |\n|---|---|---|---|---|"
    )?;
    let local = packets::here()?;
    let mut row = |device: &str, rings: &str, doorbells: &str, rate: f64| {
        writeln!(
            text,
            "| {device} | {rings} | {doorbells} | {:.3} M | {:.0} % |",
            rate / 1e6,
            rate / local * 100.0
        )
    };
    row("in this process", "file", "calls", local)?;
    for (doorbells, mapped) in [("in memory", true), ("posted messages", false)] {
        for (rings, file) in [("file", true), ("by message", false)] {
            row("in another process", rings, doorbells, packets::on(&Served::nic(mapped)?, file)?)?;
        }
    }
    Ok(text)
}

const HEAD: &str = "\
# A device in another process

What a vfio-user socket between a driver and its device costs. Made by

    cargo run --release -p pmd-benches --bin socket -- benches/results/vfio-user.md

The ratios say more than the times, and both suffer from what else a machine does: across processes, every message waits
for a processor. A read is a round trip; a posted write is one system call, and waits when the server does not keep up; a
doorbell in memory is a store.
Packets go from the driver through a model of the 82599 that hears itself and back, 64 bytes each, in bursts of 32.
";

fn nanos(time: f64) -> String {
    match time {
        time if time < 1e3 => format!("{time:.0} ns"),
        time if time < 1e6 => format!("{:.1} µs", time / 1e3),
        time => format!("{:.1} ms", time / 1e6),
    }
}
