//! Other processes: a client that is killed in the middle of its work, and a server that is started with a descriptor.
//!
//! The other process is this program once more, with [`ROLE`] in its environment: [`other_process`] does what it says.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions};

use crate::common::*;

const ROLE: &str = "VFIO_USER_TEST_ROLE";
const SOCKET: &str = "VFIO_USER_TEST_SOCKET";

fn spawn(role: &str, socket: &Path, stdin: Stdio) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["killed::other_process", "--exact", "--nocapture", "--include-ignored"])
        .env(ROLE, role)
        .env(SOCKET, socket)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the line that another process prints when it is ready.
fn wait_for(child: &mut Child) {
    use std::io::{BufRead, BufReader};
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("ready")), "it ended too early");
}

#[test]
#[ignore = "not a test: what another process of the tests here does"]
fn other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let socket = std::env::var(SOCKET).unwrap_or_default();
    match role.as_str() {
        "serve a listener" | "serve a connection" => {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            let (toy, options) = (Toy::default(), ServerOptions::default());
            let made = match role.as_str() {
                "serve a listener" => Server::from_listener(stdin, toy, options),
                _ => Server::from_connection(stdin, toy, options),
            };
            println!("ready");
            made.unwrap().serve(&AtomicBool::new(false), IdlePolicy::default()).unwrap();
        }
        // Memory, interrupts and work under way; then half a message, or an answer that never comes.
        role => {
            let mut client = Client::open(Path::new(&socket));
            client.bus_master();
            client.write32(reg::MAX, 8);
            let (file, fd) = (memory(0x4000, true), event());
            assert_eq!(client.map(0, 0x4000, 3, Some((file.as_fd(), 0))), 0);
            assert_eq!(client.map(0x10_0000, 0x4000, 3, None), 0);
            client.call(SET_IRQS, &set_irqs(4 | 1 << 5, 2, 0, 1), &[fd.as_fd()]).ok();
            assert_eq!(client.act(reg::HOLD, 0x1000, 8), reg::DONE);
            client.write32(reg::SCRATCH, 42);
            match role {
                "client with half a message" => {
                    client
                        .raw(&message(1, DMA_MAP, 0, &dma_map(3, 0, 0x8000, 0x1000))[..25], &[file.as_fd()]);
                }
                "client that is asked" => client.start(reg::READ, 0x10_0000, 8),
                "client that does not read" => {
                    client.socket.set_nonblocking(true).unwrap();
                    let ask = message(1, REGION_READ, 0, &access(0, 7, 4096));
                    while rustix::io::write(&client.socket, &ask).is_ok() {}
                }
                _ => {}
            }
            println!("ready");
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}

#[test]
fn a_killed_client() {
    let options = ServerOptions { patience: Duration::from_secs(2), ..ServerOptions::default() };
    let served = Served::with(Toy::default(), options);
    for role in [
        "client",
        "client with half a message",
        "client that is asked",
        "client that does not read",
        "client",
    ] {
        let mut child = spawn(role, &served.path, Stdio::null());
        wait_for(&mut child);
        if role != "client that is asked" {
            served.check_alive();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut next = Client::open(&served.path);
        next.check();
        assert_eq!(next.act(reg::READ_HELD, 0, 8), reg::FAULT, "{role}: what was held is gone");
        if role != "client that is asked" {
            assert_eq!(next.read32(reg::SCRATCH), 42, "{role}: the device is as it was");
        }
        assert_eq!(next.act(reg::RELEASE, 0, 0), reg::DONE);
        assert_eq!(next.act(reg::READ, 0x10_0000, 8), reg::FAULT, "{role}: its memory is gone");
        served.check_alive();
    }
}

#[test]
fn start_from_an_inherited_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = OwnedFd::from(UnixListener::bind(&path).unwrap());
    let mut child = spawn("serve a listener", &path, listener.into());
    wait_for(&mut child);
    for _ in 0..2 {
        let mut client = Client::open(&path);
        client.write32(reg::SCRATCH, 7);
        assert_eq!(client.read32(reg::SCRATCH), 7);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let mut child = spawn("serve a connection", &path, OwnedFd::from(far).into());
    wait_for(&mut child);
    let mut client = Client::on(near);
    client.call(VERSION, &version("{}"), &[]).ok();
    client.check();
    child.kill().unwrap();
    child.wait().unwrap();
}
