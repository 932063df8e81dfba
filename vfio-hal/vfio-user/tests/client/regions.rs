//! What a server says of regions: chains of capabilities, areas, memory for doorbells; and what cannot be.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use vfio_user_kit::client::{ClientError, IoFds, Region};
use vfio_user_kit::proto::{Command, wire};

use crate::common::*;
use crate::fake::{Fake, REPLY, options};

const MAPPABLE: u32 = wire::REGION_READ | wire::REGION_WRITE | wire::REGION_MMAP;
const CHAINED: u32 = MAPPABLE | wire::REGION_CAPS;

/// Asks for region 2 of a server that answers with these flags, this chain behind the structure, and these files. Of
/// 10000h bytes, the first capability is at `at`.
fn ask(flags: u32, at: u32, chain: Vec<u8>, files: usize) -> Result<Region, ClientError> {
    let need = 32 + chain.len() as u32;
    let (client, fake) = Fake::serve(&options(), Arc::new(()), move |_, request| {
        let room = u32::from_ne_bytes(request.body[..4].try_into().unwrap());
        let mut body = [words(&[need, flags, 2, at]), longs(&[0x10000, 0x2000])].concat();
        let mut fds = Vec::new();
        if room >= need {
            body.extend(&chain);
            fds = (0..files).map(|_| memory(0x12000, true)).collect::<Vec<OwnedFd>>();
        }
        Some(vec![(message(request.id, request.command, REPLY, &body), fds)])
    });
    let result = client.region_info(2);
    drop(client);
    fake.end();
    result
}

fn head(id: u16, next: u32) -> Vec<u8> {
    words(&[u32::from(id) | 1 << 16, next])
}

/// A list of areas, with the next capability at `next`.
fn sparse(next: u32, areas: &[(u64, u64)]) -> Vec<u8> {
    let list = areas.iter().flat_map(|&(offset, size)| longs(&[offset, size]));
    [head(wire::CAP_SPARSE_MMAP, next), words(&[areas.len() as u32, 0]), list.collect()].concat()
}

fn is_bad(result: Result<Region, ClientError>) {
    let Err(ClientError::BadReply { command: Command::DeviceGetRegionInfo, .. }) = result else {
        panic!("{result:?}")
    };
}

#[test]
fn a_chain_of_capabilities() {
    // The type of the region, then areas, then something of later days.
    let chain = [
        head(wire::CAP_TYPE, 48),
        words(&[0x8086, 7]),
        sparse(80, &[(0x4000, 0x1000)]),
        head(99, 0),
        words(&[5]),
    ];
    let region = ask(CHAINED, 32, chain.concat(), 1).unwrap();
    assert_eq!((region.size, region.areas.len()), (0x10000, 1));
    assert_eq!((region.areas[0].offset, region.areas[0].size), (0x4000, 0x1000));
    assert_eq!(region.areas[0].file.as_ref().unwrap().1, 0x6000);
    let all: Vec<_> = region.capabilities.iter().map(|one| (one.id, one.version, one.data.clone())).collect();
    assert_eq!(all, [(wire::CAP_TYPE, 1, words(&[0x8086, 7])), (99, 1, words(&[5]))]);
}

#[test]
fn areas_and_their_files() {
    let whole = ask(MAPPABLE, 0, vec![], 1).unwrap();
    assert_eq!((whole.areas[0].offset, whole.areas[0].size), (0, 0x10000));
    assert_eq!(ask(MAPPABLE, 0, vec![], 0).unwrap().areas[0].file.as_ref().map(|file| file.1), None);
    // A file each, in whatever order; one of no bytes is none.
    let chain = sparse(0, &[(0x8000, 0x1000), (0x1000, 0x2000), (0x5000, 0)]);
    let region = ask(CHAINED, 32, chain, 3).unwrap();
    let places: Vec<_> = region.areas.iter().map(|area| (area.offset, area.size)).collect();
    assert_eq!(places, [(0x1000, 0x2000), (0x8000, 0x1000)]);
    let [first, second] = &region.areas[..] else { panic!() };
    assert!(!Arc::ptr_eq(&first.file.as_ref().unwrap().0, &second.file.as_ref().unwrap().0));
    // Without the flag, a list of areas means nothing.
    assert_eq!(ask(CHAINED & !wire::REGION_MMAP, 32, sparse(0, &[(0, 0x1000)]), 0).unwrap().areas.len(), 0);
}

