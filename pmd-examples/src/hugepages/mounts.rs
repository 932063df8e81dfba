//! Where the file system of hugepages is mounted.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use serde::Serialize;

use super::size::Bytes;
use crate::fault::Fault;

/// One mount.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mount {
    pub(crate) path: PathBuf,
    /// Its options, as the kernel writes them.
    pub(crate) options: String,
}

/// Returns every mount of hugetlbfs.
pub(crate) fn all(root: &Path) -> Vec<Mount> {
    let mounts = fs::read_to_string(root.join("proc/mounts")).unwrap_or_default();
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = |words: Vec<&str>| match words[..] {
        [_, path, "hugetlbfs", options, ..] => {
            Some(Mount { path: path.replace("\\040", " ").into(), options: options.to_owned() })
        }
        _ => None,
    };
    lines.filter_map(mount).collect()
}

/// Refuses what cannot be a place for a mount.
pub(crate) fn check(root: &Path, directory: &Path) -> Result<(), Fault> {
    let mounted = all(root).iter().any(|mount| mount.path == directory);
    let parent = directory.parent().is_some_and(|parent| parent.is_dir());
    match mounted || directory.is_dir() || !directory.exists() && parent {
        true => Ok(()),
        false => Err(Fault::Usage(format!(
            "{} is no folder to mount on, and none can be made there: name another with --directory",
            directory.display()
        ))),
    }
}

/// Mounts pages of size `page`; a mount that is there stays.
pub(crate) fn mount(root: &Path, directory: &Path, page: Bytes) -> Result<(), Fault> {
    if all(root).iter().any(|mount| mount.path == directory) {
        return Ok(());
    }
    if !directory.exists() {
        fs::create_dir(directory)
            .map_err(|error| Fault::Run(format!("cannot make {}: {error}", directory.display())))?;
    }
    let options = std::ffi::CString::new(format!("pagesize={}", page.0)).unwrap_or_default();
    let mounted =
        rustix::mount::mount("nodev", directory, "hugetlbfs", MountFlags::empty(), Some(options.as_c_str()));
    mounted.map_err(|error| failed("mount hugepages on", directory, error))
}

/// Unmounts; what is not mounted stays so.
pub(crate) fn unmount(root: &Path, directory: &Path) -> Result<(), Fault> {
    if !all(root).iter().any(|mount| mount.path == directory) {
        return Ok(());
    }
    let unmounted = rustix::mount::unmount(directory, UnmountFlags::empty());
    unmounted.map_err(|error| failed("unmount", directory, error))
}

fn failed(what: &str, directory: &Path, error: Errno) -> Fault {
    let directory = directory.display();
    Fault::Run(match error {
        Errno::PERM | Errno::ACCESS => format!("no permission to {what} {directory}: run as root"),
        Errno::BUSY => format!("cannot {what} {directory}: a program has a file open there; end it first"),
        error => format!("cannot {what} {directory}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_among_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        let text =
            "tmpfs /tmp tmpfs rw 0 0\nnodev /dev/huge\\040pages hugetlbfs rw,pagesize=2M 0 0\nhugetlbfs\n";
        fs::write(dir.path().join("proc/mounts"), text).unwrap();
        let found = all(dir.path());
        assert_eq!(found, [Mount { path: "/dev/huge pages".into(), options: "rw,pagesize=2M".into() }]);
        assert_eq!(all(Path::new("/nonexistent")), []);
        // Mounted already, and not mounted: nothing to do, so nothing that needs rights.
        mount(dir.path(), Path::new("/dev/huge pages"), Bytes(2 << 20)).unwrap();
        unmount(dir.path(), Path::new("/elsewhere")).unwrap();
        assert!(check(dir.path(), Path::new("/nonexistent/folder")).is_err());
        assert!(check(dir.path(), dir.path()).is_ok());
    }
}
