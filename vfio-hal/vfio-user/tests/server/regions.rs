//! Regions of every kind: ROM, VGA, I/O, one-way, conventional configuration space, mapped areas and registers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use vfio_user_kit::server::{Server, ServerError, ServerOptions};
use vfio_user_kit::{BarKind, BarSpec, OneWay, PciType, SharedArea, SharedError, SharedRegisters, Spec};

use crate::common::*;

const READ: u32 = 1;
const WRITE: u32 = 2;
const MMAP: u32 = 4;
const CAPS: u32 = 8;

fn served(spec: Spec) -> Served {
    Served::with(Toy { spec, ..Toy::default() }, ServerOptions::default())
}

/// Returns flags and size of a region.
fn region(client: &mut Client, index: u32) -> (u32, u64) {
    let request = [words(&[32, 0, index, 0]), longs(&[0, 0])].concat();
    let reply = client.call(REGION_INFO, &request, &[]).ok();
    let flags = u32::from_ne_bytes(reply.body[4..8].try_into().unwrap());
    (flags, u64::from_ne_bytes(reply.body[16..24].try_into().unwrap()))
}

fn read_error(client: &mut Client, region: u32, offset: u64, count: u32) -> u32 {
    client.call(REGION_READ, &access(offset, region, count), &[]).error()
}

fn write_error(client: &mut Client, region: u32, offset: u64, count: u32) -> u32 {
    let body = [access(offset, region, count), vec![7; count as usize]].concat();
    client.call(REGION_WRITE, &body, &[]).error()
}

