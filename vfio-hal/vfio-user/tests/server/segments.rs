//! Scatter lists: memory that a model holds, and a client that wants it back.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use vfio_user_kit::server::ServerOptions;

use crate::common::*;

const AT: u64 = 0x1_0000_0000;

fn ready(toy: Toy, options: ServerOptions) -> (Served, Client) {
    let served = Served::with(toy, options);
    let mut client = Client::open(&served.path);
    client.bus_master();
    client.write32(reg::MAX, 8);
    (served, client)
}

/// Has the toy hold memory. Returns how that ended.
fn hold(client: &mut Client, command: u32, address: u64, len: u32) -> u32 {
    assert_eq!(client.act(command, address, len), reg::DONE);
    client.read32(reg::SEGMENTS)
}

fn unmap(client: &mut Client, address: u64, size: u64) -> u32 {
    client.call(DMA_UNMAP, &dma_unmap(0, address, size), &[]).error()
}

#[test]
fn a_range_is_a_segment_for_each_mapping() {
    for sealed in [true, false] {
        let (_served, mut client) = ready(Toy::default(), ServerOptions::default());
        let file = memory(0x4000, sealed);
        for page in 0..3 {
            let place = (file.as_fd(), (3 - page) * 0x1000);
            assert_eq!(client.map(AT + page * 0x1000, 0x1000, 3, Some(place)), 0);
        }
        assert_eq!(hold(&mut client, reg::HOLD, AT + 0xff8, 0x1010), 3);
        client.write(0, reg::SCRATCH, b"firstsecndthird");
        assert_eq!(client.act(reg::WRITE_HELD, 0, 5), reg::DONE);
        assert_eq!(peek(&file, 0x3ff8, 5), b"first");
        assert_eq!(peek(&file, 0x2000, 5), b"secnd");
        assert_eq!(peek(&file, 0x1000, 5), b"third");
        assert_eq!(client.act(reg::IS_DIRECT, 0, 0), reg::DONE);
        assert_eq!(client.read32(reg::SCRATCH), 3, "in reach, mapped or not");
        client.write(0, reg::SCRATCH, b"first");
        poke(&file, 0x2000, b"again");
        assert_eq!(client.act(reg::READ_HELD, 0, 5), reg::DONE);
        assert_eq!(client.read(0, reg::SCRATCH, 15), b"firstagainthird");
        // The last segment has 8 bytes, the first too.
        assert_eq!(client.act(reg::READ_HELD, 0, 9), reg::FAULT, "beyond a segment's end");
    }
}

#[test]
fn not_mapped_protection_need_more() {
    let (_served, mut client) = ready(Toy::default(), ServerOptions::default());
    let file = memory(0x4000, true);
    assert_eq!(client.map(AT, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.map(AT + 0x1000, 0x1000, 1, Some((file.as_fd(), 0x1000))), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT - 8, 16), reg::NOT_MAPPED);
    assert_eq!(hold(&mut client, reg::HOLD, AT + 0x1ff8, 16), reg::PROTECTION);
    assert_eq!(hold(&mut client, reg::HOLD_READ, AT + 0x1ff8, 16), reg::NOT_MAPPED);
    assert_eq!(hold(&mut client, reg::HOLD, u64::MAX - 3, 8), reg::NOT_MAPPED);
    client.write32(reg::MAX, 1);
    assert_eq!(hold(&mut client, reg::HOLD_READ, AT, 0x2000), reg::NEED_MORE + 2);
    assert_eq!(unmap(&mut client, AT, 0x1000), 0, "nothing is held after all that");
    assert_eq!(client.read32(reg::WANTED), 0);
    client.write32(reg::MAX, 8);
    assert_eq!(hold(&mut client, reg::HOLD_READ, AT + 0x1000, 0x1000), 1);
    assert_eq!(client.act(reg::WRITE_HELD, 0, 4), reg::FAULT, "held for reading");
    client.write(7, 4, &[2, 0]);
    assert_eq!(client.act(reg::READ_HELD, 0, 4), reg::FAULT, "no bus mastering, whatever is held");
    assert_eq!(hold(&mut client, reg::HOLD_READ, AT + 0x1000, 8), reg::NOT_MASTER);
}

#[test]
fn unmap_waits_for_the_release() {
    let (_served, mut client) = ready(Toy { stubborn: 20, ..Toy::default() }, ServerOptions::default());
    let file = memory(0x2000, true);
    assert_eq!(client.map(AT, 0x2000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT + 0x800, 8), 1);
    assert_eq!(unmap(&mut client, AT, 0x2000), 0);
    assert_eq!(client.read32(reg::WANTED), 21, "it was asked until it let go");
    assert_eq!(client.act(reg::READ, AT, 8), reg::FAULT);
    assert_eq!(client.map(AT, 0x2000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT, 8), 1);
    assert_eq!(client.call(DMA_UNMAP, &dma_unmap(2, 0, 0), &[]).error(), 0, "so does taking all back");
    assert_eq!(client.act(reg::READ, AT, 8), reg::FAULT);
}

#[test]
fn a_model_that_does_not_let_go_is_busy_and_keeps_its_memory() {
    let options = ServerOptions { quiesce_limit: Duration::from_millis(100), ..ServerOptions::default() };
    let (served, mut client) = ready(Toy { stubborn: u32::MAX, ..Toy::default() }, options);
    let file = memory(0x3000, true);
    assert_eq!(client.map(AT, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.map(AT + 0x1000, 0x1000, 3, Some((file.as_fd(), 0x1000))), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT, 8), 1);
    let start = Instant::now();
    assert_eq!(unmap(&mut client, AT, 0x1000), EBUSY);
    assert!(start.elapsed() >= Duration::from_millis(100));
    served.check_alive();
    assert_eq!(unmap(&mut client, AT + 0x1000, 0x1000), 0, "another mapping is not held");
    assert_eq!(client.call(DMA_UNMAP, &dma_unmap(2, 0, 0), &[]).error(), EBUSY);
    client.write(0, reg::SCRATCH, b"still");
    assert_eq!(client.act(reg::WRITE_HELD, 0, 5), reg::DONE);
    assert_eq!(peek(&file, 0, 5), b"still");
    assert_eq!(client.act(reg::RELEASE, 0, 0), reg::DONE);
    assert_eq!(unmap(&mut client, AT, 0x1000), 0);
}

