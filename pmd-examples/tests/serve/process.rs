//! A `pmd serve` that runs until it is asked for its totals.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use rustix::process::{Pid, Signal, kill_process};

/// After this something is not late but wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Serving {
    child: Child,
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
    /// What it says of its sandbox.
    pub(crate) sandbox: String,
    _rest: Receiver<String>,
}

impl Serving {
    /// Serves a model on a socket of its own, and waits until it does.
    pub(crate) fn start(args: &[&str]) -> Serving {
        Serving::start_by(Command::cargo_bin("pmd").unwrap(), args)
    }

    /// The same with a command that runs `pmd`.
    pub(crate) fn start_by(mut command: Command, args: &[&str]) -> Serving {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        command.args(["serve", "ixgbe", "--json", "--socket"]).arg(&path).args(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, told) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut said = Vec::new();
        let sandbox = loop {
            let line = told.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("it never served: {said:?}"));
            if line.starts_with("sandbox: ") {
                break line;
            }
            said.push(line);
        };
        Serving { child, path, _folder: folder, sandbox, _rest: told }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `/proc/PID/NAME` says.
    pub(crate) fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(Path::new("/proc").join(self.pid().to_string()).join(name)).unwrap()
    }

    /// Descriptors that are open, and resident memory in kB.
    pub(crate) fn holds(&self) -> (usize, u64) {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count();
        let status = self.proc("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        (fds, resident.split_whitespace().next().unwrap().parse().unwrap())
    }

    /// Ends it and returns what it printed of its device.
    pub(crate) fn totals(mut self) -> serde_json::Value {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let start = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(code.code(), Some(0), "{text}");
        assert!(!self.path.exists(), "the socket's file is gone");
        let totals: serde_json::Value = serde_json::from_str(&text).unwrap();
        totals[0].clone()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A number in totals.
pub(crate) fn number(totals: &serde_json::Value, path: &str) -> u64 {
    totals.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{path} in {totals}"))
}
