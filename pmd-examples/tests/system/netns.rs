//! Network namespaces and processes in them, removed whatever happens.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Whether tests that need root shall run. `KIT_ROOT_TESTS=1` demands them; without it the reason is said on the standard
/// error itself, which the test harness does not swallow.
pub(crate) fn wanted(test: &str) -> bool {
    if std::env::var_os("KIT_ROOT_TESTS").is_some_and(|value| value == "1") {
        let uid = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(uid, 0, "KIT_ROOT_TESTS=1 needs root: run as root, or unset it");
        return true;
    }
    let reason = "needs root and network namespaces (set KIT_ROOT_TESTS=1)";
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIP pmd-examples/system::{test}: {reason}").unwrap();
    false
}

/// Whether there is time for the whole amount (`KIT_LONG=1`): returns `long` then, else `short`.
pub(crate) fn amount(short: usize, long: usize) -> usize {
    if std::env::var_os("KIT_LONG").is_some_and(|value| value == "1") { long } else { short }
}

#[track_caller]
fn ip(args: &str) {
    let output =
        Command::new("ip").args(args.split_whitespace()).output().expect("ip (iproute2) is installed");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A namespace that goes with this value.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    #[track_caller]
    pub(crate) fn new() -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pmd-system-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` inside.
    #[track_caller]
    pub(crate) fn ip(&self, args: &str) {
        ip(&format!("-n {} {args}", self.name));
    }

    /// Returns a command that runs inside.
    pub(crate) fn command(&self, program: &str, args: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).args(args.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command inside that must succeed; returns what it prints.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, args: &str) -> String {
        let output = self.command(program, args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program} {args}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Keeps the stack's own IPv6 chatter out of a namespace that only passes frames.
    pub(crate) fn without_ipv6(self) -> Namespace {
        self.run("sysctl", "-qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        self
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// A process that ends with this value.
pub(crate) struct Process(Option<Child>);

impl Process {
    pub(crate) fn spawn(mut command: Command) -> Process {
        Process(Some(command.spawn().unwrap()))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Waits for its end; one that hangs fails the test.
    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> Output {
        let end = Instant::now() + limit;
        while self.child().try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "still running after {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
