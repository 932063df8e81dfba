//! A table of a million mappings: how long they take, and what they cost. A program of its own, because it counts
//! the process' memory.

mod common;

use std::time::{Duration, Instant};

use common::*;
use vfio_user_kit::server::ServerOptions;

/// A build without optimization takes ten times as long for each.
const COUNT: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
const NO_REPLY: u32 = 1 << 4;
/// Far above what it takes (4 µs a message in a release build), and far below what a linear search would.
const A_MESSAGE: Duration = Duration::from_micros(40);
/// Bytes of memory for each mapping.
const A_MAPPING: u64 = 400;

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Sends a message for each page, without answers, and waits until all are done.
fn each(client: &mut Client, command: u16, body: impl Fn(u64) -> Vec<u8>) -> Duration {
    let start = Instant::now();
    let mut bytes = Vec::new();
    for page in 0..COUNT {
        // Not in order of addresses.
        let page = page.wrapping_mul(7919) % COUNT;
        bytes.extend(message(1, command, NO_REPLY, &body(page)));
        if bytes.len() > 60_000 {
            client.raw(&bytes, &[]);
            bytes.clear();
        }
    }
    client.raw(&bytes, &[]);
    client.check();
    start.elapsed()
}

#[test]
fn a_million_mappings() {
    let options = ServerOptions { max_dma_maps: COUNT as u32, ..ServerOptions::default() };
    let served = Served::with(Toy::default(), options);
    let mut client = Client::open(&served.path);
    client.bus_master();
    let before = resident();
    let map = each(&mut client, DMA_MAP, |page| dma_map(3, 0, page << 13, 0x1000));
    let memory = resident().saturating_sub(before);
    // All are there, and no more go in.
    assert_eq!(client.map(COUNT << 13, 0x1000, 3, None), 28, "ENOSPC");
    for page in [0, 1, COUNT / 2, COUNT - 1] {
        assert_eq!(client.map(page << 13, 0x1000, 3, None), EEXIST);
    }
    let unmap = each(&mut client, DMA_UNMAP, |page| dma_unmap(0, page << 13, 0x1000));
    assert_eq!(client.call(DMA_UNMAP, &dma_unmap(0, 0, 0x1000), &[]).error(), ENOENT, "all are gone");
    println!("map {map:?}, unmap {unmap:?}, {memory} bytes");
    assert!(map < A_MESSAGE * COUNT as u32, "{map:?}");
    assert!(unmap < A_MESSAGE * COUNT as u32, "{unmap:?}");
    assert!(memory < A_MAPPING * COUNT, "{memory} bytes");
}
