//! Confinement: once sockets and links are open, a serving process gives up what it does not need any more.
//!
//! 1. [Landlock](landlock): no file is opened, made or removed any more, but that sockets' files go away at the end; no TCP,
//!    no abstract sockets, no signals to other processes. It holds for the thread that asks and those it starts later.
//! 2. [seccomp](seccompiler): only the [calls] that serving these links takes; any other is answered with EPERM, and a
//!    few that only an intruder makes end the process. It holds for all threads.
//!
//! Then it is tried: what must be refused has to be refused, or the command ends.
//!
//! Key types: [`FileRules`], [`confine_calls`], [`SandboxError`]. Neighbours: the command calls the two between opening and
//! serving.

mod calls;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use pmd_links::Kind;
use rustix::io::Errno;

/// Why a process is not confined.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// The filter cannot be made or is refused.
    #[error("seccomp refuses the filter of system calls ({0}): --no-sandbox goes without")]
    Seccomp(String),
    /// Landlock is there and refuses.
    #[error("Landlock refuses its rules ({0}): --no-sandbox goes without")]
    Landlock(#[from] RulesetError),
    /// Something that must be refused is not.
    #[error("the sandbox does not hold: {what} went through. --no-sandbox goes without")]
    Leaks {
        /// What was tried.
        what: &'static str,
    },
}

/// What Landlock does for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRules {
    /// Every rule holds.
    Full,
    /// Some rules are newer than this kernel.
    Partial,
    /// This kernel has Landlock, and it was not switched on when it started.
    SwitchedOff,
    /// This kernel was built without.
    Missing,
}

impl FileRules {
    /// Returns what is on, as words for people.
    pub(super) fn words(self) -> &'static str {
        match self {
            FileRules::Full => "files closed by Landlock",
            FileRules::Partial => {
                "files closed by Landlock, without the newest rules, which this kernel does not know"
            }
            FileRules::SwitchedOff => {
                "no Landlock, which this kernel has switched off (add it to the kernel's lsm= list): files are closed by seccomp alone"
            }
            FileRules::Missing => "no Landlock in this kernel: files are closed by seccomp alone",
        }
    }
}

/// Closes the file system for this thread and those it starts. What is open stays so; `sockets` can be removed.
pub(super) fn confine_files(sockets: &[PathBuf]) -> Result<FileRules, SandboxError> {
    const KNOWN: ABI = ABI::V6;
    let folders = sockets.iter().map(|socket| match socket.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    });
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(folders, AccessFs::RemoveFile))?
        .restrict_self()?;
    let rules = of_status(&status);
    if matches!(rules, FileRules::Full | FileRules::Partial) && std::fs::read_dir("/").is_ok() {
        return Err(SandboxError::Leaks { what: "reading the root directory" });
    }
    Ok(rules)
}

fn of_status(status: &RestrictionStatus) -> FileRules {
    match (&status.ruleset, &status.landlock) {
        (RulesetStatus::FullyEnforced, _) => FileRules::Full,
        (RulesetStatus::PartiallyEnforced, _) => FileRules::Partial,
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => FileRules::SwitchedOff,
        (RulesetStatus::NotEnforced, _) => FileRules::Missing,
    }
}

/// Limits all threads to the system calls that serving needs, with links of these kinds, and doorbells in memory or not. Returns how many those are.
pub(super) fn confine_calls<'k>(
    links: impl IntoIterator<Item = &'k Kind>,
    mapped_doorbells: bool,
) -> Result<usize, SandboxError> {
    let (allowed, fatal) = (calls::allowed(links, mapped_doorbells), calls::fatal());
    let count = allowed.len();
    // The fatal ones first: the filter after them allows no more filters.
    for program in [calls::ending(fatal), calls::refusing(allowed)] {
        let program = program.map_err(|error| SandboxError::Seccomp(error.to_string()))?;
        seccompiler::apply_filter_all_threads(&program)
            .map_err(|error| SandboxError::Seccomp(error.to_string()))?;
    }
    let refused = |result: Result<(), Errno>| result == Err(Errno::PERM);
    let open = std::fs::File::open("/dev/null").map(|_| ());
    let open = open.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    if !refused(open) {
        return Err(SandboxError::Leaks { what: "opening a file" });
    }
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        return Err(SandboxError::Leaks { what: "starting a thread" });
    }
    if std::net::UdpSocket::bind("127.0.0.1:0").is_ok() {
        return Err(SandboxError::Leaks { what: "binding a network socket" });
    }
    Ok(count)
}
