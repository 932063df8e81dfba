//! The protocol's table of commands, and each of them wrong in every way: cut at each byte, too long, with wrong counts, with
//! wrong descriptors, in wrong states, of a wrong type. The errno is right, the stream stays in step, the server alive.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use vfio_user_kit::server::ServerOptions;

use crate::common::*;

const GET: u32 = 1 << 16;
const SET: u32 = 1 << 17;
const EACCES: u32 = 13;

/// A command with a payload that is right.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) command: u16,
    pub(crate) body: Vec<u8>,
    /// From this length on, what follows is room for the answer and means nothing.
    pub(crate) room_from: usize,
    /// What it answers when nothing is wrong with it, in a device that just runs.
    pub(crate) answer: u32,
}

fn row(name: &'static str, command: u16, body: Vec<u8>) -> Row {
    Row { name, command, body, room_from: usize::MAX, answer: 0 }
}

/// Every command that a client sends but VERSION, and each feature.
pub(crate) fn rows() -> Vec<Row> {
    let multi = [longs(&[1, reg::SCRATCH]), words(&[0, 4]), vec![1, 2, 3, 4, 0, 0, 0, 0]].concat();
    let write = [access(reg::SCRATCH, 0, 8), vec![1; 8]].concat();
    let logging = [words(&[64, SET | 6]), longs(&[4096]), words(&[1, 0]), longs(&[0, 4096])].concat();
    let report = [words(&[4096, GET | 8]), longs(&[0, 4096, 4096])].concat();
    vec![
        row("DMA_MAP", DMA_MAP, dma_map(3, 0, 0x10_0000, 0x1000)),
        row("DMA_UNMAP", DMA_UNMAP, dma_unmap(0, 0x10_0000, 0x1000)),
        row("DMA_UNMAP, all", DMA_UNMAP, dma_unmap(2, 0, 0)),
        row("GET_INFO", GET_INFO, words(&[16, 0, 0, 0])),
        Row {
            room_from: 32,
            ..row("REGION_INFO", REGION_INFO, [words(&[32, 0, 0, 0]), longs(&[0, 0])].concat())
        },
        Row { room_from: 16, ..row("REGION_IO_FDS", IO_FDS, words(&[16, 0, 0, 0])) },
        row("IRQ_INFO", IRQ_INFO, words(&[16, 0, 2, 0])),
        row("SET_IRQS", SET_IRQS, set_irqs(1 | 1 << 5, 2, 0, 0)),
        row("SET_IRQS, flags", SET_IRQS, [set_irqs(2 | 1 << 3, 2, 1, 3), vec![1, 0, 1]].concat()),
        row("REGION_READ", REGION_READ, access(0, 0, 4)),
        row("REGION_WRITE", REGION_WRITE, write),
        row("RESET", RESET, Vec::new()),
        row("REGION_WRITE_MULTI", WRITE_MULTI, multi),
        row("FEATURE, migration", FEATURE, words(&[64, GET | 1])),
        row("FEATURE, state", FEATURE, words(&[16, SET | 2, 2, 0])),
        row("FEATURE, log start", FEATURE, logging),
        row("FEATURE, log report", FEATURE, report),
        row("FEATURE, log stop", FEATURE, words(&[8, SET | 7])),
        Row { answer: EINVAL, ..row("MIG_DATA_READ", MIG_READ, words(&[16, 8])) },
        Row { answer: EINVAL, ..row("MIG_DATA_WRITE", MIG_WRITE, [words(&[16, 8]), vec![0; 8]].concat()) },
    ]
}

