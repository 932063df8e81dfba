//! Running the tool and reading what it says.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the tool with `args`, separated by white space.
pub(crate) fn pmd(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmd"));
    command.args(args.split_whitespace()).stdin(Stdio::null());
    command
}

/// Runs the tool; one that hangs is ended and fails the test.
#[track_caller]
pub(crate) fn run(args: &str) -> Ran {
    let output = assert_cmd::Command::from(pmd(args)).timeout(Duration::from_secs(100)).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!ran.stderr.contains("panicked"), "pmd {args}: {}", ran.stderr);
    ran
}

/// Runs `pmd fwd --json`, which must succeed and balance.
#[track_caller]
pub(crate) fn forward(args: &str) -> Value {
    let ran = run(&format!("fwd --json --stats-period 0 {args}"));
    assert_eq!(ran.code, Some(0), "pmd fwd {args}\n{}\n{}", ran.stderr, ran.stdout);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["balanced"], true, "{report:#}");
    report
}

/// Runs what cannot be: it must say so in one line that starts with `pmd: ` and contains `words`, with nothing else on
/// either output. Returns the line.
#[track_caller]
pub(crate) fn refused(code: i32, args: &str, words: &[&str]) -> String {
    let ran = run(args);
    assert_eq!(ran.code, Some(code), "pmd {args}\n{}\n{}", ran.stderr, ran.stdout);
    assert_eq!(ran.stdout, "", "pmd {args}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [line] = lines[..] else { panic!("pmd {args}: not one line: {}", ran.stderr) };
    assert!(line.starts_with("pmd: "), "pmd {args}: {line}");
    for word in words {
        assert!(line.contains(word), "pmd {args}: no \"{word}\" in: {line}");
    }
    line.to_owned()
}

/// Returns the number at a JSON pointer.
#[track_caller]
pub(crate) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

/// Waits for a child; one that hangs is ended and fails the test.
#[track_caller]
pub(crate) fn wait(mut child: Child, limit: Duration) -> Ran {
    let end = Instant::now() + limit;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("still running after {limit:?}: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Returns the path as text without white space, as [`pmd`] needs it.
pub(crate) fn text(path: &Path) -> &str {
    let text = path.to_str().unwrap();
    assert!(!text.contains(char::is_whitespace), "{text}");
    text
}
