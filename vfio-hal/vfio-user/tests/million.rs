//! A table of a million mappings: how long they take, and what they cost. A program of its own, because it counts
//! the process' memory and processor time, which a busy machine does not stretch; its tests run one after the other.

mod common;

use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::*;
use vfio_user_kit::server::ServerOptions;

/// A build without optimization takes ten times as long for each.
const COUNT: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
const NO_REPLY: u32 = 1 << 4;
/// Far above what it takes (4 µs a message in a release build), and far below what a linear search would.
const A_MESSAGE: Duration = Duration::from_micros(60);
/// Bytes of memory for each mapping.
const A_MAPPING: u64 = 400;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Returns the processor time of both sides, which are in this process.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name in parentheses, user and system time are numbers 12 and 13, in hundredths of a second.
    let numbers = text.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = numbers.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Sends a message for each page, without answers, and waits until all are done.
fn each(client: &mut Client, command: u16, body: impl Fn(u64) -> Vec<u8>) -> Duration {
    let start = worked();
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
    worked() - start
}

/// A million mappings of files, far more than the kernel allows at a time: those that are used are mapped, up to the bound.
#[test]
fn a_million_mappings_of_a_file_are_made_lazily() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let views = 1000;
    let options = ServerOptions { max_dma_maps: COUNT as u32, max_views: views, ..ServerOptions::default() };
    let served = Served::with(Toy::default(), options);
    let mut client = Client::open(&served.path);
    client.bus_master();
    let (pages, file) = (256, memory(256 * 0x1000, true));
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("memfd:memory")).count()
    };
    let start = worked();
    for page in 0..COUNT {
        let body = dma_map(3, page % pages * 0x1000, page << 13, 0x1000);
        client.raw(&message(1, DMA_MAP, NO_REPLY, &body), &[file.as_fd()]);
    }
    client.check();
    let took = worked() - start;
    println!("map with a descriptor each {took:?}");
    assert!(took < 3 * A_MESSAGE * COUNT as u32, "{took:?}");
    assert_eq!(client.map(COUNT << 13, 0x1000, 3, None), 28, "ENOSPC: all are there");
    assert_eq!(mapped(), 0, "nothing is mapped before it is used");
    for page in 0..pages {
        poke(&file, page * 0x1000, &page.to_ne_bytes());
    }
    // Twice as many as there may be views.
    for number in 0..2 * views as u64 {
        let page = number * 7919 % COUNT;
        assert_eq!(client.act(reg::READ, page << 13, 8), reg::DONE);
        assert_eq!(client.read(0, reg::SCRATCH, 8), (page % pages).to_ne_bytes());
    }
    assert!((views / 2..=views).contains(&mapped()), "{} views", mapped());
    client.call(DMA_UNMAP, &dma_unmap(2, 0, 0), &[]).ok();
    assert_eq!(mapped(), 0);
}

#[test]
fn a_million_mappings() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
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
