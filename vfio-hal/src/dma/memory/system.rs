//! What the system has: hugepages, where they are mounted, how much may be locked.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The hugepages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugepagePool {
    /// The page size in bytes.
    pub page: u64,
    /// Pages in the pool.
    pub total: u64,
    /// Pages that nobody uses and nobody was promised.
    pub free: u64,
}

/// Returns the system's hugepages, by ascending size. Empty without hugepage support.
pub fn hugepage_pools() -> Vec<HugepagePool> {
    read_pools(Path::new("/sys/kernel/mm/hugepages"))
}

/// Returns the hugepages of one NUMA node, by ascending size. Empty if there is no such node.
pub fn hugepage_pools_of_node(node: u32) -> Vec<HugepagePool> {
    read_pools(Path::new(&format!("/sys/devices/system/node/node{node}/hugepages")))
}

fn read_pools(dir: &Path) -> Vec<HugepagePool> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut pools: Vec<HugepagePool> = entries.filter_map(|entry| read_pool(&entry.path())).collect();
    pools.sort_by_key(|pool| pool.page);
    pools
}

/// Reads a folder named like `hugepages-2048kB`.
fn read_pool(dir: &Path) -> Option<HugepagePool> {
    let kib: u64 = dir.file_name()?.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    let read = |name: &str| -> Option<u64> { fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok() };
    // Nodes do not count promised pages.
    let promised = read("resv_hugepages").unwrap_or(0);
    Some(HugepagePool {
        page: kib.checked_mul(1024)?,
        total: read("nr_hugepages")?,
        free: read("free_hugepages")?.saturating_sub(promised),
    })
}

/// Returns where hugetlbfs is mounted, with the page size in bytes of each mount.
pub fn hugetlbfs_mounts() -> Vec<(PathBuf, u64)> {
    let mounts = fs::read("/proc/mounts").unwrap_or_default();
    let paths = mount_points(&mounts).into_iter();
    paths
        .filter_map(|path| {
            // The file system's block size is its page size.
            let page = rustix::fs::statfs(&path).ok()?.f_bsize;
            Some((path, u64::try_from(page).ok()?))
        })
        .collect()
}

/// Returns the mount points of all hugetlbfs lines of a `/proc/mounts`.
fn mount_points(mounts: &[u8]) -> Vec<PathBuf> {
    let lines = mounts.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| {
            let mut words = line.split(|&byte| byte == b' ');
            let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
            (kind == b"hugetlbfs").then(|| unescape(path))
        })
        .collect()
}

/// Undoes the octal escapes (`\040` for a space) of `/proc/mounts`.
fn unescape(path: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

/// How much memory this process may lock, by itself or by mapping it through the kernel's VFIO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memlock {
    /// RLIMIT_MEMLOCK in bytes, `None` for no limit.
    pub limit: Option<u64>,
    /// Bytes locked already.
    pub locked: u64,
    /// The limit does not count: the calling thread has CAP_IPC_LOCK.
    pub privileged: bool,
}

impl Memlock {
    /// Reads the limit and what is used of it.
    pub fn read() -> Memlock {
        // Capabilities are the calling thread's own.
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a live, writable rlimit.
        let failed = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } != 0;
        let unlimited = failed || limit.rlim_cur == libc::RLIM_INFINITY;
        Memlock { limit: (!unlimited).then_some(limit.rlim_cur), ..Memlock::from_status(&status) }
    }

    fn from_status(status: &str) -> Memlock {
        const CAP_IPC_LOCK: u32 = 14;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let kib = field("VmLck:").and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok());
        let caps = field("CapEff:").and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
        Memlock {
            limit: None,
            locked: kib.unwrap_or(0).saturating_mul(1024),
            privileged: caps & (1 << CAP_IPC_LOCK) != 0,
        }
    }

    /// Returns how many more bytes may be locked, `None` for any number.
    pub fn left(&self) -> Option<u64> {
        let limit = self.limit.filter(|_| !self.privileged)?;
        Some(limit.saturating_sub(self.locked))
    }

    /// Returns whether `len` more bytes may be locked.
    pub fn allows(&self, len: u64) -> bool {
        self.left().is_none_or(|left| len <= left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_kind_and_unescaped() {
        let mounts = b"none / ext4 rw 0 0\nnone /dev/huge\\040pages hugetlbfs rw,pagesize=2M 0 0\n\nhugetlbfs /h\\ hugetlbfs\nx /\\999 hugetlbfs";
        let paths = mount_points(mounts);
        assert_eq!(paths, ["/dev/huge pages", "/h\\", "/\\999"].map(PathBuf::from));
        assert!(mount_points(b"").is_empty());
        assert!(mount_points(b"hugetlbfs").is_empty());
    }

    #[test]
    fn the_lock_limit_counts_what_is_locked_unless_privileged() {
        let status = "Name:\tx\nVmLck:\t      64 kB\nCapEff:\t0000000000000000\n";
        let memlock = Memlock { limit: Some(100 << 10), ..Memlock::from_status(status) };
        assert_eq!(memlock.left(), Some(36 << 10));
        assert!(memlock.allows(36 << 10) && !memlock.allows((36 << 10) + 1));
        assert!(Memlock { privileged: true, ..memlock }.allows(u64::MAX));
        assert!(Memlock { limit: None, ..memlock }.allows(u64::MAX));
        assert!(Memlock::from_status("CapEff:\t000001ffffffffff").privileged);
        assert!(!Memlock::from_status("CapEff:\t0000000000003fff").privileged);
        assert_eq!(
            Memlock::from_status("VmLck: lots"),
            Memlock { limit: None, locked: 0, privileged: false }
        );
    }
}