#[test]
fn rom() {
    let served = served(Spec { rom: 4096, ..toy_spec() });
    let mut client = Client::open(&served.path);
    assert_eq!(region(&mut client, 6), (READ, 4096));
    // Without switching it on, as QEMU reads it.
    assert_eq!(client.read(6, 0xf0, 4), [0xf0, 0xf1, 0xf2, 0xf3]);
    assert_eq!(client.read(6, 3, 7), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(write_error(&mut client, 6, 0, 4), EINVAL);
    assert_eq!(read_error(&mut client, 6, 4094, 4), EINVAL);
    client.write(7, 0x30, &[0xff; 4]);
    assert_eq!(client.read(7, 0x30, 4), [1, 0xf0, 0xff, 0xff], "its address register sizes it");
}

#[test]
fn vga_region() {
    let served = served(Spec { vga: true, ..toy_spec() });
    let mut client = Client::open(&served.path);
    assert_eq!(region(&mut client, 8), (READ | WRITE, 0xc_0000));
    client.write(7, 4, &[3, 0]);
    assert_eq!(client.read(8, 0xb_8000, 2), [0x00, 0x01]);
    assert_eq!(client.read(8, 0x3c4, 1), [0xc4]);
    client.write(8, 0x3d4, &[0x0e]);
    assert_eq!(client.read(0, reg::SCRATCH, 5), [0xd4, 3, 0, 0, 0x0e]);
    for (offset, count) in
        [(0, 1), (0x3af, 1), (0x3bb, 2), (0x3bc, 1), (0x3df, 2), (0x9_ffff, 2), (0xb_ffff, 2)]
    {
        assert_eq!(read_error(&mut client, 8, offset, count), EINVAL, "{offset:#x}");
        assert_eq!(write_error(&mut client, 8, offset, count), EINVAL, "{offset:#x}");
    }
    client.write(7, 4, &[2, 0]);
    assert_eq!(client.read(8, 0x3c4, 1), [0xff], "I/O access is off");
    assert_eq!(client.read(8, 0xa_0010, 1), [0x10]);
}

#[test]
fn io_bar() {
    let served = served(Spec {
        bars: vec![
            BarSpec { index: 0, size: 4096, kind: BarKind::Memory64 },
            BarSpec { index: 3, size: 64, kind: BarKind::Io },
            BarSpec { index: 4, size: 4096, kind: BarKind::Memory32 },
        ],
        ..toy_spec()
    });
    let mut client = Client::open(&served.path);
    assert_eq!(region(&mut client, 3), (READ | WRITE, 64));
    assert_eq!(client.read(7, 0x1c, 1), [1], "its register says I/O");
    client.write(7, 4, &[2, 0]);
    assert_eq!(client.read(3, 8, 4), [0xff; 4], "I/O access is off, memory is on");
    client.write(7, 4, &[3, 0]);
    assert_eq!(client.read(3, 8, 4), [8, 9, 10, 11]);
    client.write(3, 12, &[1, 2]);
    assert_eq!(client.read(0, reg::SCRATCH, 6), [12, 0, 0, 0, 1, 2]);
}

#[test]
fn bars_of_64_bits_and_prefetchable() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.write(7, 0x18, &[0xff; 8]);
    assert_eq!(client.read(7, 0x18, 8), [0x0c, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    client.write(7, 0x10, &[0xff; 8]);
    assert_eq!(client.read(7, 0x10, 4), [0x04, 0xf0, 0xff, 0xff]);
    assert_eq!(region(&mut client, 3), (0, 0), "the upper half is no region");
}

#[test]
fn region_flags() {
    let served = served(Spec {
        bars: vec![
            BarSpec { index: 0, size: 4096, kind: BarKind::Memory32 },
            BarSpec { index: 1, size: 4096, kind: BarKind::Memory32 },
            BarSpec { index: 3, size: 4096, kind: BarKind::Memory32 },
            BarSpec { index: 4, size: 4096, kind: BarKind::Memory32 },
        ],
        one_way: vec![(3, OneWay::ReadOnly), (1, OneWay::WriteOnly)],
        ..toy_spec()
    });
    let mut client = Client::open(&served.path);
    assert_eq!(region(&mut client, 3), (READ, 4096));
    assert_eq!(region(&mut client, 1), (WRITE, 4096));
    assert_eq!(client.read(3, 1, 1), [1]);
    assert_eq!(write_error(&mut client, 3, 0, 4), EINVAL);
    assert_eq!(read_error(&mut client, 1, 0, 4), EINVAL);
    client.write(1, 16, &[5]);
    assert_eq!(client.read(0, reg::SCRATCH, 5), [16, 0, 0, 0, 5]);
}

#[test]
fn conventional_configuration_space() {
    let served = served(Spec { pci_type: PciType::Conventional, ..toy_spec() });
    let mut client = Client::open(&served.path);
    assert_eq!(region(&mut client, 7), (READ | WRITE, 256));
    assert_eq!(client.read(7, 0, 256).len(), 256);
    assert_eq!(read_error(&mut client, 7, 256, 1), EINVAL);
    assert_eq!(read_error(&mut client, 7, 255, 2), EINVAL);
    assert_eq!(write_error(&mut client, 7, 256, 1), EINVAL);
}

fn info(client: &mut Client, index: u32) -> Reply {
    let request = [words(&[4096, 0, index, 0]), longs(&[0, 0])].concat();
    client.call(REGION_INFO, &request, &[]).ok()
}

fn ready(shared: Vec<SharedArea>) -> (Served, Client) {
    let served = Served::with(Toy { shared, ..Toy::default() }, ServerOptions::default());
    let mut client = Client::connect(&served.path);
    client.call(VERSION, &version(r#"{"max_msg_fds":8}"#), &[]).ok();
    (served, client)
}

fn area(file: &Arc<OwnedFd>, offset: u64, len: u64, file_offset: u64) -> SharedArea {
    SharedArea { bar: 2, offset, len, file: file.clone(), file_offset }
}

#[test]
fn a_file_without_areas_maps_all() {
    let file = Arc::new(memory(0x1_1000, true));
    let (_served, mut client) = ready(vec![area(&file, 0, 0x1_0000, 0x1000)]);
    let reply = info(&mut client, 2);
    // No list of areas, and the region starts at the offset in the file.
    assert_eq!(reply.body, [words(&[32, READ | WRITE | MMAP, 2, 0]), longs(&[0x1_0000, 0x1000])].concat());
    assert_eq!(reply.fds.len(), 1);
}

#[test]
fn areas_of_one_file_come_with_it_once_and_an_offset() {
    let file = Arc::new(memory(0x20_000, true));
    let (_served, mut client) =
        ready(vec![area(&file, 0x1000, 0x1000, 0x3000), area(&file, 0x4000, 0x2000, 0x6000)]);
    let reply = info(&mut client, 2);
    let areas = [words(&[1 << 16 | 1, 0, 2, 0]), longs(&[0x1000, 0x1000, 0x4000, 0x2000])].concat();
    let head = [words(&[80, READ | WRITE | MMAP | CAPS, 2, 32]), longs(&[0x1_0000, 0x2000])].concat();
    assert_eq!(reply.body, [head, areas].concat());
    assert_eq!(reply.fds.len(), 1);
}

#[test]
fn areas_that_cannot_be_are_refused() {
    let file = Arc::new(memory(0x20_000, true));
    let bind = |shared| {
        let folder = tempfile::tempdir().unwrap();
        let toy = Toy { shared, ..Toy::default() };
        Server::bind(&folder.path().join("s"), toy, ServerOptions::default()).map(drop).unwrap_err()
    };
    for (offset, len) in [(0x800, 0x1000), (0, 0x800), (0, 0), (0xf000, 0x2000), (u64::MAX - 0xfff, 0x1000)] {
        let error = ServerError::Area { bar: 2, offset };
        assert_eq!(bind(vec![area(&file, offset, len, 0)]), error);
    }
    let error = ServerError::Area { bar: 2, offset: 0x1000 };
    assert_eq!(bind(vec![area(&file, 0, 0x2000, 0), area(&file, 0x1000, 0x1000, 0x1000)]), error);
    let error = ServerError::AreaFiles { bar: 2, offset: 0x2000 };
    assert_eq!(bind(vec![area(&file, 0, 0x1000, 0), area(&file, 0x2000, 0x1000, 0)]), error);
}

#[test]
fn mapped_registers_reach_the_model_without_a_message() {
    let registers = SharedRegisters::new(2, 0x3000, 0x2000).unwrap();
    let (_served, mut client) = ready(vec![registers.area()]);
    let reply = info(&mut client, 2);
    assert_eq!(reply.body[24..32], longs(&[0]));
    // The client's side of the page, through its own descriptor.
    poke(&reply.fds[0], 0x3018, &0x1234_5678u32.to_le_bytes());
    assert_eq!(registers.load32(0x3018), Some(0x1234_5678));
    assert_eq!(registers.load64(0x3018), Some(0x1234_5678));
    assert!(registers.store32(0x4ffc, 7) && registers.store64(0x3100, 8) && registers.write(0x3201, &[1, 2]));
    assert_eq!(peek(&reply.fds[0], 0x4ffc, 4), [7, 0, 0, 0]);
    assert_eq!(peek(&reply.fds[0], 0x3100, 8), 8u64.to_le_bytes());
    assert_eq!(peek(&reply.fds[0], 0x3200, 4), [0, 1, 2, 0]);
    // Nothing outside, nothing unaligned.
    for offset in [0, 0x2ffc, 0x5000, 0x3001, u64::MAX - 3] {
        assert_eq!((registers.load32(offset), registers.store32(offset, 1)), (None, false), "{offset:#x}");
    }
    assert_eq!((registers.load64(0x4ffc), registers.read(0x4fff, &mut [0; 2])), (None, false));
    assert!(registers.covers(2, 0x3000, 0x2000) && !registers.covers(2, 0x3000, 0x2001));
    assert!(!registers.covers(0, 0x3000, 1) && !registers.covers(2, 0x2fff, 1));
    assert!(rustix::fs::ftruncate(&reply.fds[0], 0).is_err(), "the client cannot take the page away");
}

#[test]
fn mapped_doorbells_are_read_from_the_shared_page() {
    let spec = Spec { doorbells: vec![(0, reg::BELL), (2, 0x2010)], ..toy_spec() };
    let registers = SharedRegisters::new(2, 0x2000, 0x1000).unwrap();
    let toy = Toy { spec, shared: vec![registers.area()], ..Toy::default() };
    let served = Served::with(toy, ServerOptions::default());
    let mut client = Client::connect(&served.path);
    client.call(VERSION, &version(r#"{"max_msg_fds":8}"#), &[]).ok();
    let reply = info(&mut client, 2);
    poke(&reply.fds[0], 0x2010, &99u32.to_le_bytes());
    assert_eq!(client.act(reg::RING, 0, 1), reg::DONE);
    assert_eq!(client.read32(reg::SCRATCH), 99, "what the model sees of doorbell 1");
    assert_eq!(client.read(2, 0x2010, 4), 99u32.to_le_bytes(), "and a message too");
    client.write(2, 0x2010, &5u32.to_le_bytes());
    assert_eq!(peek(&reply.fds[0], 0x2010, 4), [5, 0, 0, 0]);
}

#[test]
fn a_doorbell_in_a_file_that_may_shrink_is_refused() {
    let spec = Spec { doorbells: vec![(2, 0x2010)], ..toy_spec() };
    for (file, errno) in
        [(memory(0x3000, false), rustix::io::Errno::PERM), (memory(0x2fff, true), rustix::io::Errno::INVAL)]
    {
        let shared = vec![area(&Arc::new(file), 0x2000, 0x1000, 0x2000)];
        let toy = Toy { spec: spec.clone(), shared, ..Toy::default() };
        let folder = tempfile::tempdir().unwrap();
        let error = Server::bind(&folder.path().join("s"), toy, ServerOptions::default()).unwrap_err();
        assert_eq!(error, ServerError::System { what: "map a page of shared registers", errno });
    }
}

#[test]
fn shared_registers_are_whole_pages() {
    for (offset, len) in [(0, 0), (0, 100), (0x10, 0x1000), (u64::MAX - 0xfff, 0x1000)] {
        assert_eq!(SharedRegisters::new(0, offset, len).unwrap_err(), SharedError::Pages { offset, len });
    }
}
