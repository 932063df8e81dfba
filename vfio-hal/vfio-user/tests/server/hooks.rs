//! What a model and its owner are told and asked, beside registers: clients, features, requests, log, poll descriptors, time.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vfio_user_kit::server::{IdlePolicy, Logger, RunError, Server, ServerOptions, Severity};
use vfio_user_kit::{IrqKind, Work};

use crate::common::*;

/// A server that the test runs itself, and its client.
fn by_hand(toy: Toy, options: ServerOptions) -> (Server<Toy>, Client) {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut server = Server::from_connection(far.into(), toy, options).unwrap();
    let mut client = Client::on(near);
    client.send(VERSION, 0, &version("{}"), &[]);
    assert_eq!(server.run(), Ok(1));
    client.receive().ok();
    (server, client)
}

#[test]
fn open_and_release_per_client() {
    let served = Served::start();
    for round in 1..4 {
        let mut client = Client::open(&served.path);
        assert_eq!((client.read32(reg::OPENED), client.read32(reg::RELEASED)), (round, round - 1));
    }
}

#[test]
fn request_and_error_reach_a_client_that_listens() {
    let (mut server, mut client) = by_hand(Toy::default(), ServerOptions::default());
    assert!(!server.request_removal() && !server.report_error(), "nobody listens");
    let (error, request) = (event(), event());
    for (index, fd) in [(IrqKind::Error, &error), (IrqKind::Request, &request)] {
        client.send(SET_IRQS, 0, &set_irqs(4 | 1 << 5, index as u32, 0, 1), &[fd.as_fd()]);
        assert_eq!(server.run(), Ok(1));
        client.receive().ok();
    }
    assert!(server.request_removal());
    assert_eq!((signals(&error), signals(&request)), (0, 1));
    assert!(server.report_error());
    assert_eq!((signals(&error), signals(&request)), (1, 0));
}

#[test]
fn custom_feature_hook() {
    const GET: u32 = 1 << 16;
    const SET: u32 = 1 << 17;
    const PROBE: u32 = 1 << 18;
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for flag in [GET, SET] {
        let body = [words(&[64, flag | 100]), b"abc".to_vec()].concat();
        let reply = client.call(FEATURE, &body, &[]).ok();
        assert_eq!(reply.body, [words(&[12, flag | 100]), b"abc!".to_vec()].concat());
    }
    let reply = client.call(FEATURE, &words(&[8, GET | 100]), &[]).ok();
    assert_eq!(reply.body, words(&[9, GET | 100]), "no room: what it needs");
    let mut error = |flags: u32| client.call(FEATURE, &words(&[64, flags]), &[]).error();
    assert_eq!((error(PROBE | GET | 100), error(PROBE | SET | 100)), (0, ENOTTY));
    assert_eq!((error(GET | 101), error(GET | 99), error(SET | 0xffff)), (EINVAL, ENOTTY, ENOTTY));
    assert_eq!(error(GET | 102), 27, "EFBIG: larger than a message");
}

#[test]
fn poll_descriptor_changes_with_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut server = Server::bind(&path, Toy::default(), ServerOptions::default()).unwrap();
    let readable = |server: &Server<Toy>| {
        server.with_poll_fd(|fd| {
            let mut poll = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
            (fd.as_raw_fd(), rustix::event::poll(&mut poll, Some(&Default::default())).unwrap() == 1)
        })
    };
    let (listening, ready) = readable(&server).unwrap();
    assert!(!ready);
    let mut client = Client::connect(&path);
    assert_eq!(readable(&server), Some((listening, true)), "somebody knocks");
    assert!(server.attach().unwrap());
    let (connected, ready) = readable(&server).unwrap();
    assert!(connected != listening && !ready);
    client.send(VERSION, 0, &version("{}"), &[]);
    assert_eq!(readable(&server), Some((connected, true)), "the client has something to say");
    assert_eq!(server.run(), Ok(1));
    assert_eq!(readable(&server), Some((connected, false)));
    drop(client);
    assert_eq!(readable(&server), Some((connected, true)));
    assert_eq!(server.run(), Err(RunError::NotConnected));
    assert_eq!(readable(&server), Some((listening, false)));
}

#[test]
fn log_levels_are_those_of_syslog() {
    let lines: Arc<Mutex<Vec<(Severity, String)>>> = Arc::default();
    let logger = |level| {
        let lines = lines.clone();
        Logger::new(level, move |severity, message| {
            lines.lock().unwrap().push((severity, message.to_string()))
        })
    };
    let run = |level| {
        let options = ServerOptions { logger: logger(level), ..ServerOptions::default() };
        let (mut server, client) = by_hand(Toy::default(), options);
        client.raw(&message(1, 99, 0, &[]), &[]);
        assert_eq!(server.run(), Ok(1));
        client.raw(&message(1, GET_INFO, 0, &[0; 16])[..20], &[]);
        drop(client);
        assert_eq!(server.run(), Err(RunError::NotConnected));
        server.log(Severity::Notice, format_args!("from the model {}", 7));
        std::mem::take(&mut *lines.lock().unwrap())
    };
    let all = run(Severity::Debug);
    let severities: Vec<Severity> = all.iter().map(|(severity, _)| *severity).collect();
    assert_eq!(severities, [Severity::Debug, Severity::Warning, Severity::Notice], "{all:?}");
    assert!(all[0].1.contains("99") && all[1].1.contains("middle of a message"), "{all:?}");
    assert_eq!(all[2].1, "from the model 7");
    assert_eq!(run(Severity::Notice).len(), 2);
    assert_eq!(run(Severity::Error), []);
    let numbers =
        [Severity::Emergency, Severity::Alert, Severity::Critical, Severity::Error].map(|level| level as u8);
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert_eq!((Severity::Warning as u8, Severity::Debug as u8), (4, 7));
}

#[test]
fn the_next_timer_ends_a_sleep() {
    let toy = Toy { deadline: Some(Duration::from_millis(30)), ..Toy::default() };
    let steps = toy.steps.clone();
    let (mut server, _client) = by_hand(toy, ServerOptions::default());
    let limit = Duration::from_secs(100);
    let pause = server.pause(limit);
    assert!(pause <= Duration::from_millis(30), "{pause:?}");
    assert_eq!(server.pause(Duration::from_millis(1)), Duration::from_millis(1).min(server.pause(limit)));
    let idle = IdlePolicy { spins: 0, yields: 0, sleep: limit };
    assert_eq!(server.step(), Work::Idle);
    let (start, before) = (Instant::now(), steps.load(Ordering::Relaxed));
    server.serve_round(idle).unwrap();
    server.serve_round(idle).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "it slept over its timer: {:?}", start.elapsed());
    assert_eq!(steps.load(Ordering::Relaxed), before + 2);
    server.model().deadline = None;
    assert_eq!(server.pause(limit), limit);
}

#[test]
fn attach_may_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut server = Server::bind(&path, Toy::default(), ServerOptions::default()).unwrap();
    let there = path.clone();
    let client = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        Client::connect(&there)
    });
    assert!(server.attach_wait(Duration::MAX).unwrap());
    drop(client.join().unwrap());
}

#[test]
fn serving_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut server =
        Server::bind(&folder.path().join("s"), Toy::default(), ServerOptions::default()).unwrap();
    let stop = AtomicBool::new(true);
    server.serve(&stop, IdlePolicy::default()).unwrap();
    assert_eq!(server.stats().clients, 0);
}