#[test]
fn what_is_held_does_not_outlive_its_client() {
    let (served, mut client) = ready(Toy { stubborn: u32::MAX, ..Toy::default() }, ServerOptions::default());
    let file = memory(0x1000, true);
    assert_eq!(client.map(AT, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT, 8), 1);
    drop(client);
    let mut next = Client::open(&served.path);
    next.write(0, reg::SCRATCH, b"stale");
    assert_eq!(next.act(reg::WRITE_HELD, 0, 5), reg::FAULT);
    assert_eq!(peek(&file, 0, 5), [0; 5]);
    // The same address again is other memory.
    assert_eq!(next.map(AT, 0x1000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(next.act(reg::WRITE_HELD, 0, 5), reg::FAULT);
}

#[test]
fn memory_without_a_file_is_held_and_reached_by_message() {
    let (_served, mut client) = ready(Toy { stubborn: 3, ..Toy::default() }, ServerOptions::default());
    assert_eq!(client.map(AT, 0x1000, 3, None), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT + 16, 8), 1);
    assert_eq!(client.act(reg::IS_DIRECT, 0, 0), reg::DONE);
    assert_eq!(client.read32(reg::SCRATCH), 0);
    client.start(reg::READ_HELD, 0, 8);
    let question = client.receive();
    assert_eq!((question.command, question.body), (DMA_READ, longs(&[AT + 16, 8])));
    let body = [longs(&[AT + 16, 8]), b"by hand!".to_vec()].concat();
    client.raw(&message(question.id, DMA_READ, 1, &body), &[]);
    assert_eq!(client.finish(), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 8), b"by hand!");
    assert_eq!(unmap(&mut client, AT, 0x1000), 0);
    assert_eq!(client.read32(reg::WANTED), 4);
}

#[test]
fn held_memory_keeps_its_view_beyond_the_bound() {
    let options = ServerOptions { max_views: 2, ..ServerOptions::default() };
    let (_served, mut client) = ready(Toy::default(), options);
    let file = memory(0x8000, true);
    for page in 0..8 {
        assert_eq!(client.map(AT + page * 0x1000, 0x1000, 3, Some((file.as_fd(), page * 0x1000))), 0);
    }
    // More than there may be views: the rest is held through its file.
    assert_eq!(hold(&mut client, reg::HOLD, AT, 0x8000), 8);
    let text = b"abcdefgh";
    client.write(0, reg::SCRATCH, text);
    assert_eq!(client.act(reg::WRITE_HELD, 0, 1), reg::DONE);
    for (page, byte) in (0..).zip(text) {
        assert_eq!(peek(&file, page * 0x1000, 1), [*byte]);
        assert_eq!(client.act(reg::READ, AT + page * 0x1000, 1), reg::DONE);
        assert_eq!(client.read(0, reg::SCRATCH, 1), [*byte]);
    }
}

#[test]
fn mark_dirty_without_put() {
    let (_served, mut client) = ready(Toy::default(), ServerOptions::default());
    let file = memory(0x4000, true);
    assert_eq!(client.map(AT, 0x4000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(hold(&mut client, reg::HOLD, AT + 0x2800, 8), 1);
    let start = [words(&[24, 1 << 17 | 6]), longs(&[4096]), words(&[0, 0])].concat();
    client.call(FEATURE, &start, &[]).ok();
    let report = [words(&[4096, 1 << 16 | 8]), longs(&[AT, 0x4000, 4096])].concat();
    let dirty = |client: &mut Client| client.call(FEATURE, &report, &[]).ok().body[32..].to_vec();
    assert_eq!(dirty(&mut client), longs(&[0]));
    assert_eq!(client.act(reg::MARK_HELD, 0, 0), reg::DONE);
    assert_eq!(dirty(&mut client), longs(&[0b100]));
    assert_eq!(client.act(reg::WRITE_HELD, 0, 4), reg::DONE);
    assert_eq!(dirty(&mut client), longs(&[0b100]), "a write marks by itself");
    assert_eq!(client.act(reg::READ_HELD, 0, 4), reg::DONE);
    assert_eq!(dirty(&mut client), longs(&[0]));
    // A mapping that is held for reading cannot be dirty.
    client.act(reg::RELEASE, 0, 0);
    assert_eq!(hold(&mut client, reg::HOLD_READ, AT, 8), 1);
    client.act(reg::MARK_HELD, 0, 0);
    assert_eq!(dirty(&mut client), longs(&[0]));
}

#[test]
fn info_on_a_mapping() {
    let (_served, mut client) = ready(Toy::default(), ServerOptions::default());
    let file = memory(0x4000, true);
    assert_eq!(client.map(AT, 0x3000, 1, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.map(AT + 0x3000, 0x1000, 3, None), 0);
    assert_eq!(client.act(reg::INFO, AT + 0x2fff, 0), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 32), longs(&[AT, 0x3000, 4096, 0b01]));
    assert_eq!(client.act(reg::INFO, AT + 0x3000, 0), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 32), longs(&[AT + 0x3000, 0x1000, 4096, 0b11]));
    assert_eq!(client.act(reg::INFO, AT + 0x4000, 0), reg::FAULT);
}
