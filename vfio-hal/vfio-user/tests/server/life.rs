//! Clients come and go; sockets, quiescence, many devices.

use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use vfio_user_kit::server::{LostClient, RunError, Server, ServerError, ServerOptions};

use crate::common::*;

#[test]
fn a_lost_client_leaves_the_device_as_it_was_for_the_next() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.bus_master();
    let (file, fd) = (memory(0x1000, true), event());
    assert_eq!(client.map(0, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    client.call(SET_IRQS, &set_irqs(4 | 1 << 5, 2, 0, 1), &[fd.as_fd()]).ok();
    client.write32(reg::SCRATCH, 42);
    drop(client);
    let mut next = Client::open(&served.path);
    assert_eq!(next.read32(reg::SCRATCH), 42);
    assert_eq!(next.read(7, 4, 1), [6]);
    next.act(reg::MSI, 0, 0);
    assert_eq!(signals(&fd), 0, "the first client's interrupt is gone");
    assert_eq!(next.act(reg::READ, 0, 8), reg::FAULT, "and its memory");
}

#[test]
fn a_kept_device_stands_still_until_the_next_client_has_set_it_up() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.bus_master();
    // The work is latched and the client gone before it is done, or after it; both must end well.
    client.start(reg::READ, 0, 8);
    drop(client);
    let mut next = Client::open(&served.path);
    let file = memory(0x1000, true);
    assert_eq!(next.map(0, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(next.act(reg::READ, 0, 8), reg::DONE);
}

#[test]
fn a_lost_client_resets_the_device_if_so_wanted() {
    let options = ServerOptions { lost_client: LostClient::Reset, ..ServerOptions::default() };
    let served = Served::with(Toy::default(), options);
    let mut client = Client::open(&served.path);
    client.bus_master();
    client.write32(reg::SCRATCH, 42);
    drop(client);
    let mut next = Client::open(&served.path);
    assert_eq!(next.read32(reg::SCRATCH), 0);
    assert_eq!(next.read(7, 4, 1), [3], "BARs answer, bus mastering is off");
}

#[test]
fn one_client_at_a_time_and_the_next_waits() {
    let served = Served::start();
    let mut first = Client::open(&served.path);
    let mut second = Client::connect(&served.path);
    let id = second.send(VERSION, 0, &version("{}"), &[]);
    first.check();
    drop(first);
    assert_eq!(second.receive().ok().id, id);
    assert_eq!(served.stop().clients, 2);
}

#[test]
fn changes_wait_until_the_model_is_at_rest() {
    let served = Served::with(Toy { unrest: 20, ..Toy::default() }, ServerOptions::default());
    let mut client = Client::open(&served.path);
    assert_eq!(client.map(0, 0x1000, 3, None), 0);
    client.check();
    served.check_alive();
}

#[test]
fn a_model_that_finds_no_rest_is_busy() {
    let options = ServerOptions { quiesce_limit: Duration::from_millis(50), ..ServerOptions::default() };
    let served = Served::with(Toy { unrest: u32::MAX, ..Toy::default() }, options);
    let mut client = Client::open(&served.path);
    assert_eq!(client.map(0, 0x1000, 3, None), EBUSY);
    client.check();
}

#[test]
fn the_caller_may_run_it_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let toy = Toy { unrest: 3, ..Toy::default() };
    let mut server = Server::bind(&path, toy, ServerOptions::default()).unwrap();
    assert_eq!(server.run(), Err(RunError::NotConnected));
    assert!(!server.attach().unwrap());
    assert!(!server.attach_wait(Duration::from_millis(10)).unwrap());
    let mut client = Client::connect(&path);
    assert!(server.attach_wait(Duration::from_secs(5)).unwrap());
    assert_eq!(server.run(), Ok(0));
    client.send(VERSION, 0, &version("{}"), &[]);
    assert_eq!(server.run(), Ok(1));
    client.receive().ok();
    client.send(DMA_MAP, 0, &dma_map(3, 0, 0, 0x1000), &[]);
    assert_eq!(server.run(), Ok(1), "taken, and held");
    assert_eq!(server.dma_maps(), 0);
    assert_eq!(server.run(), Err(RunError::Busy));
    assert_eq!(server.run(), Ok(1));
    client.receive().ok();
    assert_eq!(server.dma_maps(), 1);
    drop(client);
    assert_eq!(server.run(), Err(RunError::NotConnected));
    assert_eq!(server.dma_maps(), 0);
    assert!(path.exists());
    drop(server);
    assert!(!path.exists(), "the socket's file goes with its server");
}

#[test]
fn sockets_that_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let bind = || Server::bind(&path, Toy::default(), ServerOptions::default());
    std::fs::write(&path, "a file").unwrap();
    assert_eq!(bind().unwrap_err(), ServerError::NotASocket);
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    std::fs::remove_file(&path).unwrap();
    let alive = bind().unwrap();
    assert_eq!(bind().unwrap_err(), ServerError::InUse);
    drop(alive);
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket that nobody listens on");
    bind().unwrap();
    let long = folder.path().join("x".repeat(200));
    let error = Server::bind(&long, Toy::default(), ServerOptions::default()).unwrap_err();
    assert!(matches!(error, ServerError::System { .. }), "{error}");
}

#[test]
fn sockets_that_somebody_else_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut server =
        Server::from_listener(listener.into(), Toy::default(), ServerOptions::default()).unwrap();
    let client = Client::connect(&path);
    assert!(server.attach().unwrap());
    drop((client, server));
    assert!(path.exists(), "not this server's to remove");
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut server = Server::from_connection(far.into(), Toy::default(), ServerOptions::default()).unwrap();
    assert!(server.is_attached());
    drop(near);
    assert_eq!(server.run(), Err(RunError::NotConnected));
    assert!(!server.attach().unwrap(), "nobody else can come");
}

#[test]
fn many_devices_in_one_process() {
    let all: Vec<Served> = (0..8).map(|_| Served::start()).collect();
    let mut clients: Vec<Client> = all.iter().map(|served| Client::open(&served.path)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write32(reg::SCRATCH, number as u32);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read32(reg::SCRATCH), number as u32);
    }
}
