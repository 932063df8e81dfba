//! How a run ends: by time, by Ctrl-C, by a second one, by a reader that leaves, by a device that vanishes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::frames::many;
use super::pcap::Files;
use super::support::{Ran, pmd, run, text, wait};

/// A run under way, whose standard error is read line by line.
pub(crate) struct Under {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Under {
    pub(crate) fn start(args: &str) -> Under {
        let mut child = pmd(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Under { child, lines }
    }

    /// Waits until it says `words`; returns that line.
    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended before it said {words}");
        }
        line.trim().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    #[track_caller]
    pub(crate) fn wait(mut self) -> Ran {
        let rest = thread::spawn(move || {
            let mut text = String::new();
            self.lines.read_to_string(&mut text).unwrap();
            text
        });
        let ran = wait(self.child, Duration::from_secs(60));
        Ran { stderr: rest.join().unwrap(), ..ran }
    }
}

#[test]
fn ctrl_c_drains_and_prints_totals() {
    for signal in [Signal::INT, Signal::TERM] {
        for args in ["", "--models threads", "--models threads --idle interrupt"] {
            let mut run = Under::start(&format!("fwd --duration 0 --stats-period 0 {args}"));
            run.until("lcore on core");
            thread::sleep(Duration::from_millis(200));
            run.signal(signal);
            let ran = run.wait();
            assert_eq!(ran.code, Some(0), "{args}: {}", ran.stderr);
            assert!(
                ran.stdout.contains("Accumulated forward statistics") && ran.stdout.contains(": balanced")
            );
            assert!(ran.stderr.contains("stopping"), "{}", ran.stderr);
        }
    }
}

#[test]
fn ctrl_c_ends_the_other_commands_too() {
    let files = Files::new(&many(10));
    let dump = format!("dump --duration 0 -w {}", text(&files.path("out.pcap")));
    for (args, says) in [("gen --duration 0", "good"), (&dump, "packets written")] {
        let mut run = Under::start(args);
        run.until("link up");
        thread::sleep(Duration::from_millis(100));
        run.signal(Signal::INT);
        let ran = run.wait();
        assert_eq!(ran.code, Some(0), "{args}: {}", ran.stderr);
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
    }
    assert!(!files.out().is_empty());
}

#[test]
fn ctrl_c_while_waiting_for_a_link_ends_cleanly() {
    let start = Instant::now();
    let mut run = Under::start("fwd --vdev net_ixgbe0,module=absent");
    run.until("waiting for the link");
    run.signal(Signal::INT);
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("RX-packets: 0 "), "{}", ran.stdout);
    assert!(start.elapsed() < Duration::from_secs(8), "it waited for the link all the same");
}

/// The peer pauses the sender for good, so draining takes as long as it may.
#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut run =
        Under::start("fwd --vdev net_ixgbe0,link=gen,pause=1000s@1ms --duration 0 --stats-period 0");
    run.until("lcore on core");
    thread::sleep(Duration::from_millis(100));
    run.signal(Signal::INT);
    run.until("stopping");
    run.signal(Signal::INT);
    let ran = run.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""), "{}", ran.stderr);
}

#[test]
fn what_a_paused_link_does_not_take_is_accounted_for() {
    let ran = run("fwd --vdev net_ixgbe0,link=gen,pause=1000s@1ms --duration 200ms --json --stats-period 0");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["balanced"], true);
    let left = report["total"]["tx_left"].as_u64().unwrap();
    assert!((1..=1024).contains(&left), "{report:#}");
}

#[test]
fn a_reader_that_leaves_ends_the_run() {
    let mut child = pmd("fwd --duration 0 --stats-period 20ms")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let ran = wait(child, Duration::from_secs(30));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("pmd: "), "{}", ran.stderr);
}

#[test]
fn nobody_needs_to_read_standard_error() {
    let mut child = pmd("fwd --duration 300ms --json --stats-period 20ms")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let ran = wait(child, Duration::from_secs(30));
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("\"balanced\": true"));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    for args in
        ["fwd --duration 100ms", "fwd --duration 100ms --json", "info", "doctor", "gen --duration 100ms"]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = pmd(args).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let ran = wait(child, Duration::from_secs(30));
        assert_eq!(ran.code, Some(1), "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains("pmd: cannot write to standard output: No space left"), "{}", ran.stderr);
    }
}

#[test]
fn a_capture_that_cannot_be_written_is_an_error() {
    let files = Files::new(&many(2000));
    let args = files.one_port().replace(text(&files.path("out.pcap")), "/dev/full");
    let ran = run(&format!("fwd {args}"));
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("/dev/full") && ran.stderr.contains("No space left"), "{}", ran.stderr);
}

/// At start-up or in the middle of bursts, inline or on its own thread: an error, no hang, no panic; once packets have
/// passed, totals too.
#[test]
fn a_device_that_vanishes_is_an_error() {
    for accesses in [0, 1, 100, 1000, 3000, 20_000] {
        for models in ["inline", "threads"] {
            let args = format!(
                "fwd --vdev net_ixgbe0,die={accesses},link=gen --vdev net_ixgbe1,link=gen --models {models} \
                 --stats-period 10ms --duration 60 --json"
            );
            let ran = run(&args);
            assert_eq!(ran.code, Some(1), "{args}\n{}", ran.stderr);
            let last = ran.stderr.lines().last().unwrap();
            assert!(last.starts_with("pmd: ") && last.contains("the device is gone"), "{args}: {last}");
            if accesses >= 20_000 {
                let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
                assert!(report["total"]["rx_packets"].as_u64().unwrap() > 0, "{report:#}");
                assert!(report["error"].as_str().unwrap().contains("the device is gone"));
                assert_eq!(report["balanced"], false);
            }
        }
    }
}

#[test]
fn other_commands_survive_a_lost_device_too() {
    let files = Files::new(&[]);
    let dump = format!("dump --vdev net_ixgbe0,die=5000,link=gen -w {}", text(&files.path("out.pcap")));
    for args in ["gen --vdev net_ixgbe0,die=5000,link=loop", &dump, "info --vdev net_ixgbe0,die=100"] {
        let ran = run(args);
        assert_eq!(ran.code, Some(1), "{args}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("the device is gone"), "{}", ran.stderr);
    }
}
