//! Hugepages as the command line has them; what is done to a machine is tested where one may be changed.

use serde_json::Value;

use super::support::{refused, run};

#[test]
fn the_pools_of_this_machine_are_shown() {
    let ran = run("hugepages");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("Node ") && ran.stdout.contains("\nHugepages "), "{}", ran.stdout);
    let shown: Value = serde_json::from_str(&run("hugepages --show --json").stdout).unwrap();
    assert!(shown["pages"].is_array() && shown["mounts"].is_array());
}

#[test]
fn a_dry_run_reserves_nothing() {
    let pages = |shown: String| serde_json::from_str::<Value>(&shown).unwrap()["pages"].clone();
    let before = pages(run("hugepages --json").stdout);
    let Some(size) = before[0]["size"].as_u64() else { return };
    let ran = run(&format!("hugepages --dry-run -p {size} --setup {}", 3 * size));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for words in ["give back all", "unmount /dev/hugepages", "reserve 3 pages", "would mount"] {
        assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
    }
    let totals =
        |pages: &Value| pages.as_array().unwrap().iter().map(|one| one["total"].clone()).collect::<Vec<_>>();
    assert_eq!(totals(&pages(run("hugepages --json").stdout)), totals(&before));
}

#[test]
fn wrong_sizes_and_nodes() {
    refused(2, "hugepages -p 3M --reserve 3M", &["no pages of 3Mb", "this machine has"]);
    refused(2, "hugepages --reserve lots", &["'lots'", "2M or 1G"]);
    refused(2, "hugepages --reserve 0", &["--clear"]);
    refused(2, "hugepages -p 2M", &["--reserve"]);
    refused(2, "hugepages --setup 2M --clear", &["--clear"]);
    if !run("hugepages --json").stdout.contains("\"pages\": []") {
        refused(2, "hugepages --reserve 1G --node 4000", &["NUMA node 4000"]);
        refused(2, "hugepages --dry-run --mount -d /nonexistent/folder", &["/nonexistent/folder"]);
    }
}
