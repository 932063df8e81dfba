//! `pmd`: forward, generate, capture and inspect packets with the kit's polled-mode drivers.
//!
//! Each command is a module; they share [`cli`] (options), [`port`] (from a `--vdev` to a started port), [`lcore`]
//! (pinned worker threads) and [`report`] (rates, statistics, JSON). Start with `fwd`.
#![forbid(unsafe_code)]

mod cli;
mod doctor;
mod dump;
mod fault;
mod fwd;
mod generate;
mod info;
mod lcore;
mod memory;
mod port;
mod report;
mod signal;
mod single;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use fault::Fault;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::joined(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and clap's own exit code for a wrong word is 2 as well.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(fault::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Fwd(args) => fwd::run(&args),
        Command::Gen(args) => generate::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("pmd: {fault}");
            ExitCode::from(fault.exit_code())
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Run(error.to_string())
    }
}
