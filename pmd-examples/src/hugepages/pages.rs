//! The kernel's pools of hugepages: one for each page size, on each NUMA node.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::size::Bytes;
use crate::fault::Fault;

/// The hugepages of one size on one node.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pages {
    /// The node; none on a machine without NUMA.
    pub(crate) node: Option<u32>,
    pub(crate) size: Bytes,
    pub(crate) total: u64,
    pub(crate) free: u64,
    #[serde(skip)]
    dir: PathBuf,
}

/// Returns every pool, by node and size.
pub(crate) fn all(root: &Path) -> Vec<Pages> {
    let mut all: Vec<Pages> = Vec::new();
    for (node, dir) in nodes(root) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let kib = name.to_str().and_then(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB"));
            let Some(size) = kib.and_then(|kib| kib.parse::<u64>().ok()?.checked_mul(1024)) else { continue };
            let dir = entry.path();
            let read = |file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok();
            if let (Some(total), Some(free)) = (read("nr_hugepages"), read("free_hugepages")) {
                all.push(Pages { node, size: Bytes(size), total, free, dir });
            }
        }
    }
    all.sort_by_key(|pages| (pages.node, pages.size));
    all
}

/// Returns where the pools are: in a folder for each node, or in one for a machine without NUMA.
fn nodes(root: &Path) -> Vec<(Option<u32>, PathBuf)> {
    let entries = fs::read_dir(root.join("sys/devices/system/node")).into_iter().flatten().flatten();
    let nodes = entries.filter_map(|entry| {
        let node = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
        let dir = entry.path().join("hugepages");
        dir.is_dir().then_some((Some(node), dir))
    });
    let nodes: Vec<_> = nodes.collect();
    if nodes.is_empty() { vec![(None, root.join("sys/kernel/mm/hugepages"))] } else { nodes }
}

/// Returns the kernel's default page size.
pub(crate) fn default_size(root: &Path) -> Result<Bytes, Fault> {
    let info = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("Hugepagesize:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let bytes = kib.and_then(|kib| kib.checked_mul(1024)).filter(|&bytes| bytes != 0);
    bytes.map(Bytes).ok_or_else(|| {
        Fault::Run(
            "this kernel has no hugepages: use one with CONFIG_HUGETLBFS, on a processor that has them"
                .into(),
        )
    })
}

/// Gives all hugepages back. Those in use stay until their program ends.
pub(crate) fn clear(root: &Path) -> Result<(), Fault> {
    let mut left = 0;
    for pages in all(root) {
        left += set(&pages.dir, 0)?;
    }
    match left {
        0 => Ok(()),
        _ => {
            Err(Fault::Run(format!("{left} hugepages are in use and stay: end the programs that have them")))
        }
    }
}

/// Writes how many pages there shall be, and returns how many there are then.
fn set(dir: &Path, count: u64) -> Result<u64, Fault> {
    let path = dir.join("nr_hugepages");
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Fault::Run("no permission to reserve hugepages: run as root".into())
        }
        _ => Fault::Run(format!("cannot write {}: {error}", path.display())),
    };
    fs::write(&path, format!("{count}\n")).map_err(failed)?;
    let now = fs::read_to_string(&path).map_err(failed)?;
    now.trim().parse().map_err(|_| Fault::Run(format!("{} holds no number", path.display())))
}

/// What will be reserved.
#[derive(Debug)]
pub(crate) struct Reserve {
    pools: Vec<Pages>,
    count: u64,
}

