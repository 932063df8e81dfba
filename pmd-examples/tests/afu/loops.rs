//! Tests of accelerators, and their verdicts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{afu, ends, finish, json};

#[test]
fn loopback_and_memory_run_every_mode_and_pass() {
    for command in ["lpbk", "mem"] {
        let report = json(0, command);
        assert_eq!(report["pass"], true, "{report:#}");
        let tests = report["tests"].as_array().unwrap();
        assert!(tests.len() > 40, "{}", tests.len());
        for test in tests {
            let name = test["test"].as_str().unwrap();
            let count = |key: &str| test[key].as_u64().unwrap();
            let (reads, writes) = match name {
                _ if name.contains("atomic") => (1024, 2048),
                _ if name.starts_with("lpbk") => (1024, 1024),
                _ if name.starts_with("read") => (1024, 0),
                _ if name.starts_with("write") => (0, 1024),
                _ => (512, 512),
            };
            assert_eq!((count("reads"), count("writes")), (reads, writes), "{test}");
            assert!(count("clocks") > 0 && test["gigabytes_per_second"].as_f64().unwrap() > 0.1, "{test}");
        }
    }
}

#[test]
fn one_mode_is_shown_as_host_exerciser_does() {
    let (out, _) = ends(0, "lpbk -m trput --cls cl_4 --interleave 2 --lines 4096");
    for line in [
        "API version: 4",
        "Bus width: 64 bytes",
        "AFU clock: 400 MHz",
        "Total number of Reads sent: 2048",
        "Total number of Writes sent: 2048",
        "Test trput cl_4: PASS",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    let (out, _) = ends(0, "mem --atomic cas_8");
    assert!(out.contains("Local memory bus width: 64 bytes") && out.contains("PASS"), "{out}");
    ends(0, "lpbk --interrupt 3");
}

#[test]
fn native_loopback_serves_where_there_is_no_exerciser() {
    let report = json(0, "--model nlb0 lpbk");
    assert_eq!(
        (report["accelerator"]["name"].as_str(), report["pass"].as_bool()),
        (Some("NLB0"), Some(true))
    );
    assert_eq!(report["tests"].as_array().unwrap().len(), 12);
    let (_, err) = ends(2, "--model nlb0 lpbk --atomic fadd_4");
    assert!(err.contains("--atomic is for host exercisers"), "{err}");
    let (out, _) = ends(0, "hello");
    assert_eq!(out, "Running Test\nDone Running Test\n");
}

#[test]
fn a_corrupted_line_is_a_failure() {
    let order = |text: &str, args: &str| {
        let mut command = afu("");
        command.args(["--order", text]).args(args.split_whitespace());
        let output = finish(command);
        (output.status.code(), super::out(&output), super::err(&output))
    };
    let (code, out, err) = order("corrupt 0 17", "lpbk -m lpbk");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("Test lpbk cl_1: FAIL") && out.contains("differs at byte 0x44"), "{out}");
    assert_eq!(err, "pmd: 1 of 1 tests failed\n");
    let (code, out, err) = order("corrupt 1 17", "mem");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains(": FAIL"), "{out}");
    let (code, out, err) = order("corrupt 2 3", "hello");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(!out.contains("Done") && err.contains("output does not match input"), "{out}{err}");
    let (code, out, err) = order("corrupt 3 0", "stream -n 50");
    assert_eq!(code, Some(1), "{out}{err}");
}

#[test]
fn an_accelerator_that_never_ends_is_a_failure_in_time() {
    let mut command = afu("");
    command.args(["--order", "stall 0 on", "lpbk", "-m", "lpbk", "-t", "200"]);
    let start = Instant::now();
    let output = finish(command);
    assert_eq!(output.status.code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let out = super::out(&output);
    assert!(out.contains("did not finish within 200 ms") && out.contains("FAIL"), "{out}");
}

#[test]
fn the_stream_accelerator_does_its_work() {
    let report = json(0, "stream -n 2000 --size 1500 --ring 64");
    assert_eq!((report["work"].as_u64(), report["wrong"].as_u64()), (Some(2000), Some(0)), "{report}");
    assert_eq!(report["bytes"].as_u64(), Some(2000 * 1500));
}

#[test]
fn bandwidth_is_measured_beside_a_copy() {
    let report = json(0, "bench --sizes 4,64 --time 20");
    let sizes = report["sizes"].as_array().unwrap();
    assert_eq!(sizes.len(), 2);
    for row in sizes {
        for key in ["loopback", "accelerator", "copy"] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{row}");
        }
    }
}

#[test]
fn continuous_mode_ends_by_time_and_by_ctrl_c() {
    let report = json(0, "lpbk -m trput --continuousmode true --contmodetime 1");
    assert!(report["tests"][0]["reads"].as_u64().unwrap() > 1024, "{report:#}");
    assert_eq!(report["interrupted"], false);

    let mut command = afu("--json mem -m lpbk --continuousmode --contmodetime 600");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let waited = std::thread::spawn(move || child.wait_with_output().unwrap());
    // The first line of rates says that the test runs; it takes a second.
    std::thread::sleep(Duration::from_millis(2500));
    let start = Instant::now();
    kill_process(pid, Signal::INT).unwrap();
    let output = waited.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(output.status.code(), Some(0), "{}", super::err(&output));
    let report: serde_json::Value = serde_json::from_str(&super::out(&output)).unwrap();
    assert_eq!((report["pass"].as_bool(), report["interrupted"].as_bool()), (Some(true), Some(true)));
    assert!(super::err(&output).contains("GB/s"), "{}", super::err(&output));
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, says) in [
        ("lpbk --lines 0", "lines cannot be 0"),
        ("lpbk --cls cl_16 --lines 24", "whole requests"),
        ("lpbk --stride 64", "the stride cannot be 64"),
        ("lpbk --interleave 3 -m trput", "interleave"),
        ("lpbk --continuousmode --interrupt 0", "interrupt"),
        ("--model dummy mem", "no accelerator"),
        ("--model dummy stream", "no accelerator"),
        ("lpbk --port 7", "no accelerator"),
        ("stream --ring 4096", "queue's size"),
        ("", "give a command"),
        ("frobnicate", "frobnicate"),
    ] {
        let (out, err) = ends(2, args);
        assert!(err.contains(says), "pmd afu {args}: {err}");
        assert!(!out.contains("PASS"), "{out}");
    }
    let (_, err) = ends(1, "--socket /nonexistent/socket ls");
    assert!(err.contains("/nonexistent/socket"), "{err}");
}
