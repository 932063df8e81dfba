//! The tool takes hugepages where there are any, and says so.

use std::fs;

use super::netns::{Namespace, wanted};

const COUNT: &str = "/proc/sys/vm/nr_hugepages";

/// Hugepages of the default size, given back with this value.
struct Reserved {
    before: String,
}

impl Reserved {
    fn new(more: u64) -> Reserved {
        let before = fs::read_to_string(COUNT).unwrap();
        let wanted = before.trim().parse::<u64>().unwrap() + more;
        fs::write(COUNT, wanted.to_string()).unwrap();
        let reserved = Reserved { before };
        let found: u64 = fs::read_to_string(COUNT).unwrap().trim().parse().unwrap();
        assert!(found >= wanted, "the kernel reserved {found} of {wanted} hugepages: memory is fragmented");
        reserved
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let _ = fs::write(COUNT, self.before.trim());
    }
}

#[test]
fn hugepages_are_used_and_said() {
    if !wanted("hugepages_are_used_and_said") {
        return;
    }
    let host = Namespace::new();
    let _pages = Reserved::new(16);
    let says = |args: &str| {
        let output = host.command(env!("CARGO_BIN_EXE_pmd"), args).output().unwrap();
        let says = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{says}");
        says.lines().next().unwrap().to_owned()
    };
    let with = says("fwd --duration 300ms");
    assert!(with.starts_with("hugepages: ") && with.contains("in pages of 2 MiB"), "{with}");
    let without = says("fwd --duration 300ms --no-huge");
    assert!(without.starts_with("memory: ") && without.contains("in pages of 4 KiB"), "{without}");
}