fn open(served: &Served) -> Client {
    let mut client = Client::connect(&served.path);
    client.call(VERSION, &version(r#"{"write_multiple":true,"max_msg_fds":16}"#), &[]).ok();
    client
}

#[test]
fn every_command_that_is_right_is_answered() {
    let served = Served::start();
    let mut client = open(&served);
    for Row { name, command, body, answer, .. } in rows() {
        assert_eq!(client.call(command, &body, &[]).error(), answer, "{name}");
    }
    served.check_alive();
}

#[test]
fn cut_at_each_byte() {
    let served = Served::start();
    let mut client = open(&served);
    for Row { name, command, body, room_from, .. } in rows() {
        for len in (0..body.len()).filter(|&len| len < room_from) {
            let error = client.call(command, &body[..len], &[]).error();
            assert_eq!(error, EINVAL, "{name} with {len} of {} bytes", body.len());
        }
        client.check();
    }
    served.check_alive();
}

#[test]
fn too_long() {
    let served = Served::start();
    let mut client = open(&served);
    let limit = (1 << 20) + 64;
    for Row { name, command, body, room_from, .. } in rows() {
        for more in [1, 3, 8, 4096] {
            let longer = [&body[..], &vec![0; more]].concat();
            let error = client.call(command, &longer, &[]).error();
            let data_of_a_get = name == "FEATURE, migration" && error == 0;
            let in_its_room = longer.len() > room_from && error == 0;
            assert!(error == EINVAL || data_of_a_get || in_its_room, "{name} and {more} bytes: {error}");
        }
        for len in [limit - 16 + 1, 2 * limit] {
            let longer = [&body[..], &vec![0; len - body.len()]].concat();
            assert_eq!(client.call(command, &longer, &[]).error(), EMSGSIZE, "{name} with {len} bytes");
        }
        client.check();
    }
    served.check_alive();
}

#[test]
fn wrong_counts() {
    let served = Served::start();
    let mut client = open(&served);
    let region_info = |argsz, index| [words(&[argsz, 0, index, 0]), longs(&[0, 0])].concat();
    let multi =
        |count: u64, size: u32| [longs(&[count, reg::SCRATCH]), words(&[0, size]), vec![0; 8]].concat();
    let log = |argsz, page, count| {
        [words(&[argsz, SET | 6]), longs(&[page]), words(&[count, 0]), longs(&[0, 4096])].concat()
    };
    let report = |iova, len, page| [words(&[4096, GET | 8]), longs(&[iova, len, page])].concat();
    let wrong: Vec<(&str, u16, Vec<u8>)> = vec![
        ("argsz", DMA_MAP, [words(&[31, 3]), longs(&[0, 0, 4096])].concat()),
        ("argsz", DMA_UNMAP, [words(&[23, 2]), longs(&[0, 0])].concat()),
        ("argsz", GET_INFO, words(&[15, 0, 0, 0])),
        ("argsz", REGION_INFO, region_info(31, 0)),
        ("region", REGION_INFO, region_info(32, 9)),
        ("argsz", IO_FDS, words(&[15, 0, 0, 0])),
        ("count in a request", IO_FDS, words(&[16, 0, 0, 1])),
        ("region that is not there", IO_FDS, words(&[16, 0, 1, 0])),
        ("argsz", IRQ_INFO, words(&[15, 0, 2, 0])),
        ("kind", IRQ_INFO, words(&[16, 0, 5, 0])),
        ("argsz", SET_IRQS, words(&[19, 1 | 1 << 5, 2, 0, 0])),
        ("beyond the vectors", SET_IRQS, set_irqs(1 | 1 << 5, 2, 7, 2)),
        ("beyond all numbers", SET_IRQS, set_irqs(1 | 1 << 5, 2, u32::MAX, u32::MAX)),
        ("fewer flags", SET_IRQS, [set_irqs(2 | 1 << 5, 2, 0, 3), vec![1, 1]].concat()),
        ("more flags", SET_IRQS, [set_irqs(2 | 1 << 5, 2, 0, 3), vec![1; 4]].concat()),
        ("flags without a meaning", SET_IRQS, [set_irqs(1 | 1 << 5, 2, 0, 3), vec![1; 3]].concat()),
        ("beyond the region", REGION_READ, access(4093, 0, 4)),
        ("beyond all regions", REGION_READ, access(0, 9, 4)),
        ("beyond a message", REGION_READ, access(0, 2, (1 << 20) + 1)),
        ("around", REGION_READ, access(u64::MAX, 0, 2)),
        ("beyond the region", REGION_WRITE, [access(4093, 0, 4), vec![0; 4]].concat()),
        ("less data", REGION_WRITE, [access(0, 0, 4), vec![0; 3]].concat()),
        ("more data", REGION_WRITE, [access(0, 0, 4), vec![0; 5]].concat()),
        ("no data", REGION_WRITE, access(0, 0, u32::MAX)),
        ("fewer writes", WRITE_MULTI, multi(2, 4)),
        ("more writes", WRITE_MULTI, multi(0, 4)),
        ("as many as there are numbers", WRITE_MULTI, multi(u64::MAX, 4)),
        ("9 bytes in 8", WRITE_MULTI, multi(1, 9)),
        ("argsz", FEATURE, words(&[7, GET | 1])),
        ("fewer ranges", FEATURE, log(64, 4096, 2)),
        ("more ranges", FEATURE, log(64, 4096, 0)),
        ("ranges without a bound", FEATURE, log(64, 4096, u32::MAX)),
        ("nothing", FEATURE, report(0, 0, 4096)),
        ("no page", FEATURE, report(0, 4096, 0)),
        ("a page that is none", FEATURE, report(0, 4096, 5000)),
        ("around", FEATURE, report(u64::MAX - 4095, 8192, 4096)),
        ("argsz below the size", MIG_READ, words(&[15, 8])),
        ("more than a message", MIG_READ, words(&[u32::MAX, (1 << 20) + 1])),
        ("less data", MIG_WRITE, [words(&[16, 8]), vec![0; 7]].concat()),
        ("more data", MIG_WRITE, [words(&[16, 8]), vec![0; 9]].concat()),
    ];
    // The log and both ends of a migration are there, so that only the count is wrong.
    for (what, command, body) in wrong {
        match command {
            MIG_READ => client.call(FEATURE, &words(&[16, SET | 2, 3, 0]), &[]).ok(),
            MIG_WRITE => client.call(FEATURE, &words(&[16, SET | 2, 4, 0]), &[]).ok(),
            _ => client.call(FEATURE, &words(&[8, GET | 1]), &[]).ok(),
        };
        let error = client.call(command, &body, &[]).error();
        assert_eq!(error, EINVAL, "command {command}, {what}");
        client.check();
        client.call(RESET, &[], &[]).ok();
    }
    served.check_alive();
}

#[test]
fn wrong_descriptors() {
    let served = Served::start();
    let mut client = open(&served);
    let fd = event();
    let few = vec![fd.as_fd(); 16];
    let many = vec![fd.as_fd(); 17];
    let most = vec![fd.as_fd(); 253];
    for Row { name, command, body, .. } in rows() {
        if !matches!(command, DMA_MAP | SET_IRQS) {
            for fds in [&few[..1], &few] {
                assert_eq!(
                    client.call(command, &body, fds).error(),
                    EINVAL,
                    "{name}, {} descriptors",
                    fds.len()
                );
            }
        }
        for fds in [&many, &most] {
            assert_eq!(client.call(command, &body, fds).error(), EINVAL, "{name}, {} descriptors", fds.len());
        }
        client.check();
    }
    // Fewer and more than vectors; none with another kind of data.
    let arm = set_irqs(4 | 1 << 5, 2, 0, 3);
    for (fds, error) in [(&few[..2], EINVAL), (&few[..4], EINVAL), (&few[..3], 0), (&few[..0], 0)] {
        assert_eq!(client.call(SET_IRQS, &arm, fds).error(), error, "{} descriptors", fds.len());
    }
    assert_eq!(client.call(SET_IRQS, &set_irqs(1 | 1 << 5, 2, 0, 3), &few[..3]).error(), EINVAL);
    // What is no memory, and what is no eventfd.
    let map = |client: &mut Client, flags: u32, fds: &[BorrowedFd<'_>]| {
        client.call(DMA_MAP, &dma_map(flags, 0, 0x10_0000, 0x1000), fds).error()
    };
    let (read_end, write_end) = std::io::pipe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, vec![0; 4096]).unwrap();
    let write_only: OwnedFd = std::fs::OpenOptions::new().write(true).open(&path).unwrap().into();
    let read_only: OwnedFd = std::fs::File::open(&path).unwrap().into();
    let directory: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let short = memory(0xfff, true);
    for (what, fd, flags, error) in [
        ("an eventfd", fd.as_fd(), 1, EINVAL),
        ("a pipe", read_end.as_fd(), 1, EINVAL),
        ("a socket", client.socket.try_clone().unwrap().as_fd(), 1, EINVAL),
        ("a directory", directory.as_fd(), 1, EINVAL),
        ("a device", null.as_fd(), 1, EINVAL),
        ("a file for writing", write_only.as_fd(), 1, EACCES),
        ("a file for reading, to be written", read_only.as_fd(), 3, EINVAL),
        ("a file that is too short", short.as_fd(), 3, EINVAL),
        ("a file for reading", read_only.as_fd(), 1, 0),
    ] {
        assert_eq!(map(&mut client, flags, &[fd]), error, "{what}");
        client.check();
    }
    for (what, fd) in
        [("a pipe", write_end.as_fd()), ("a file", read_only.as_fd()), ("memory", short.as_fd())]
    {
        let error = client.call(SET_IRQS, &set_irqs(4 | 1 << 5, 2, 0, 1), &[fd]).error();
        assert_eq!(error, EINVAL, "{what}");
    }
    client.check();
    served.check_alive();
}

#[test]
fn version_wrong_in_every_way() {
    let served = Served::start();
    let right = version(r#"{"max_msg_fds":4}"#);
    let fd = event();
    let mut client = Client::connect(&served.path);
    // 4 bytes alone are whole.
    for len in (0..right.len()).filter(|&len| len != 4) {
        assert_eq!(client.call(VERSION, &right[..len], &[]).error(), EINVAL, "{len} bytes");
    }
    assert_eq!(client.call(VERSION, &[&right[..], &[0]].concat(), &[]).error(), EINVAL, "two NUL");
    assert_eq!(client.call(VERSION, &[&right[..], b"x"].concat(), &[]).error(), EINVAL, "behind NUL");
    let large = [&right[..], &vec![0; 1 << 21]].concat();
    assert_eq!(client.call(VERSION, &large, &[]).error(), EMSGSIZE);
    assert_eq!(client.call(VERSION, &right, &[fd.as_fd()]).error(), EINVAL, "a descriptor");
    client.call(VERSION, &right, &[]).ok();
    assert_eq!(client.call(VERSION, &right, &[]).error(), EINVAL, "a second time");
    client.check();
}

#[test]
fn before_the_version() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    for Row { name, command, body, .. } in rows() {
        assert_eq!(client.call(command, &body, &[]).error(), EINVAL, "{name}");
    }
    for command in [0, 14, 19, 1000, u16::MAX] {
        assert_eq!(client.call(command, &[0; 40], &[]).error(), ENOSYS, "command {command}");
    }
    client.call(VERSION, &version("{}"), &[]).ok();
    client.check();
}

#[test]
fn without_what_was_not_agreed() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    let multi = rows().into_iter().find(|row| row.command == WRITE_MULTI).unwrap();
    assert_eq!(client.call(WRITE_MULTI, &multi.body, &[]).error(), ENOTSUP);
    for command in [DMA_READ, DMA_WRITE] {
        let body = [longs(&[0, 8]), vec![0; 8]].concat();
        assert_eq!(client.call(command, &body, &[]).error(), EINVAL, "the server's own");
    }
    client.check();
}

