//! Confinement, seen from the outside, with each kind of link.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vfio_user_kit::client::{Client, ClientOptions};

use crate::process::{LIMIT, Serving, number};
use crate::rig::Rig;

/// What the kernel says of each thread of a process: (seccomp mode, no new privileges).
fn threads(serving: &Serving) -> Vec<(u32, u32)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", serving.pid())).unwrap();
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    tasks
        .map(|task| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            (field(&status, "Seccomp:"), field(&status, "NoNewPrivs:"))
        })
        .collect()
}

#[test]
fn every_thread_is_confined_and_says_so() {
    const FILTERED: u32 = 2;
    let serving = Serving::start(&["--link", "gen,rate=10000"]);
    assert!(serving.sandbox.contains("seccomp lets"), "{}", serving.sandbox);
    assert!(serving.sandbox.contains("Landlock"), "on, or why not: {}", serving.sandbox);
    let all = threads(&serving);
    assert!(all.len() == 2 && all.iter().all(|thread| *thread == (FILTERED, 1)), "{all:?}");
    // It serves a driver: DMA mapped and unmapped, interrupts, packets.
    let mut rig = Rig::start(&serving.path);
    rig.until(|_| {}, |packets| packets >= 500);
    rig.stop();
    assert!(number(&serving.totals(), "/tx_packets") >= 400);

    let open = Serving::start(&["--link", "loop", "--no-sandbox"]);
    assert_eq!(open.sandbox, "sandbox: off");
    assert!(threads(&open).iter().all(|thread| *thread == (0, 0)));
}

#[test]
fn a_capture_is_written_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("out.pcap");
    let link = format!("gen,rate=10000,tee={}", capture.display());
    let serving = Serving::start(&["--link", &link]);
    let mut rig = Rig::start(&serving.path);
    let sent = rig.until(|_| {}, |packets| packets >= 300);
    rig.drain();
    rig.stop();
    let totals = serving.totals();
    assert_eq!(number(&totals, "/tx_packets"), sent);
    let frames = pcap_frames(&capture);
    assert_eq!(frames, number(&totals, "/tx_packets") + number(&totals, "/rx_packets"));
}

/// Counts the records of a capture, which has to end with a whole one.
fn pcap_frames(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut frames) = (24, 0);
    while at < bytes.len() {
        let len = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        at += 16 + len;
        frames += 1;
    }
    assert_eq!(at, bytes.len(), "the last record is whole");
    frames
}

#[test]
fn interfaces_tell_their_carrier_in_the_sandbox() {
    if std::env::var_os("KIT_ROOT_TESTS").is_none_or(|value| value != "1") {
        let reason = "needs root and network namespaces (set KIT_ROOT_TESTS=1)";
        writeln!(std::io::stderr(), "SKIP pmd-examples/serve::interfaces_tell_their_carrier: {reason}")
            .unwrap();
        return;
    }
    assert_eq!(std::fs::metadata("/proc/self").unwrap().uid(), 0, "KIT_ROOT_TESTS=1 needs root");
    for link in ["tap,iface=t0", "iface,name=lo"] {
        // A network namespace of its own, whose loopback interface is brought up, ends with its process.
        let mut command = Command::new("unshare");
        let pmd = env!("CARGO_BIN_EXE_pmd");
        command.args(["-n", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\"", pmd]);
        let serving = Serving::start_by(command, &["--link", link]);
        let client = Client::connect(&serving.path, &ClientOptions::default(), Arc::new(())).unwrap();
        let start = Instant::now();
        loop {
            let mut links = [0; 4];
            client.region_read(0, 0x42A4, &mut links).unwrap();
            if u32::from_le_bytes(links) >> 30 & 1 == 1 {
                break;
            }
            assert!(start.elapsed() < LIMIT, "{link}: no link");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
