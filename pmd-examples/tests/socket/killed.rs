//! Two processes: `pmd serve` has the card, this one drives it. The server is killed in the middle, and another one comes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use pmd_ixgbe::Started;
use vfio_hal::Device;
use vfio_hal::backend::user::UserDevice;
use vfio_hal::dma::pool::{Burst, Pool};

use crate::bench::{Bench, Card, Rings, options, start};

const LIMIT: Duration = Duration::from_secs(60);

/// A server that is killed when it is dropped.
struct Server(Child);

impl Server {
    /// Starts one whose card hears itself, and waits until it listens.
    fn start(path: &Path) -> Server {
        Server::start_with(path, "mapped")
    }

    fn start_with(path: &Path, doorbells: &str) -> Server {
        // What a killed server left behind is not taken for this one's.
        let _ = std::fs::remove_file(path);
        let mut command = Command::cargo_bin("pmd").unwrap();
        command.args(["serve", "ixgbe", "--doorbells", doorbells, "--link", "loop", "--socket"]).arg(path);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (server, begin) = (Server(child), Instant::now());
        while !path.exists() {
            assert!(begin.elapsed() < LIMIT, "the server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends packets and receives them back, in order, a few at a time. `false` when the device was lost in between.
fn ping_pong(port: &mut Started, pool: &Pool, packets: u32) -> bool {
    let (mut cache, mut burst) = (pool.cache(), Burst::new(16));
    let (begin, mut number, mut back) = (Instant::now(), 0u32, 0u32);
    while back < packets {
        assert!(begin.elapsed() < LIMIT, "{back} of {number} packets came back, and no more");
        while number < packets && number - back < 16 && burst.room() != 0 {
            let mut buf = cache.alloc().unwrap();
            let mut frame = [0x55; 64];
            frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
            frame[20..24].copy_from_slice(&number.to_be_bytes());
            assert!(buf.fill(&frame));
            burst.push(buf).unwrap();
            number += 1;
        }
        if port.tx[0].tx_burst(&mut cache, &mut burst).is_err() {
            return false;
        }
        assert!(burst.is_empty());
        if port.rx[0].rx_burst(&mut cache, &mut burst).is_err() {
            return false;
        }
        for packet in burst.iter() {
            assert_eq!(packet.data()[20..24], back.to_be_bytes());
            back += 1;
        }
        if burst.is_empty() {
            std::thread::yield_now();
        }
        cache.free_all(&mut burst);
    }
    true
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let first = Server::start(&path);
    let device = UserDevice::connect(&path, &options()).unwrap();
    let erased: Arc<dyn Device> = device.clone();
    let mut bench = Bench::new(vec![Card::On(device.clone())], Rings::File);
    assert!(ping_pong(&mut bench.ports[0], &bench.pool, 1000));

    // Killed while packets are under way.
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(first);
        Instant::now()
    });
    while ping_pong(&mut bench.ports[0], &bench.pool, 200) {}
    let killed = killer.join().unwrap();
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    assert!(device.lost().is_lost() && device.fault().is_some());
    // The queues were not seen to stop, so what they hold is not used again.
    let Started { port, rx, tx } = bench.ports.pop().unwrap();
    assert!(port.stop(rx, tx).is_err());

    let _second = Server::start(&path);
    let begin = Instant::now();
    while let Err(error) = device.reconnect() {
        assert!(begin.elapsed() < LIMIT, "{error}");
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.space.reattach(&erased).unwrap();
    let mut port = start(erased, &bench.space, &bench.pool, Rings::File);
    assert!(ping_pong(&mut port, &bench.pool, 1000));
    let Started { port, rx, tx } = port;
    drop(port.stop(rx, tx).unwrap());
    let pool = &bench.pool;
    assert_eq!(pool.available() + pool.leaked(), pool.capacity());
}

#[test]
fn doorbells_in_memory_are_not_pretended() {
    let folder = tempfile::tempdir().unwrap();
    let forward = |path: &Path, doorbells: &str| {
        let vdev = format!("net_ixgbe0,socket={},doorbells={doorbells}", path.display());
        let mut command = Command::cargo_bin("pmd").unwrap();
        command.args(["fwd", "--no-huge", "--duration", "200ms", "--vdev", &vdev]).output().unwrap()
    };
    let mapped = folder.path().join("mapped.sock");
    let _server = Server::start(&mapped);
    for doorbells in ["mapped", "messages"] {
        let output = forward(&mapped, doorbells);
        assert!(output.status.success(), "{doorbells}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let trapped = folder.path().join("trapped.sock");
    let _server = Server::start_with(&trapped, "trapped");
    let output = forward(&trapped, "mapped");
    let says = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{says}");
    assert!(says.contains("--doorbells mapped"), "{says}");
}
