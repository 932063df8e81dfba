//! `pmd afu`: FPGA cards, as users of `opae.io`, `fpgainfo` and `host_exerciser` know them.
//!
//! [`Session`] is an open card: by default a model in this process, otherwise what `-a` or `--socket` names. Each command is
//! a function of a module that takes it; `--script` runs several on the same card.

mod bench;
mod bitstream;
mod exercise;
mod info;
mod lists;
mod options;
mod rates;
mod script;
mod session;
mod stream;
mod test;

use clap::{Args, Subcommand};
use pmd_afu::AfuError;

use crate::fault::Fault;
use options::SourceArgs;
use session::Session;

/// Options of `pmd afu`.
#[derive(Args)]
#[command(after_help = "Without -a and --socket, the card is a model in this process. Try: pmd afu lpbk")]
pub(crate) struct AfuArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Run the commands in a file, one a line, on one card; the first that fails ends it. `#` starts a comment
    #[arg(long, value_name = "FILE")]
    script: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is done with a card.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List accelerators: GUID, port, registers, interrupts
    Ls,
    /// Walk the feature lists
    Walk,
    /// Read a register
    Peek(lists::PeekArgs),
    /// Write a register
    Poke(lists::PokeArgs),
    /// Show the management engine, a port, errors, temperature, power or performance counters (fpgainfo)
    Info(info::InfoArgs),
    /// Reset a port with its accelerator
    Reset(lists::ResetArgs),
    /// Run HE-LBK, or NLB0 where there is none; every mode if none is chosen (host_exerciser lpbk)
    Lpbk(exercise::ExerciseArgs),
    /// Run HE-MEM; every mode if none is chosen (host_exerciser mem)
    Mem(exercise::ExerciseArgs),
    /// Run native loopback once (hello_fpga)
    Hello(exercise::HelloArgs),
    /// Give the stream accelerator work, and check what comes back
    Stream(stream::StreamArgs),
    /// Measure loopback bandwidth beside a plain copy of the same size
    Bench(bench::BenchArgs),
    /// Load a bitstream (GBS file) into a port
    Reconfigure(bitstream::ReconfigureArgs),
    /// Write a GBS file with a bitstream that the model takes
    Package(bitstream::PackageArgs),
}

/// Runs `pmd afu`.
pub(crate) fn run(args: &AfuArgs) -> Result<(), Fault> {
    match (&args.command, &args.script) {
        // It needs no card.
        (Some(_), Some(_)) => Err(Fault::Usage("--script has the commands: give no other beside it".into())),
        (Some(Command::Package(package)), _) => bitstream::package(package, args.source.json),
        (Some(command), _) => one(&mut Session::open(&args.source)?, command),
        (None, Some(file)) => script::run(&args.source, file),
        (None, None) => Err(Fault::Usage("give a command, such as `pmd afu lpbk`, or --script FILE".into())),
    }
}

/// Runs one command on an open card.
fn one(session: &mut Session, command: &Command) -> Result<(), Fault> {
    match command {
        Command::Ls => lists::ls(session),
        Command::Walk => lists::walk(session),
        Command::Peek(args) => lists::peek(session, args),
        Command::Poke(args) => lists::poke(session, args),
        Command::Info(args) => info::run(session, args),
        Command::Reset(args) => lists::reset(session, args),
        Command::Lpbk(args) => exercise::lpbk(session, args),
        Command::Mem(args) => exercise::mem(session, args),
        Command::Hello(args) => exercise::hello(session, args),
        Command::Stream(args) => stream::run(session, args),
        Command::Bench(args) => bench::run(session, args),
        Command::Reconfigure(args) => bitstream::reconfigure(session, args),
        Command::Package(args) => bitstream::package(args, session.json()),
    }
}

impl From<AfuError> for Fault {
    fn from(error: AfuError) -> Fault {
        match error {
            AfuError::Parameter { .. }
            | AfuError::NoAccelerator { .. }
            | AfuError::NoMatch
            | AfuError::NoPort { .. } => Fault::Usage(error.to_string()),
            AfuError::Device(error) => error.into(),
            AfuError::Dma(error) => error.into(),
            error => Fault::Run(error.to_string()),
        }
    }
}
