//! Clients that come and go, and die.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use assert_cmd::cargo::CommandCargoExt;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vfio_user_kit::client::{Client, ClientOptions};

use crate::process::{Serving, number};
use crate::rig::Rig;

fn connect(serving: &Serving) -> Client {
    Client::connect(&serving.path, &ClientOptions::default(), Arc::new(())).unwrap()
}

fn register(client: &Client, offset: u64) -> u32 {
    let mut bytes = [0; 4];
    client.region_read(0, offset, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

/// Forwards in a process of its own, and kills that once packets have moved.
fn killed_while_forwarding(serving: &Serving) {
    let vdev = format!("net_ixgbe0,socket={}", serving.path.display());
    let mut child = Command::cargo_bin("pmd")
        .unwrap()
        .args(["fwd", "--no-huge", "--duration", "0", "--stats-period", "100ms", "--vdev", &vdev])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    // Rates are on one of the two; the other one is read to its end too, so that nobody waits.
    let lines = move |reader: &mut dyn std::io::Read, moved: &std::sync::mpsc::Sender<String>| {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            let _ = moved.send(line);
        }
    };
    let (tell, told) = std::sync::mpsc::channel();
    let other = tell.clone();
    std::thread::spawn(move || lines(&mut out, &tell));
    std::thread::spawn(move || lines(&mut err, &other));
    let mut said = Vec::new();
    loop {
        let line = told.recv_timeout(crate::process::LIMIT).unwrap_or_else(|_| panic!("{said:?}"));
        let moving = line.contains("pps") && !line.contains(" 0 pps");
        said.push(line);
        if moving {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_client_killed_under_traffic_leaves_the_device_to_the_next() {
    let serving = Serving::start(&["--link", "gen,rate=20000"]);
    for _ in 0..2 {
        killed_while_forwarding(&serving);
        let client = connect(&serving);
        assert_eq!(register(&client, 0x3000) & 1, 1, "the device is as it was left: receive is on");
        assert_eq!(register(&client, 0x1028) >> 25 & 1, 1, "and so is its queue");
        drop(client);
        let mut rig = Rig::start(&serving.path);
        rig.until(|_| {}, |packets| packets >= 300);
        rig.stop();
    }
    let totals = serving.totals();
    assert_eq!(number(&totals, "/clients"), 6);
}

#[test]
fn a_lost_client_resets_the_device_if_asked() {
    let serving = Serving::start(&["--link", "gen,rate=20000", "--lost-client", "reset"]);
    killed_while_forwarding(&serving);
    let client = connect(&serving);
    assert_eq!((register(&client, 0x3000) & 1, register(&client, 0x1028) >> 25 & 1), (0, 0));
}

/// A whole visit: registers, memory by a file of its own, interrupts.
fn visit(serving: &Serving) {
    let client = connect(serving);
    assert_ne!(register(&client, 8), u32::MAX);
    let file = memfd_create("visitor", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 1 << 20).unwrap();
    client.dma_map(0x10_0000, 1 << 20, (true, true), Some((file.as_fd(), 0))).unwrap();
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    client.irq_eventfds(2, 0, &[Some(event.as_fd())]).unwrap();
}

#[test]
fn a_thousand_clients_leave_nothing_behind() {
    for doorbells in ["trapped", "mapped"] {
        let serving = Serving::start(&["--link", "loop", "--doorbells", doorbells]);
        (0..100).for_each(|_| visit(&serving));
        let before = settled(&serving);
        (0..1_000).for_each(|_| visit(&serving));
        let after = settled(&serving);
        assert_eq!(after.0, before.0, "descriptors");
        assert!(after.1 < before.1 + 512, "{} kB, then {} kB", before.1, after.1);
        assert_eq!(number(&serving.totals(), "/clients"), 1_100);
    }
}

/// What the process holds once it has noticed that the last client left.
fn settled(serving: &Serving) -> (usize, u64) {
    let start = std::time::Instant::now();
    let mut seen = serving.holds();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = serving.holds();
        if now.0 == seen.0 || start.elapsed() > crate::process::LIMIT {
            return now;
        }
        seen = now;
    }
}