/// What each command answers in each migration state; the state is set up anew for each.
#[test]
fn in_every_migration_state() {
    const STOP: u32 = 1;
    const RUNNING: u32 = 2;
    const STOP_COPY: u32 = 3;
    const RESUMING: u32 = 4;
    const PRE_COPY: u32 = 6;
    /// Is reached by ending a restore that got nothing.
    const ERROR: u32 = 0;
    let served = Served::start();
    let mut client = open(&served);
    for state in [ERROR, STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY] {
        for Row { name, command, body, .. } in rows() {
            client.call(RESET, &[], &[]).ok();
            // The other end of a pair, so that only the state decides.
            match name {
                "DMA_MAP" => drop(client.call(DMA_UNMAP, &dma_unmap(2, 0, 0), &[]).ok()),
                "DMA_UNMAP" => drop(client.map(0x10_0000, 0x1000, 3, None)),
                "FEATURE, log start" => drop(client.call(FEATURE, &words(&[8, SET | 7]), &[])),
                "FEATURE, log stop" | "FEATURE, log report" => {
                    let start = [words(&[64, SET | 6]), longs(&[4096]), words(&[0, 0])].concat();
                    client.call(FEATURE, &start, &[]);
                }
                _ => {}
            }
            let mut go = |state: u32| client.call(FEATURE, &words(&[16, SET | 2, state, 0]), &[]).error();
            match state {
                ERROR => assert_eq!((go(RESUMING), go(STOP)), (0, EINVAL)),
                state => assert_eq!(go(state), 0),
            }
            let error = client.call(command, &body, &[]).error();
            let expected = match (name, state) {
                ("MIG_DATA_READ", STOP_COPY | PRE_COPY) => 0,
                ("MIG_DATA_READ", _) => EINVAL,
                // Its body is no stream.
                ("MIG_DATA_WRITE", _) => EINVAL,
                // Only a reset leads out; a restore that got nothing fails.
                ("FEATURE, state", ERROR | RESUMING) => EINVAL,
                _ => 0,
            };
            assert_eq!(error, expected, "{name} in state {state}");
            client.check();
        }
    }
    served.check_alive();
}