#[test]
fn areas_that_cannot_be() {
    for areas in [
        &[(0, 0x2000), (0x1000, 0x1000)][..],
        &[(0x10000, 0x1000)],
        &[(0xf000, 0x2000)],
        &[(u64::MAX - 0xfff, 0x1000)],
        &[(0x800, 0x1000)],
        &[(0x1000, 0x800)],
    ] {
        is_bad(ask(CHAINED, 32, sparse(0, areas), 1));
    }
    is_bad(ask(CHAINED, 32, sparse(0, &[(0, 0x1000), (0x2000, 0x1000)]), 3));
    // More areas than there are bytes for.
    let mut short = sparse(0, &[(0, 0x1000)]);
    short[8..12].copy_from_slice(&u32::MAX.to_ne_bytes());
    is_bad(ask(CHAINED, 32, short, 1));
}

#[test]
fn chains_that_cannot_be() {
    for (at, next) in [(31, 0), (1, 0), (10_000, 0), (u32::MAX, 0), (32, 32), (32, 33), (32, 10_000), (32, 1)]
    {
        is_bad(ask(CHAINED, at, sparse(next, &[(0, 0x1000)]), 1));
    }
    is_bad(ask(CHAINED, 32, vec![0; 4], 1));
    // A description that needs ever more room.
    let (client, fake) = Fake::serve(&options(), Arc::new(()), |_, request| {
        let room = u32::from_ne_bytes(request.body[..4].try_into().unwrap());
        let body = [words(&[room + 16, 3, 2, 0]), longs(&[0x1000, 0])].concat();
        Some(vec![(message(request.id, request.command, REPLY, &body), vec![])])
    });
    is_bad(client.region_info(2));
    drop(client);
    fake.end();
}

#[test]
fn doorbells_in_memory() {
    let entry = |kind: u32, fd: u32, memory: u32, place: u64| {
        [longs(&[0x1018, 4]), words(&[fd, kind, 0, memory]), longs(&[place])].concat()
    };
    let ask = |entries: Vec<u8>, count: u32| -> Result<IoFds, ClientError> {
        let (client, fake) = Fake::serve(&options(), Arc::new(()), move |_, request| {
            let need = 16 + entries.len() as u32;
            let full = u32::from_ne_bytes(request.body[..4].try_into().unwrap()) >= need;
            let mut body = words(&[need, 0, 0, if full { count } else { 0 }]);
            body.extend(if full { &entries[..] } else { &[] });
            let fds = if full { vec![memory(4096, true)] } else { vec![] };
            Some(vec![(message(request.id, request.command, REPLY, &body), fds)])
        });
        let result = client.region_io_fds(0);
        drop(client);
        fake.end();
        result
    };
    let shadow = wire::IO_FD_SHADOW;
    let found = ask(entry(shadow, wire::NO_FD, 0, 24), 1).unwrap();
    let [only] = &found.shadows[..] else { panic!("{found:?}") };
    assert_eq!((only.offset, only.size, only.file_offset, found.events.len()), (0x1018, 4, 24, 0));
    // With an eventfd a store is not enough; kinds of later days mean nothing here.
    let others = [entry(shadow, 0, 0, 8), entry(1, 0, 0, 0), entry(77, 9, 9, 9)].concat();
    let found = ask(others, 3).unwrap();
    assert!(found.shadows.is_empty() && found.events.is_empty());
    for (entries, count) in [
        (entry(shadow, wire::NO_FD, 1, 0), 1),
        (entry(wire::IO_FD_EVENT, wire::NO_FD, 0, 0), 1),
        (entry(shadow, wire::NO_FD, 0, 0), 2),
        (entry(shadow, wire::NO_FD, 0, 0)[..39].to_vec(), 1),
    ] {
        let result = ask(entries, count);
        assert!(matches!(result, Err(ClientError::BadReply { .. })), "{result:?}");
    }
}
