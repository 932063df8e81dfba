//! `pmd serve` from the outside: its command line, its sandbox, clients that come, die and come back, and a device that moves
//! from one process to another while a driver uses it.

mod clients;
mod migration;
mod process;
mod rig;
mod sandbox;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;

fn pmd() -> Command {
    let mut command = Command::cargo_bin("pmd").unwrap();
    command.arg("serve");
    command
}

fn fails(args: &[&str], code: i32, says: &str) {
    let output = pmd().args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(says), "{args:?}: {text}");
}

#[test]
fn mistakes_are_one_line_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a socket").unwrap();
    let file = file.to_str().unwrap();
    let socket = folder.path().join("socket");
    let socket = socket.to_str().unwrap();
    fails(&["ixgbe", "--socket", socket], 2, "--link");
    fails(
        &["ixgbe", "--socket", socket, "--socket", file, "--link", "loop"],
        2,
        "each device takes one of both",
    );
    fails(&["ixgbe", "--socket", socket, "--link", "nonsense"], 2, "nonsense");
    fails(&["afu", "--socket", socket, "--incoming"], 2, "cannot be moved");
    fails(&["afu", "--socket", socket, "--link", "loop"], 2, "plugged into none");
    fails(&["e1000", "--socket", socket, "--link", "loop"], 2, "e1000");
    fails(&["ixgbe", "--socket", file, "--link", "loop"], 1, "choose another path");
    fails(&["ixgbe", "--socket", "/nonexistent/socket", "--link", "loop"], 1, "/nonexistent/socket");
    assert_eq!(std::fs::read(file).unwrap(), b"not a socket");
}

/// Asks for a version, and reads the whole answer.
fn greet(path: &std::path::Path) -> String {
    let mut socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut request = Vec::new();
    request.extend(7u16.to_ne_bytes());
    request.extend(1u16.to_ne_bytes());
    request.extend(20u32.to_ne_bytes());
    request.extend([0; 12]);
    socket.write_all(&request).unwrap();
    let mut header = [0; 16];
    socket.read_exact(&mut header).unwrap();
    assert_eq!(header[..4], request[..4]);
    assert_eq!(u32::from_ne_bytes(header[8..12].try_into().unwrap()), 1, "a reply without an error");
    let size = u32::from_ne_bytes(header[4..8].try_into().unwrap()) as usize;
    let mut body = vec![0; size - 16];
    socket.read_exact(&mut body).unwrap();
    String::from_utf8(body[4..].to_vec()).unwrap()
}

#[test]
fn two_devices_serve_until_the_signal_and_print_totals() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a"), folder.path().join("b")];
    let mut child = pmd()
        .args(["ixgbe", "--json", "--socket"])
        .arg(&paths[0])
        .args(["--link", "loop", "--socket"])
        .arg(&paths[1])
        .args(["--link", "loop"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !paths.iter().all(|path| path.exists()) {
        assert!(start.elapsed() < Duration::from_secs(20), "no socket was made");
        std::thread::sleep(Duration::from_millis(10));
    }
    for path in &paths {
        assert!(greet(path).contains("max_data_xfer_size"));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let totals: serde_json::Value = serde_json::from_str(&text).unwrap();
    let all = totals.as_array().unwrap();
    assert_eq!(all.len(), 2);
    for one in all {
        assert_eq!((one["clients"].as_u64(), one["commands"].as_u64()), (Some(1), Some(1)), "{text}");
        assert_eq!(one["errors"].as_u64(), Some(0));
    }
    assert!(paths.iter().all(|path| !path.exists()), "the sockets' files are gone");
}

#[test]
fn once_ends_after_its_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut child = pmd()
        .args(["ixgbe", "--once", "--link", "loop", "--socket"])
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "no socket was made");
        std::thread::sleep(Duration::from_millis(10));
    }
    greet(&path);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
