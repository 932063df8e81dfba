//! Doorbells in shadow memory: a client writes them without a message.

use std::os::fd::OwnedFd;

use vfio_user_kit::server::ServerOptions;

use crate::common::*;

const FIXED: usize = 16;
const ENTRY: usize = 40;

fn served() -> Served {
    Served::with(Toy::default(), ServerOptions { mapped_doorbells: true, ..ServerOptions::default() })
}

/// The shadows of region 0: where the register is, where it is in the file; and the file.
fn shadows(client: &mut Client) -> (Vec<(u64, u64)>, Option<OwnedFd>) {
    let mut reply = client.call(IO_FDS, &words(&[4096, 0, 0, 0]), &[]).ok();
    let word = |at: usize| u32::from_ne_bytes(reply.body[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(reply.body[at..at + 8].try_into().unwrap());
    assert_eq!(word(0) as usize, reply.body.len());
    let entries = (0..word(12) as usize).map(|index| FIXED + ENTRY * index);
    let mut last = 0;
    let found = entries.filter(|at| word(at + 20) == 2).map(|at| {
        assert_eq!((long(at + 8), word(at + 16), word(at + 24)), (4, u32::MAX, 0));
        last = word(at + 28) as usize;
        (long(at), long(at + 32))
    });
    let found: Vec<_> = found.collect();
    let file = (!found.is_empty()).then(|| reply.fds.remove(last));
    (found, file)
}

#[test]
fn a_store_to_the_shadow_rings_and_a_message_too() {
    let served = served();
    let mut client = Client::open(&served.path);
    let (found, file) = shadows(&mut client);
    let file = file.expect("a file");
    let [(register, place)] = found[..] else { panic!("{found:?}") };
    assert_eq!(register, reg::BELL);
    poke(&file, place, &77u32.to_le_bytes());
    assert_eq!(client.read32(reg::BELL), 77, "the register reads as the shadow says");
    client.write32(reg::BELL, 78);
    assert_eq!(peek(&file, place, 4), 78u32.to_le_bytes(), "and the shadow as the register was written");
}

#[test]
fn who_left_rings_no_more() {
    let served = served();
    let mut first = Client::open(&served.path);
    let (found, file) = shadows(&mut first);
    let (file, place) = (file.expect("a file"), found[0].1);
    poke(&file, place, &5u32.to_le_bytes());
    drop(first);
    let mut next = Client::open(&served.path);
    assert_eq!(next.read32(reg::BELL), 5, "the device was kept");
    poke(&file, place, &6u32.to_le_bytes());
    assert_eq!(next.read32(reg::BELL), 5);
    let (_, own) = shadows(&mut next);
    poke(&own.expect("a file"), place, &7u32.to_le_bytes());
    assert_eq!(next.read32(reg::BELL), 7);
}

#[test]
fn nothing_is_offered_unless_asked_for() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    assert!(shadows(&mut client).0.is_empty());
}
