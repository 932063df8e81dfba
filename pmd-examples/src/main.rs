//! `pmd`: forward, generate, capture and inspect packets with the kit's polled-mode drivers.
//!
//! Each command is a module; they share [`cli`] (options), [`port`] (from a `--vdev` to a started port), [`lcore`]
//! (pinned worker threads) and [`report`] (rates, statistics, JSON). Start with `fwd`.
#![forbid(unsafe_code)]

mod afu;
mod bind;
mod cli;
mod doctor;
mod dump;
mod fault;
mod fwd;
mod generate;
mod hugepages;
mod info;
mod lcore;
mod memory;
mod monitor;
mod output;
mod port;
mod report;
mod serve;
mod signal;
mod single;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::joined(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error),
    };
    let result = match cli.command {
        Command::Fwd(args) => fwd::run(&args),
        Command::Gen(args) => generate::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Bind(args) => bind::run(&args),
        Command::Unbind(args) => bind::run_unbind(&args),
        Command::Status(args) => bind::run_status(&args),
        Command::Hugepages(args) => hugepages::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Afu(args) => afu::run(&args),
    };
    match result.and(output::finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            note!("pmd: {fault}");
            ExitCode::from(fault.exit_code())
        }
    }
}
