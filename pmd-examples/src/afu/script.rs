//! Several commands on one card.

use std::path::Path;

use clap::Parser;

use super::options::SourceArgs;
use super::session::Session;
use super::{Command, one};
use crate::fault::Fault;

/// Longer scripts than anybody writes, in bytes.
const MOST: u64 = 1 << 20;

/// One line of a script.
#[derive(Parser)]
#[command(no_binary_name = true, name = "afu")]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Runs the commands in a file. All of them are read before the first one runs.
pub(super) fn run(source: &SourceArgs, file: &Path) -> Result<(), Fault> {
    let wrong = |error: std::io::Error| Fault::Usage(format!("{}: {error}", file.display()));
    if std::fs::metadata(file).map_err(wrong)?.len() > MOST {
        return Err(Fault::Usage(format!("{}: a script has at most {MOST} bytes", file.display())));
    }
    let text = std::fs::read_to_string(file).map_err(wrong)?;
    let mut commands = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        if line.trim().is_empty() {
            continue;
        }
        let parsed = Line::try_parse_from(line.split_whitespace()).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Fault::Usage(format!("{}:{number}: {first}", file.display()))
        })?;
        commands.push((number, line.trim().to_owned(), parsed.command));
    }
    let mut session = Session::open(source)?;
    for (number, text, command) in &commands {
        session.say(format_args!("> {text}"));
        one(&mut session, command).map_err(|fault| fault.of(&format!("{}:{number}", file.display())))?;
        if session.stop.is_set() {
            return Err(Fault::Run(format!("{}:{number}: interrupted", file.display())));
        }
    }
    Ok(())
}