#[test]
fn while_the_model_finds_no_rest() {
    let unrest = 30;
    let served = Served::with(Toy { unrest, ..Toy::default() }, ServerOptions::default());
    let mut client = open(&served);
    // The first waits for the model, and all that follow wait for it: each is answered, in order.
    let rows = rows();
    let ids: Vec<u16> = rows.iter().map(|row| client.send(row.command, 0, &row.body, &[])).collect();
    for (id, row) in ids.into_iter().zip(&rows) {
        let reply = client.receive();
        assert_eq!((reply.id, reply.error()), (id, row.answer), "{}", row.name);
    }
    client.check();
}

#[test]
fn of_a_wrong_type() {
    let served = Served::start();
    let mut client = open(&served);
    for Row { name, command, body, .. } in rows() {
        for kind in 2..16 {
            let id = client.send(command, kind, &body, &[]);
            let reply = client.receive();
            assert_eq!(
                (reply.id, reply.command, reply.error()),
                (id, command, EINVAL),
                "{name}, type {kind}"
            );
        }
        // A reply to nothing has no answer; neither has a command that wants none, whatever is wrong with it.
        client.send(command, 1, &body, &[]);
        client.send(command, 0x10, &[], &[]);
        client.check();
    }
    served.check_alive();
}

#[test]
fn a_header_that_tells_less_than_itself() {
    let served = Served::start();
    let mut client = open(&served);
    for Row { name, command, .. } in rows() {
        for size in [0u32, 1, 15] {
            let mut bytes = message(77, command, 0, &[]);
            bytes[4..8].copy_from_slice(&size.to_ne_bytes());
            client.raw(&bytes, &[]);
            let reply = client.receive();
            assert_eq!((reply.id, reply.error()), (77, EINVAL), "{name}, {size} bytes");
        }
        client.check();
    }
}
