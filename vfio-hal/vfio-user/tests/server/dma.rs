//! Client memory: by mapping, by file, by message.

use std::os::fd::AsFd;
use std::time::Duration;

use vfio_user_kit::server::ServerOptions;

use crate::common::*;

const AT: u64 = 0x1_0000_0000;

fn ready(served: &Served) -> Client {
    let mut client = Client::open(&served.path);
    client.bus_master();
    client
}

/// Both ways through a file, in one mapping and across two.
fn round_trip(sealed: bool) {
    let served = Served::start();
    let mut client = ready(&served);
    let file = memory(0x5000, sealed);
    assert_eq!(client.map(AT, 0x2000, 3, Some((file.as_fd(), 0x1000))), 0);
    assert_eq!(client.map(AT + 0x2000, 0x1000, 3, Some((file.as_fd(), 0x4000))), 0);
    poke(&file, 0x1ff9, b"from the client");
    assert_eq!(client.act(reg::READ, AT + 0xff9, 15), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 15), b"from the client");
    // From the first mapping's end into the second.
    client.write(0, reg::SCRATCH, b"0123456789abcdef");
    assert_eq!(client.act(reg::WRITE, AT + 0x1ffb, 16), reg::DONE);
    assert_eq!(peek(&file, 0x2ffb, 5), b"01234");
    assert_eq!(peek(&file, 0x4000, 11), b"56789abcdef");
    assert_eq!(client.act(reg::STORE, AT + 8, 0), reg::DONE);
    assert_eq!(peek(&file, 0x1008, 8), b"01234567");
    poke(&file, 0x1010, b"loadword");
    assert_eq!(client.act(reg::LOAD, AT + 16, 0), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 8), b"loadword");
    assert_eq!(client.act(reg::LOAD, AT + 17, 0), reg::FAULT, "not aligned");
}

#[test]
fn a_sealed_file_is_mapped() {
    round_trip(true);
}

#[test]
fn a_file_that_may_shrink_is_read_and_written() {
    round_trip(false);
}

