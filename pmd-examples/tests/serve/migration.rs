//! The 82599 moves from one process to another while the driver forwards.
//!
//! The test is the virtual machine monitor and the guest in one: the driver's thread is also the one that migrates, so the
//! driver stands still while the device does. The path that the driver connected to is a symbolic link, which points to the
//! one server and then to the other; a lost connection there is how the driver's side is moved.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use pmd_links::Checker;
use vfio_hal::Device;
use vfio_hal::backend::user::UserDevice;
use vfio_hal::bar::Width;
use vfio_user_kit::client::{Client, ClientOptions};
use vfio_user_kit::proto::feature::MigrationState;

use crate::process::{Serving, number};
use crate::rig::Rig;

const FROM: &str = "gen,rate=5000,dst=02:00:00:00:00:0a,size=imix,flows=8";
const TO: &str = "gen,rate=5000,dst=02:00:00:00:00:0b,size=imix,flows=8";

/// Judges frames by the generator that they are of.
#[derive(Default)]
struct Judges(BTreeMap<u8, Checker>);

impl Judges {
    fn see(&mut self, frame: &[u8]) {
        self.0.entry(frame[5]).or_default().check(frame);
    }
}

fn drain(device: &UserDevice, stream: &mut Vec<u8>) {
    let mut data = vec![0; 64 << 10];
    loop {
        let count = device.migration_read(&mut data).unwrap();
        stream.extend_from_slice(&data[..count]);
        if count < data.len() {
            return;
        }
    }
}

/// Gives a state to a server that waits for one, as the monitor on the other host does. The device stands still after it.
fn incoming(path: &Path, stream: &[u8]) -> Result<(), String> {
    let client = Client::connect(path, &ClientOptions::default(), Arc::new(())).unwrap();
    client.set_migration_state(MigrationState::Resuming).map_err(|error| error.to_string())?;
    for part in stream.chunks(100_000) {
        client.migration_write(part).map_err(|error| error.to_string())?;
    }
    client.set_migration_state(MigrationState::Stop).map_err(|error| error.to_string())
}

/// Rings and the registers that say how the device works: none that a read changes.
fn registers(device: &UserDevice) -> Vec<(u64, u64)> {
    let bar = device.bar(0).unwrap();
    let queues = [0x1000, 0x1040, 0x6000, 0x6040]
        .into_iter()
        .flat_map(|base| [0, 4, 8, 0x10, 0x14, 0x18, 0x28].into_iter().map(move |register| base + register));
    let others =
        [0x0, 0x18, 0x898, 0x880, 0xAA0, 0x900, 0xA00, 0x820, 0x5080, 0x5088, 0x5000, 0x5818, 0x3000];
    let tables = (0x5C00..0x5CA8).step_by(4).chain((0x5200..0x5400).step_by(4)).chain([0xA200, 0xA204]);
    let all = queues.chain(others).chain(tables);
    all.map(|offset| (offset, bar.read(offset, Width::W32).unwrap())).collect()
}

