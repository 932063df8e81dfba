//! Help, and what is said of a command line that cannot be read.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Error};

use crate::cli::Cli;
use crate::{fault, note};

/// Prints what clap answered: help and version as they are, an error as one line with the way to help.
pub(crate) fn answer(error: &Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that has left has seen enough.
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(fault::USAGE) } else { ExitCode::SUCCESS };
    }
    let word = std::env::args().nth(1).unwrap_or_default();
    let command = Cli::command().find_subcommand(&word).map_or("pmd".to_owned(), |_| format!("pmd {word}"));
    note!("pmd: {}; see {command} --help", one_line(&error.render().to_string()));
    ExitCode::from(fault::USAGE)
}

/// Makes one line of clap's paragraphs: the error itself, then its tips; how to use it is in the help.
fn one_line(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(error) = words.strip_prefix("error: ") {
            parts.push(error.to_owned());
        } else if words.starts_with("tip: ") {
            parts.extend(words.split("tip: ").map(|tip| tip.trim().to_owned()).filter(|tip| !tip.is_empty()));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_become_one_line() {
        let text = "error: unexpected argument '--durations' found\n\n  tip: a similar argument exists: '--duration'\n\n\
                    Usage: pmd fwd --duration <TIME>\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(text),
            "unexpected argument '--durations' found; a similar argument exists: '--duration'"
        );
    }

    #[test]
    fn a_list_of_values_stays_in_it() {
        let text = "error: invalid value 'x' for '--forward-mode <MODE>'\n  [possible values: io, mac]\n\n\
                    For more information, try '--help'.\n";
        assert_eq!(
            one_line(text),
            "invalid value 'x' for '--forward-mode <MODE>' [possible values: io, mac]"
        );
    }
}
