//! Clients that do not keep to the protocol: each gets its errno, and the stream stays in step.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vfio_user_kit::server::ServerOptions;

use crate::common::*;
use crate::table::{Row, rows};

#[test]
fn messages_that_are_too_large_or_too_small_keep_the_stream_in_step() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for size in [(1 << 20) + 64 + 1, 3 << 20] {
        let id = client.send(REGION_WRITE, 0, &vec![0xab; size], &[]);
        let reply = client.receive();
        assert_eq!((reply.id, reply.error()), (id, EMSGSIZE));
        client.check();
    }
    for size in [0u32, 1, 15] {
        let mut bytes = message(77, GET_INFO, 0, &[]);
        bytes[4..8].copy_from_slice(&size.to_ne_bytes());
        client.raw(&bytes, &[]);
        let reply = client.receive();
        assert_eq!((reply.id, reply.error()), (77, EINVAL));
        client.check();
    }
}

#[test]
fn counts_that_are_wrong() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for (offset, region, count) in [
        (0, 0, 4097),
        (4096, 0, 1),
        (4095, 0, 2),
        (u64::MAX, 0, 1),
        (u64::MAX, 0, u32::MAX),
        (0, 1, 1),
        (0, 6, 1),
        (0, 9, 1),
        (0, u32::MAX, 1),
        (4096, 7, 1),
        (0, 2, u32::MAX),
    ] {
        let read = client.call(REGION_READ, &access(offset, region, count), &[]).error();
        assert_eq!(read, EINVAL, "read {count} at {offset:#x} of {region}");
        let body = [access(offset, region, count), vec![0; count.min(8) as usize]].concat();
        assert_eq!(client.call(REGION_WRITE, &body, &[]).error(), EINVAL);
    }
    let more = [access(0, 0, 4), vec![0; 8]].concat();
    assert_eq!(client.call(REGION_WRITE, &more, &[]).error(), EINVAL, "more data than count");
    for (start, count) in [(0, 9), (8, 1), (7, 2), (u32::MAX, 1), (1, u32::MAX), (8, 0)] {
        let body = set_irqs(1 | 1 << 5, 2, start, count);
        assert_eq!(client.call(SET_IRQS, &body, &[]).error(), EINVAL, "{count} from {start}");
    }
    client.check();
}

#[test]
fn descriptors_with_the_second_half_of_a_message() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    let fd = event();
    let bytes = message(5, SET_IRQS, 0, &set_irqs(4 | 1 << 5, 2, 3, 1));
    client.raw(&bytes[..20], &[]);
    client.raw(&bytes[20..], &[fd.as_fd()]);
    let reply = client.receive();
    assert_eq!((reply.id, reply.error()), (5, 0));
    client.call(SET_IRQS, &set_irqs(1 | 1 << 5, 2, 3, 1), &[]).ok();
    assert_eq!(signals(&fd), 1);
}

#[test]
fn a_message_that_comes_byte_by_byte() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for byte in message(9, GET_INFO, 0, &words(&[16, 0, 0, 0])) {
        client.raw(&[byte], &[]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.receive().ok().id, 9);
}

#[test]
fn half_a_message_stops_nobody() {
    let served = Served::start();
    for len in [1, 10, 16, 20] {
        let mut client = Client::open(&served.path);
        // A register access lets a kept device go on.
        client.read32(0);
        client.raw(&message(1, GET_INFO, 0, &words(&[16, 0, 0, 0]))[..len], &[]);
        served.check_alive();
        drop(client);
        Client::open(&served.path).check();
    }
}

#[test]
fn a_client_that_does_not_read_is_not_waited_for() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.socket.set_nonblocking(true).unwrap();
    // The server's answers fill the socket, then its queue, then it stops listening and this socket fills.
    let bytes = message(1, REGION_READ, 0, &access(0, 7, 4096));
    let mut asked: u64 = 0;
    let mut partial = 0;
    let mut full_for = 0;
    while full_for < 50 {
        match rustix::io::write(&client.socket, &bytes[partial..]) {
            Ok(count) => {
                full_for = 0;
                partial += count;
                if partial == bytes.len() {
                    (partial, asked) = (0, asked + 1);
                }
            }
            Err(rustix::io::Errno::AGAIN) => {
                full_for += 1;
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(asked < 1_000_000, "the server takes commands without an end");
    }
    served.check_alive();
    client.socket.set_nonblocking(false).unwrap();
    for _ in 0..asked {
        assert_eq!(client.receive().ok().body.len(), 16 + 4096);
    }
    client.raw(&bytes[partial..], &[]);
    client.receive().ok();
    client.check();
}

#[test]
fn random_messages_end_nothing() {
    let served = Served::start();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let count = rows().len();
    for _ in 0..20 {
        let mut client = Client::connect(&served.path);
        client.call(VERSION, &version(r#"{"write_multiple":true}"#), &[]).ok();
        for _ in 0..200 {
            let templates = rows();
            let Row { command, mut body, .. } = templates.into_iter().nth(random() as usize % count).unwrap();
            for _ in 0..random() % 4 {
                let at = random() as usize % body.len().max(1);
                if at >= body.len() {
                    break;
                }
                body[at] = [0, 1, 0x7f, 0xff, random() as u8][random() as usize % 5];
            }
            // A device that the garbage has set to work asks this client for memory; that is not answered.
            let id = client.send(command, 0, &body, &[]);
            loop {
                let reply = client.receive();
                if reply.flags & 0xf == 1 {
                    assert_eq!(reply.id, id);
                    break;
                }
                let refused = [message(reply.id, reply.command, 0x21, &[])].concat();
                client.raw(&refused, &[]);
            }
        }
    }
    let mut client = Client::open(&served.path);
    client.check();
}

#[test]
fn answers_without_an_end_hold_nobody_up() {
    let patience = std::time::Duration::from_millis(100);
    let served = Served::with(Toy::default(), ServerOptions { patience, ..ServerOptions::default() });
    let mut client = Client::open(&served.path);
    client.bus_master();
    assert_eq!(client.map(0x1000, 0x1000, 3, None), 0);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = |client: &Client| {
        let (socket, stop) = (client.socket.try_clone().unwrap(), stop.clone());
        std::thread::spawn(move || {
            // Nobody has asked with this number.
            let answers = message(u16::MAX, DMA_READ, 1, &longs(&[0x1000, 0])).repeat(100);
            while !stop.load(Ordering::Relaxed) {
                send(socket.as_fd(), &answers, &[]);
            }
        })
    };
    // While the server waits for an answer: its patience ends all the same, and the model has its next turn.
    client.start(reg::READ, 0x1000, 8);
    assert_eq!(client.receive().command, DMA_READ);
    let flooding = flood(&client);
    std::thread::sleep(4 * patience);
    served.check_alive();
    // And while it waits for commands.
    std::thread::sleep(patience);
    served.check_alive();
    stop.store(true, Ordering::Relaxed);
    flooding.join().unwrap();
    assert_eq!(client.finish(), reg::FAULT);
    client.check();
}
