//! Standard output and standard error, for a tool whose reader may leave at any time.
//!
//! [`out!`](crate::out) and [`note!`](crate::note) replace `println!` and `eprintln!`, which panic when nobody reads. A
//! reader that has left ([`reader_left`]) ends a run as Ctrl-C does; any other failure, such as a full disk, is told by
//! [`finish`].

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use crate::fault::Fault;

/// The first failure: nothing is written after it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output, where results go.
#[macro_export]
macro_rules! out {
    ($($arg:tt)*) => { $crate::output::line(format_args!($($arg)*)) };
}

/// Prints a line to standard error, where everything goes that is not the result.
#[macro_export]
macro_rules! note {
    ($($arg:tt)*) => { $crate::output::note(format_args!($($arg)*)) };
}

pub(crate) fn line(text: fmt::Arguments<'_>) {
    if FAILED.get().is_some() {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        let _ = FAILED.set(error);
    }
}

pub(crate) fn note(text: fmt::Arguments<'_>) {
    // There is no third place to complain at.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a value as JSON to standard output.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Fault::Run(error.to_string()))?;
    out!("{text}");
    Ok(())
}

/// Returns whether nobody reads standard output any more.
pub(crate) fn reader_left() -> bool {
    FAILED.get().is_some()
}

/// Returns whether all output got to its reader, or as far as that one wanted it.
pub(crate) fn finish() -> Result<(), Fault> {
    match FAILED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fault::Run(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