#[test]
fn a_file_that_shrinks_is_a_fault_and_not_the_servers_end() {
    let served = Served::start();
    let mut client = ready(&served);
    let file = memory(0x2000, false);
    assert_eq!(client.map(AT, 0x2000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.act(reg::READ, AT + 0x1000, 64), reg::DONE);
    rustix::fs::ftruncate(&file, 0x1000).unwrap();
    assert_eq!(client.act(reg::READ, AT + 0x1000, 64), reg::FAULT);
    assert_eq!(client.act(reg::READ, AT, 64), reg::DONE);
}

#[test]
fn rights_and_bounds_are_kept() {
    let served = Served::start();
    let mut client = ready(&served);
    let file = memory(0x3000, true);
    assert_eq!(client.map(AT, 0x1000, 1, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.map(AT + 0x1000, 0x1000, 2, Some((file.as_fd(), 0x1000))), 0);
    client.write(0, reg::SCRATCH, &[0x5a; 32]);
    assert_eq!(client.act(reg::WRITE, AT, 8), reg::FAULT, "read only");
    assert_eq!(client.act(reg::READ, AT + 0x1000, 8), reg::FAULT, "write only");
    assert_eq!(client.act(reg::WRITE, AT + 0x1ff8, 16), reg::FAULT, "beyond the end");
    assert_eq!(peek(&file, 0x1ff8, 8), [0; 8], "nothing of a write that does not fit");
    assert_eq!(client.act(reg::READ, u64::MAX - 3, 8), reg::FAULT, "around the end of all addresses");
    client.write(7, 4, &[2, 0]);
    assert_eq!(client.act(reg::READ, AT, 8), reg::FAULT, "no bus mastering");
}

#[test]
fn maps_that_cannot_be_are_refused() {
    let served = Served::with(Toy::default(), ServerOptions { max_dma_maps: 3, ..ServerOptions::default() });
    let mut client = ready(&served);
    let file = memory(0x4000, true);
    let fd = file.as_fd();
    assert_eq!(client.map(AT, 0x2000, 3, Some((fd, 0))), 0);
    for (what, address, size) in [
        ("the same", AT, 0x2000),
        ("inside", AT + 0x1000, 0x1000),
        ("over the end", AT + 0x1000, 0x2000),
        ("around", AT - 0x1000, 0x4000),
    ] {
        assert_eq!(client.map(address, size, 3, Some((fd, 0))), EEXIST, "{what}");
    }
    for (what, address, size, offset) in [
        ("empty", AT + 0x10000, 0, 0),
        ("not whole pages", AT + 0x10000, 0x1800, 0),
        ("not aligned", AT + 0x10800, 0x1000, 0),
        ("beyond all addresses", u64::MAX - 0xfff, 0x2000, 0),
        ("beyond the file", AT + 0x10000, 0x5000, 0),
        ("offset not aligned", AT + 0x10000, 0x1000, 0x800),
        ("offset around", AT + 0x10000, 0x1000, u64::MAX - 0xfff),
    ] {
        assert_eq!(client.map(address, size, 3, Some((fd, offset))), EINVAL, "{what}");
    }
    assert_eq!(client.map(AT + 0x10000, 0x1000, 4, None), EINVAL, "unknown flag");
    let two = client.call(DMA_MAP, &dma_map(3, 0, AT + 0x10000, 0x1000), &[fd, fd]);
    assert_eq!(two.error(), EINVAL, "two files");
    let socket = client.socket.try_clone().unwrap();
    assert_eq!(
        client.map(AT + 0x10000, 0x1000, 3, Some((socket.as_fd(), 0))),
        EINVAL,
        "a socket is no memory"
    );
    assert_eq!(client.map(u64::MAX - 0xfff, 0x1000, 3, None), 0, "the last page");
    assert_eq!(client.map(0, 0x1000, 3, None), 0, "the first page");
    assert_eq!(client.map(0x1000, 0x1000, 3, None), 28, "ENOSPC: the table is full");
}

#[test]
fn a_mapping_has_a_limit_of_its_own() {
    let served = Served::start();
    let mut client = ready(&served);
    assert_eq!(client.map(0, 8 << 40, 3, None), 0);
    assert_eq!(client.map(16 << 40, (8 << 40) + 4096, 3, None), 28, "ENOSPC");
    let served =
        Served::with(Toy::default(), ServerOptions { max_dma_size: 4096, ..ServerOptions::default() });
    let mut client = ready(&served);
    assert_eq!(client.map(0, 8192, 3, None), 28);
}

#[test]
fn a_function_without_dma_acknowledges_only() {
    let spec = vfio_user_kit::Spec { no_dma: true, ..toy_spec() };
    let served = Served::with(Toy { spec, ..Toy::default() }, ServerOptions::default());
    let mut client = ready(&served);
    let file = memory(0x1000, true);
    for _ in 0..3 {
        assert_eq!(client.map(AT, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    }
    assert_eq!(client.map(AT, 0x1000, 8, None), EINVAL, "what is wrong stays wrong");
    let reply = client.call(DMA_UNMAP, &dma_unmap(0, AT, 0x1000), &[]).ok();
    assert_eq!(reply.body, dma_unmap(0, AT, 0x1000));
    client.call(DMA_UNMAP, &dma_unmap(2, 0, 0), &[]).ok();
    assert_eq!(client.act(reg::READ, AT, 8), reg::FAULT);
}

#[test]
fn unmap_takes_exactly_one_or_all() {
    let served = Served::start();
    let mut client = ready(&served);
    let file = memory(0x2000, true);
    assert_eq!(client.map(AT, 0x2000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.map(0, 0x1000, 3, None), 0);
    for (address, size) in [(AT, 0x1000), (AT + 0x1000, 0x1000), (AT, 0x3000), (AT - 0x1000, 0x1000)] {
        assert_eq!(client.call(DMA_UNMAP, &dma_unmap(0, address, size), &[]).error(), ENOENT);
    }
    assert_eq!(client.call(DMA_UNMAP, &dma_unmap(1, AT, 0x2000), &[]).error(), EINVAL, "unknown flag");
    assert_eq!(client.call(DMA_UNMAP, &dma_unmap(2, AT, 0x2000), &[]).error(), EINVAL, "all has no range");
    assert_eq!(client.act(reg::READ, AT, 8), reg::DONE);
    let reply = client.call(DMA_UNMAP, &dma_unmap(0, AT, 0x2000), &[]).ok();
    assert_eq!(reply.body, dma_unmap(0, AT, 0x2000));
    assert_eq!(client.act(reg::READ, AT, 8), reg::FAULT, "it is gone at once");
    assert_eq!(client.map(AT, 0x1000, 3, Some((file.as_fd(), 0))), 0, "and can come back");
    client.call(DMA_UNMAP, &dma_unmap(2, 0, 0), &[]).ok();
    assert_eq!(client.act(reg::READ, AT, 8), reg::FAULT);
    assert_eq!(client.call(DMA_UNMAP, &dma_unmap(0, 0, 0x1000), &[]).error(), ENOENT);
}

#[test]
fn more_mappings_than_views() {
    let served = Served::with(Toy::default(), ServerOptions { max_views: 2, ..ServerOptions::default() });
    let mut client = ready(&served);
    let file = memory(0x10_000, true);
    for page in 0..16 {
        assert_eq!(client.map(AT + page * 0x1000, 0x1000, 3, Some((file.as_fd(), page * 0x1000))), 0);
        poke(&file, page * 0x1000, &[page as u8; 8]);
    }
    for page in (0..16).chain((0..16).rev()) {
        assert_eq!(client.act(reg::READ, AT + page * 0x1000, 8), reg::DONE);
        assert_eq!(client.read(0, reg::SCRATCH, 8), [page as u8; 8]);
    }
}

/// Answers one question for client memory, and returns it.
fn answer(socket: std::os::fd::BorrowedFd<'_>, memory: &mut [u8]) -> (u16, u64, u64) {
    let question = receive(socket).unwrap();
    assert_eq!(question.flags & 0xf, 0, "{question:?}");
    let long = |at: usize| u64::from_ne_bytes(question.body[at..at + 8].try_into().unwrap());
    let (address, count) = (long(0), long(8));
    let range = (address - AT) as usize..(address - AT + count) as usize;
    let mut body = longs(&[address, count]);
    if question.command == DMA_READ {
        body.extend_from_slice(&memory[range]);
    } else {
        assert_eq!(question.command, DMA_WRITE);
        memory[range].copy_from_slice(&question.body[16..]);
    }
    send(socket, &message(question.id, question.command, 1, &body), &[]);
    (question.command, address, count)
}

#[test]
fn memory_without_a_file_is_asked_for_in_pieces() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    client.call(VERSION, &version(r#"{"max_data_xfer_size":1024}"#), &[]).ok();
    client.bus_master();
    assert_eq!(client.map(AT, 0x2000, 3, None), 0);
    let mut theirs: Vec<u8> = (0..0x2000u32).map(|at| (at % 251) as u8).collect();
    client.start(reg::READ, AT + 16, 2048 - 24);
    let socket = client.socket.try_clone().unwrap();
    assert_eq!(answer(socket.as_fd(), &mut theirs), (DMA_READ, AT + 16, 1024));
    assert_eq!(answer(socket.as_fd(), &mut theirs), (DMA_READ, AT + 1040, 1000));
    assert_eq!(client.finish(), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 1000), theirs[16..1016]);
    client.write(0, reg::SCRATCH, &[7; 100]);
    client.start(reg::WRITE, AT + 0x1000, 100);
    assert_eq!(answer(socket.as_fd(), &mut theirs), (DMA_WRITE, AT + 0x1000, 100));
    assert_eq!(client.finish(), reg::DONE);
    assert_eq!(theirs[0x1000..0x1064], [7; 100]);
}

#[test]
fn commands_cross_a_question_without_a_deadlock() {
    let served = Served::start();
    let mut client = ready(&served);
    assert_eq!(client.map(AT, 0x1000, 3, None), 0);
    client.start(reg::READ, AT, 8);
    let question = client.receive();
    assert_eq!(question.command, DMA_READ);
    // The server waits for an answer, and gets commands first.
    let ids: Vec<u16> = (0..10).map(|_| client.send(GET_INFO, 0, &words(&[16, 0, 0, 0]), &[])).collect();
    let body = [longs(&[AT, 8]), vec![9; 8]].concat();
    client.raw(&message(question.id, DMA_READ, 1, &body), &[]);
    for id in ids {
        assert_eq!(client.receive().ok().id, id);
    }
    assert_eq!(client.finish(), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 8), [9; 8]);
}

#[test]
fn the_twin_socket_carries_the_questions() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    let reply =
        client.call(VERSION, &version(r#"{"max_msg_fds":4,"twin_socket":{"supported":true}}"#), &[]).ok();
    let twin = std::os::unix::net::UnixStream::from(reply.fds.into_iter().next().unwrap());
    twin.set_nonblocking(false).unwrap();
    twin.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.bus_master();
    assert_eq!(client.map(AT, 0x1000, 3, None), 0);
    let mut theirs = vec![3; 0x1000];
    client.start(reg::READ, AT, 64);
    assert_eq!(answer(twin.as_fd(), &mut theirs), (DMA_READ, AT, 64));
    assert_eq!(client.finish(), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 64), [3; 64]);
}

#[test]
fn wrong_answers_are_faults() {
    let options = ServerOptions { patience: Duration::from_millis(200), ..ServerOptions::default() };
    let served = Served::with(Toy::default(), options);
    let mut client = ready(&served);
    assert_eq!(client.map(AT, 0x1000, 3, None), 0);
    let good = [longs(&[AT, 8]), vec![1; 8]].concat();
    let wrong = [
        (1 | 0x20, vec![]),
        (1, vec![]),
        (1, longs(&[AT, 8])),
        (1, [longs(&[AT + 1, 8]), vec![1; 8]].concat()),
        (1, [longs(&[AT, 7]), vec![1; 8]].concat()),
        (1, [longs(&[AT, 8]), vec![1; 9]].concat()),
    ];
    for (flags, body) in wrong {
        client.start(reg::READ, AT, 8);
        let question = client.receive();
        client.raw(&message(question.id, DMA_READ, flags, &body), &[]);
        assert_eq!(client.finish(), reg::FAULT, "{body:?}");
    }
    // No answer, then one that is too late.
    client.start(reg::READ, AT, 8);
    let question = client.receive();
    std::thread::sleep(Duration::from_millis(400));
    client.raw(&message(question.id, DMA_READ, 1, &good), &[]);
    assert_eq!(client.finish(), reg::FAULT);
    client.start(reg::READ, AT, 8);
    let question = client.receive();
    client.raw(&message(question.id.wrapping_add(1), DMA_READ, 1, &good), &[]);
    client.raw(&message(question.id, DMA_READ, 1, &good), &[]);
    assert_eq!(client.finish(), reg::DONE, "another id is another question's");
}