impl Reserve {
    /// Finds the pools for `amount` bytes in pages of `page`, on one node or on each.
    pub(crate) fn plan(root: &Path, amount: Bytes, page: Bytes, node: Option<u32>) -> Result<Reserve, Fault> {
        let all = all(root);
        let mut sizes: Vec<Bytes> = all.iter().map(|pages| pages.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        if !sizes.contains(&page) {
            let list: Vec<String> = sizes.iter().map(Bytes::to_string).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
            return Err(Fault::Usage(format!("there are no pages of {page}: this machine has {list}")));
        }
        if !amount.0.is_multiple_of(page.0) {
            return Err(Fault::Usage(format!("{amount} is not a multiple of the page size {page}")));
        }
        if let Some(node) = node
            && !all.iter().any(|pages| pages.node == Some(node))
        {
            return Err(Fault::Usage(format!(
                "there is no NUMA node {node} with hugepages: see /sys/devices/system/node, or leave --node out"
            )));
        }
        let fits = |pages: &Pages| pages.size == page && (node.is_none() || pages.node == node);
        Ok(Reserve { pools: all.into_iter().filter(fits).collect(), count: amount.0 / page.0 })
    }

    /// Returns what will be done, one line a pool.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |pages: &Pages| {
            let node = pages.node.map_or(String::new(), |node| format!(" on node {node}"));
            format!("reserve {} pages of {}{node} (now {})", self.count, pages.size, pages.total)
        };
        self.pools.iter().map(line).collect()
    }

    /// Reserves. If the kernel finds fewer pages than asked for, the pools are as before.
    pub(crate) fn carry_out(&self) -> Result<(), Fault> {
        for (done, pages) in self.pools.iter().enumerate() {
            let got = set(&pages.dir, self.count);
            if got.as_ref().is_ok_and(|got| *got == self.count) {
                continue;
            }
            for pages in &self.pools[..=done] {
                // What is told is why the pages could not be had.
                let _ = set(&pages.dir, pages.total);
            }
            let (got, count, size) = (got?, self.count, pages.size);
            let node = pages.node.map_or(String::new(), |node| format!(" on node {node}"));
            return Err(Fault::Run(format!(
                "the kernel found {got} of {count} pages of {size}{node}, and none are reserved: memory is short or in \
                 pieces; ask for less, or reserve when the machine starts (hugepagesz={size} hugepages={count})"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with `nodes` nodes, each with 4 pages of 2 MiB and none of 1 GiB.
    fn machine(nodes: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let folders = match nodes {
            0 => vec!["sys/kernel/mm/hugepages".to_owned()],
            _ => (0..nodes).map(|node| format!("sys/devices/system/node/node{node}/hugepages")).collect(),
        };
        for folder in folders {
            for (name, total) in [("hugepages-2048kB", 4), ("hugepages-1048576kB", 0)] {
                let folder = dir.path().join(&folder).join(name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("nr_hugepages"), format!("{total}\n")).unwrap();
                fs::write(folder.join("free_hugepages"), "1\n").unwrap();
            }
        }
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/meminfo"), "MemTotal: 8 kB\nHugepagesize:       2048 kB\n").unwrap();
        dir
    }

    const MIB_2: Bytes = Bytes(2 << 20);

    #[test]
    fn pools_are_found_with_and_without_numa() {
        let all_of = |nodes| all(machine(nodes).path());
        let flat = all_of(0);
        assert_eq!(
            (flat.len(), flat[0].node, flat[0].size, flat[0].total, flat[0].free),
            (2, None, MIB_2, 4, 1)
        );
        let numa = all_of(2);
        assert_eq!((numa.len(), numa[3].node, numa[3].size), (4, Some(1), Bytes(1 << 30)));
        assert_eq!(default_size(machine(0).path()).unwrap(), MIB_2);
        assert_eq!(all(Path::new("/nonexistent")), []);
        assert!(default_size(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn reserving_writes_to_each_node_or_to_one() {
        let dir = machine(2);
        let totals = || {
            all(dir.path())
                .iter()
                .filter(|pages| pages.size == MIB_2)
                .map(|pages| pages.total)
                .collect::<Vec<_>>()
        };
        Reserve::plan(dir.path(), Bytes(20 << 20), MIB_2, None).unwrap().carry_out().unwrap();
        assert_eq!(totals(), [10, 10]);
        let plan = Reserve::plan(dir.path(), MIB_2, MIB_2, Some(1)).unwrap();
        assert_eq!(plan.lines(), ["reserve 1 pages of 2Mb on node 1 (now 10)"]);
        plan.carry_out().unwrap();
        assert_eq!(totals(), [10, 1]);
        clear(dir.path()).unwrap();
        assert_eq!(totals(), [0, 0]);
    }

    #[test]
    fn what_cannot_be_reserved_is_told_before() {
        let dir = machine(2);
        let says =
            |amount, page, node| Reserve::plan(dir.path(), amount, page, node).unwrap_err().to_string();
        assert!(says(MIB_2, Bytes(1 << 16), None).contains("this machine has 2Mb, 1Gb"));
        assert!(says(Bytes(3 << 20), MIB_2, None).contains("multiple"));
        assert!(says(MIB_2, MIB_2, Some(2)).contains("no NUMA node 2"));
    }

    #[test]
    fn a_pool_that_cannot_be_written_is_an_error() {
        let dir = machine(0);
        let file = dir.path().join("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        let plan = Reserve::plan(dir.path(), MIB_2, MIB_2, None).unwrap();
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(plan.carry_out().unwrap_err().to_string().contains("nr_hugepages"));
    }
}
