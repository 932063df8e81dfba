//! `pmd afu` from the command line: lists, tests with their verdicts, scripts, bitstreams, Ctrl-C, a served card.

mod loops;
mod shows;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Returns `pmd afu` with these arguments, separated by white space.
fn afu(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmd"));
    command.arg("afu").args(args.split_whitespace()).stdin(Stdio::null());
    command
}

fn finish(command: Command) -> Output {
    let output = assert_cmd::Command::from(command).timeout(Duration::from_secs(100)).output().unwrap();
    assert!(!err(&output).contains("panicked"), "{}", err(&output));
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs what must end with this exit code, and returns standard output and standard error.
#[track_caller]
fn ends(code: i32, args: &str) -> (String, String) {
    let output = finish(afu(args));
    let (out, err) = (out(&output), err(&output));
    assert_eq!(output.status.code(), Some(code), "pmd afu {args}\n{out}\n{err}");
    (out, err)
}

/// Runs what must end with this exit code, and returns its JSON.
#[track_caller]
fn json(code: i32, args: &str) -> Value {
    let (out, _) = ends(code, &format!("--json {args}"));
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("pmd afu --json {args}: {error}\n{out}"))
}
