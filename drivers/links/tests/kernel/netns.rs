//! Network namespaces for tests, removed whatever happens.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether tests that need root shall run. `KIT_ROOT_TESTS=1` demands them; without it the reason is said on the
/// standard error itself, which the test harness does not swallow, as `SKIP <test>: <reason>`.
pub(crate) fn wanted(test: &str) -> bool {
    if std::env::var_os("KIT_ROOT_TESTS").is_some_and(|value| value == "1") {
        assert!(is_root(), "KIT_ROOT_TESTS=1 needs root: run as root, or unset it");
        return true;
    }
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "SKIP pmd-links/kernel::{test}: needs root and network namespaces (set KIT_ROOT_TESTS=1)"
    )
    .unwrap();
    false
}

fn try_ip(args: &str) -> Result<String, String> {
    let output =
        Command::new("ip").args(args.split_whitespace()).output().expect("ip (iproute2) is installed");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Runs `ip` and returns what it prints.
#[track_caller]
pub(crate) fn ip(args: &str) -> String {
    try_ip(args).unwrap_or_else(|error| panic!("{error}"))
}

/// A namespace that goes with this value.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn new() -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pmd-links-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` inside.
    #[track_caller]
    pub(crate) fn ip(&self, args: &str) -> String {
        ip(&format!("-n {} {args}", self.name))
    }

    /// Runs something on a thread inside; sockets and interfaces that it opens stay there, wherever they go.
    pub(crate) fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
                action()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = try_ip(&format!("netns del {}", self.name)) {
            eprintln!("{error}");
        }
    }
}
