//! `pmd` at work in a namespace.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::netns::{Namespace, Process};

/// A run of `pmd` that is ended by Ctrl-C.
pub(crate) struct Tool {
    process: Process,
    /// A file, so that the tool never waits for its reader.
    stderr: File,
}

impl Tool {
    /// Starts `pmd` and waits until its lcores run.
    #[track_caller]
    pub(crate) fn start(namespace: &Namespace, args: &str) -> Tool {
        let stderr = tempfile::tempfile().unwrap();
        let mut command = namespace.command(env!("CARGO_BIN_EXE_pmd"), args);
        command.stderr(stderr.try_clone().unwrap());
        let mut tool = Tool { process: Process::spawn(command), stderr };
        let end = Instant::now() + Duration::from_secs(20);
        while !tool.says().contains("lcore on core") {
            let ended = tool.process.child().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "pmd {args}: {ended:?} {}", tool.says());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!tool.says().contains("link down"), "{}", tool.says());
        tool
    }

    pub(crate) fn says(&mut self) -> String {
        let mut text = String::new();
        // Its own position: the tool appends through another one.
        let mut file =
            File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.stderr))).unwrap();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    /// Ctrl-C; returns the report, which must be that of a good run.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Value {
        kill_process(Pid::from_child(self.process.child()), Signal::INT).unwrap();
        let (code, report, says) = self.wait();
        assert_eq!(code, Some(0), "{says}\n{report:#}");
        assert_eq!(report["balanced"], true, "{report:#}");
        report
    }

    /// Waits until it ends by itself; returns exit code, report and standard error.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (Option<i32>, Value, String) {
        let says = self.says();
        let Tool { process, mut stderr } = self;
        let output = process.wait(Duration::from_secs(20));
        let mut rest = String::new();
        stderr.rewind().unwrap();
        stderr.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("panicked"), "{rest}");
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {says}{rest}")), rest)
    }
}
