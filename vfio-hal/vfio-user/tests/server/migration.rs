//! Migration states, the stream, and the log of written pages.

use std::os::fd::AsFd;

use crate::common::*;

const GET: u32 = 1 << 16;
const SET: u32 = 1 << 17;
const PROBE: u32 = 1 << 18;
const STOP: u32 = 1;
const RUNNING: u32 = 2;
const STOP_COPY: u32 = 3;
const RESUMING: u32 = 4;
const PRE_COPY: u32 = 6;

fn go(client: &mut Client, state: u32) -> u32 {
    client.call(FEATURE, &words(&[16, SET | 2, state, 0]), &[]).error()
}

fn state(client: &mut Client) -> u32 {
    let reply = client.call(FEATURE, &words(&[16, GET | 2]), &[]).ok();
    u32::from_ne_bytes(reply.body[8..12].try_into().unwrap())
}

fn read_all(client: &mut Client, piece: u32) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let reply = client.call(MIG_READ, &words(&[8 + piece, piece]), &[]).ok();
        let size = u32::from_ne_bytes(reply.body[4..8].try_into().unwrap());
        assert_eq!(reply.body.len(), 8 + size as usize);
        all.extend_from_slice(&reply.body[8..]);
        if size < piece {
            return all;
        }
    }
}

fn write_all(client: &mut Client, stream: &[u8], piece: usize) {
    for part in stream.chunks(piece) {
        let body = [words(&[8 + part.len() as u32, part.len() as u32]), part.to_vec()].concat();
        client.call(MIG_WRITE, &body, &[]).ok();
    }
}

#[test]
fn states_follow_the_protocols_arcs() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    let reply = client.call(FEATURE, &words(&[16, GET | 1]), &[]).ok();
    assert_eq!(reply.body, [words(&[16, GET | 1]), longs(&[0b101])].concat());
    assert_eq!(state(&mut client), RUNNING);
    let all = [STOP, RUNNING, STOP_COPY, PRE_COPY];
    for from in all {
        for to in all {
            assert_eq!(go(&mut client, RUNNING), 0);
            assert_eq!(go(&mut client, from), 0);
            let expected = if (from, to) == (STOP_COPY, PRE_COPY) { EINVAL } else { 0 };
            assert_eq!(go(&mut client, to), expected, "{from} to {to}");
            assert_eq!(state(&mut client), if expected == 0 { to } else { from });
        }
    }
    for bad in [0, 8, u32::MAX] {
        assert_eq!(go(&mut client, bad), EINVAL);
    }
    assert_eq!(
        client.call(MIG_WRITE, &[words(&[9, 1]), vec![0]].concat(), &[]).error(),
        EINVAL,
        "not resuming"
    );
    go(&mut client, RUNNING);
    assert_eq!(client.call(MIG_READ, &words(&[16, 8]), &[]).error(), EINVAL, "not saving");
}

#[test]
fn peer_to_peer_states_are_refused() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    let reply = client.call(FEATURE, &words(&[16, GET | 1]), &[]).ok();
    assert_eq!(reply.body[8] & 0b10, 0, "not offered");
    for from in [RUNNING, STOP, STOP_COPY, PRE_COPY, RESUMING] {
        assert_eq!(go(&mut client, RUNNING), 0);
        assert_eq!(go(&mut client, from), 0);
        let now = state(&mut client);
        for running_p2p in [5, 7] {
            assert_eq!(go(&mut client, running_p2p), EINVAL);
            assert_eq!(state(&mut client), now);
        }
    }
}

#[test]
fn a_stopped_device_does_not_work() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    assert_eq!(go(&mut client, STOP), 0);
    client.start(reg::MSI, 0, 0);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(client.read32(reg::STATUS), 0);
    assert_eq!(go(&mut client, RUNNING), 0);
    assert_eq!(client.finish(), reg::DONE);
}

#[test]
fn a_device_moves_from_one_server_to_another() {
    for (piece, pre_copy) in [(64, false), (4096, true), (1 << 20, true)] {
        let (from, to) = (Served::start(), Served::start());
        let (mut source, mut target) = (Client::open(&from.path), Client::open(&to.path));
        source.bus_master();
        source.write(7, 0x10, &0xabcd_0000u32.to_le_bytes());
        source.write(4, 0, &[4, 0, 0, 0, 1, 0, 0, 0]);
        source.write32(reg::SCRATCH, 1);
        source.write32(reg::BELL, 77);
        let mut stream = Vec::new();
        if pre_copy {
            assert_eq!(go(&mut source, PRE_COPY), 0);
            stream.extend(read_all(&mut source, piece));
        }
        source.write32(reg::SCRATCH, 2);
        assert_eq!(go(&mut source, STOP_COPY), 0);
        stream.extend(read_all(&mut source, piece));
        assert_eq!(go(&mut target, RESUMING), 0);
        write_all(&mut target, &stream, piece as usize - 1);
        assert_eq!(go(&mut target, RUNNING), 0);
        assert_eq!(target.read32(reg::SCRATCH), 2);
        assert_eq!(target.read32(reg::BELL), 77);
        assert_eq!(target.read(7, 0, 4096), source.read(7, 0, 4096));
        assert_eq!(target.read(4, 0, 8), [4, 0, 0, 0, 1, 0, 0, 0]);
    }
}