fn moves(doorbells: &str, pre_copy: bool) {
    // Frames for which there is no room stay on the link: what the device took it has to deliver.
    let options = ["--doorbells", doorbells, "--overrun", "wait", "--link"];
    let from = Serving::start(&[&options[..], &[FROM]].concat());
    let to = Serving::start(&[&options[..], &[TO, "--incoming"]].concat());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nic");
    symlink(&from.path, &path).unwrap();

    let mut rig = Rig::start(&path);
    let mut judges = Judges::default();
    let mut forwarded = rig.until(|frame| judges.see(frame), |packets| packets >= 1_000);
    let (iova, len) = rig.memory;
    rig.device.start_dirty_log(4096, &[(iova.0, len)]).unwrap();

    let mut stream = Vec::new();
    if pre_copy {
        rig.device.set_migration_state(MigrationState::PreCopy).unwrap();
        forwarded += rig.until(|frame| judges.see(frame), |packets| packets >= 500);
        drain(&rig.device, &mut stream);
        forwarded += rig.until(|frame| judges.see(frame), |packets| packets >= 500);
    } else {
        forwarded += rig.until(|frame| judges.see(frame), |packets| packets >= 200);
    }

    // From here to RUNNING on the other side neither the driver nor the device does anything.
    rig.device.set_migration_state(MigrationState::StopCopy).unwrap();
    drain(&rig.device, &mut stream);
    let dirty = rig.device.dirty_pages(iova.0, len, 4096).unwrap();
    assert!(dirty.pages().count() > 20, "packets arrived in the pool's pages");
    let before = registers(&rig.device);
    let free = rig.port.tx[0].free();
    incoming(&to.path, &stream).unwrap();

    std::fs::remove_file(&path).unwrap();
    symlink(&to.path, &path).unwrap();
    let source = from.totals();
    for (was, is) in before.iter().zip(&registers(&rig.device)) {
        assert_eq!(was, is, "a register changed on the way");
    }
    // Register accesses wait for the new connection, other calls of the moment of the loss fail: so those were first.
    assert_eq!(rig.device.migration_state(), Ok(MigrationState::Stop), "the other server's device");
    assert_eq!(rig.port.tx[0].free(), free);
    rig.device.set_migration_state(MigrationState::Running).unwrap();

    forwarded += rig.until(|frame| judges.see(frame), |packets| packets >= 2_000);
    rig.drain();
    // From here on the device takes frames that the driver does not want any more.
    rig.stop();
    let target = to.totals();

    let lost = ["/model/rx_missed", "/model/dma_faults", "/model/tx_malformed", "/model/tx_link_error"];
    for totals in [&source, &target] {
        for counter in lost {
            assert_eq!(number(totals, counter), 0, "{counter}: {totals}");
        }
    }
    // Before receive was on, frames were not the device's.
    let first = judges.0[&0x0a].verdict();
    let taken = number(&source, "/rx_packets") - number(&source, "/model/rx_disabled");
    assert!(first.is_perfect(taken), "{first:?} of {taken}: {source}");
    let second = judges.0[&0x0b].verdict();
    // From the first frame on that the generator made: none was taken off the link before the state came.
    assert!(second.is_perfect(second.frames) && second.lost == 0, "{second:?} of {target}");
    assert_eq!(first.frames + second.frames, forwarded);
    assert_eq!(number(&source, "/tx_packets") + number(&target, "/tx_packets"), forwarded);
}

#[test]
fn the_device_moves_under_traffic_and_no_packet_is_lost() {
    moves("trapped", true);
}

#[test]
fn it_moves_at_once_and_with_mapped_doorbells() {
    moves("mapped", false);
}

#[test]
fn a_stream_that_is_wrong_is_refused_and_the_right_one_still_taken() {
    let from = Serving::start(&["--link", FROM]);
    let to = Serving::start(&["--link", TO, "--incoming"]);
    let mut rig = Rig::start(&from.path);
    rig.until(|_| {}, |packets| packets >= 100);
    rig.device.set_migration_state(MigrationState::StopCopy).unwrap();
    let mut stream = Vec::new();
    drain(&rig.device, &mut stream);
    let mut turned = stream.clone();
    let middle = turned.len() / 2;
    turned[middle] ^= 1;
    for bad in [&turned[..], &stream[..middle], &[]] {
        assert!(incoming(&to.path, bad).is_err());
        // The server is in its error state, from which a reset leads.
        let client = Client::connect(&to.path, &ClientOptions::default(), Arc::new(())).unwrap();
        client.reset().unwrap();
    }
    incoming(&to.path, &stream).unwrap();
    rig.device.set_migration_state(MigrationState::Running).unwrap();
    rig.until(|_| {}, |packets| packets >= 100);
    rig.stop();
}

#[test]
fn without_a_state_an_incoming_device_leaves_frames_on_the_link() {
    let to = Serving::start(&["--link", TO, "--incoming"]);
    drop(Client::connect(&to.path, &ClientOptions::default(), Arc::new(())).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(number(&to.totals(), "/rx_packets"), 0);
    let other = Serving::start(&["--link", TO]);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(number(&other.totals(), "/rx_packets") > 0);
}