#[test]
fn a_stream_that_is_not_whole_is_refused_and_a_reset_helps() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    assert_eq!(go(&mut client, STOP_COPY), 0);
    let stream = read_all(&mut client, 4096);
    for len in [0, 4, 8, 100, stream.len() - 1] {
        client.call(RESET, &[], &[]).ok();
        assert_eq!(go(&mut client, RESUMING), 0);
        write_all(&mut client, &stream[..len], 1000);
        assert_eq!(go(&mut client, STOP), EINVAL, "{len} of {} bytes", stream.len());
        assert_eq!(state(&mut client), 0, "the error state");
        assert_eq!(go(&mut client, RUNNING), EINVAL, "only a reset leads out");
    }
    client.call(RESET, &[], &[]).ok();
    assert_eq!(state(&mut client), RUNNING);
    assert_eq!(go(&mut client, RESUMING), 0);
    let garbage = [words(&[16, 8]), vec![0xff; 8]].concat();
    assert_eq!(client.call(MIG_WRITE, &garbage, &[]).error(), EINVAL);
    assert_eq!(client.call(MIG_WRITE, &garbage, &[]).error(), EINVAL);
    // Nothing that comes after it helps, or is kept.
    let good = [words(&[8 + stream.len() as u32, stream.len() as u32]), stream].concat();
    assert_eq!(client.call(MIG_WRITE, &good, &[]).error(), EINVAL);
    assert_eq!(go(&mut client, STOP), EINVAL);
}

#[test]
fn probes_say_what_there_is() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for (feature, get, set) in
        [(1, 0, ENOTTY), (2, 0, 0), (6, ENOTTY, 0), (7, ENOTTY, 0), (8, 0, ENOTTY), (99, ENOTTY, ENOTTY)]
    {
        let mut probe = |flag| client.call(FEATURE, &words(&[8, PROBE | flag | feature]), &[]).error();
        assert_eq!((probe(GET), probe(SET)), (get, set), "feature {feature}");
    }
    for bad in [0, GET | SET | 2, 1 << 19 | GET | 2] {
        assert_eq!(client.call(FEATURE, &words(&[8, bad]), &[]).error(), EINVAL, "{bad:#x}");
    }
}

#[test]
fn written_pages_are_logged() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.bus_master();
    let file = memory(0x8000, true);
    assert_eq!(client.map(0x10_0000, 0x8000, 3, Some((file.as_fd(), 0))), 0);
    let start = [words(&[24, SET | 6]), longs(&[4096]), words(&[0, 0])].concat();
    let report =
        |iova: u64, len: u64, page: u64| [words(&[4096, GET | 8]), longs(&[iova, len, page])].concat();
    assert_eq!(client.call(FEATURE, &report(0x10_0000, 0x8000, 4096), &[]).error(), EINVAL, "not started");
    client.call(FEATURE, &start, &[]).ok();
    client.act(reg::WRITE, 0x10_0fff, 2);
    client.act(reg::STORE, 0x10_5000, 0);
    client.act(reg::READ, 0x10_7000, 8);
    let reply = client.call(FEATURE, &report(0x10_0000, 0x8000, 4096), &[]).ok();
    assert_eq!(reply.body[32..], longs(&[0b10_0011]));
    let reply = client.call(FEATURE, &report(0x10_0000, 0x8000, 4096), &[]).ok();
    assert_eq!(reply.body[32..], longs(&[0]), "reported once");
    client.act(reg::WRITE, 0x10_2000, 8);
    let reply = client.call(FEATURE, &report(0x10_0000, 0x8000, 0x2000), &[]).ok();
    assert_eq!(reply.body[32..], longs(&[0b10]), "in larger units");
    for (iova, len, page) in [(0, 0, 4096), (0, 4096, 3000), (0, 4096, 0), (u64::MAX - 4095, 8192, 4096)] {
        assert_eq!(client.call(FEATURE, &report(iova, len, page), &[]).error(), EINVAL);
    }
    assert_ne!(client.call(FEATURE, &report(0, u64::MAX, 4096), &[]).error(), 0, "larger than a message");
    client.call(FEATURE, &words(&[8, SET | 7]), &[]).ok();
    assert_eq!(client.call(FEATURE, &words(&[8, SET | 7]), &[]).error(), EINVAL, "stopped already");
}

#[test]
fn written_pages_are_logged_with_message_dma() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.bus_master();
    assert_eq!(client.map(0x10_0000, 0x8000, 3, None), 0);
    let start = [words(&[40, SET | 6]), longs(&[4096]), words(&[1, 0]), longs(&[0x10_2000, 0x2000])].concat();
    client.call(FEATURE, &start, &[]).ok();
    for at in [0x10_1000u64, 0x10_2ffe] {
        client.start(reg::WRITE, at, 4);
        let question = client.receive();
        assert_eq!((question.command, &question.body[..16]), (DMA_WRITE, &longs(&[at, 4])[..]));
        client.raw(&message(question.id, DMA_WRITE, 1, &longs(&[at, 4])), &[]);
        assert_eq!(client.finish(), reg::DONE);
    }
    // A write that the client refuses dirties nothing, and neither does one to nowhere.
    client.start(reg::WRITE, 0x10_3800, 4);
    let question = client.receive();
    client.raw(&message(question.id, DMA_WRITE, 0x21, &[]), &[]);
    assert_eq!(client.finish(), reg::FAULT);
    let report = [words(&[4096, GET | 8]), longs(&[0x10_0000, 0x8000, 4096])].concat();
    let reply = client.call(FEATURE, &report, &[]).ok();
    assert_eq!(reply.body[32..], longs(&[0b1100]), "in the range that is logged");
}
