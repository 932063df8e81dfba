//! Large receive offload: the device puts packets of several flows together, and their descriptors lie between each
//! other.

use vfio_hal::dma::pool::{Burst, Pool, RxFlags, RxInfo};
use vfio_hal::ring::{RxFormat, RxRing};

use crate::kit::*;

/// As [`Format`], with the packets that begin in a descriptor in 20:17 of word 0 and, if that is not 0 and the packet
/// goes on, where in 19:4 of word 1.
struct Coalescing;

impl RxFormat for Coalescing {
    const DONE: u64 = DONE;
    const END: u64 = END;
    const RARE: u64 = 0;

    fn len(words: [u64; 2]) -> u32 {
        Format::len(words)
    }

    fn info(words: [u64; 2]) -> RxInfo {
        RxInfo(words)
    }

    fn next(words: [u64; 2]) -> Option<u32> {
        (words[0] & 0xf << 17 != 0).then_some((words[1] >> 4) as u32 & 0xffff)
    }
}

struct Rig {
    host: Host,
    pool: Pool,
    ring: RxRing<Coalescing>,
    nic: RxNic,
}

fn rig() -> Rig {
    let mut host = Host::new();
    let pool = host.pool(2048);
    let (mut ring, nic) = host.rx_of(64, &pool);
    ring.post_all();
    Rig { host, pool, ring, nic }
}

impl RxNic {
    /// Writes part of a coalesced packet: `segments` begin in it, and it goes on at descriptor `next`, or ends.
    fn part(&mut self, data: &[u8], segments: u64, next: Option<u32>) {
        let status = match next {
            Some(next) => u64::from(next) << 4,
            None => END,
        };
        self.write_back(data, [segments << 17, DONE | status | (data.len() as u64) << LEN_SHIFT]);
    }
}

/// Returns what a ring gives: the bytes of each packet and how many it was put together from.
fn take(rig: &mut Rig) -> Vec<(Vec<u8>, u8)> {
    let (mut cache, mut out) = (rig.pool.cache(), Burst::new(32));
    let mut all = vec![];
    while rig.ring.burst(&mut cache, &mut out).unwrap() != 0 {
        for buf in out.iter() {
            assert_eq!(buf.rx_flags().contains(RxFlags::LRO), buf.coalesced() > 1);
        }
        all.extend(out.iter().map(|buf| (bytes(buf), buf.coalesced())));
        cache.free_all(&mut out);
    }
    all
}

#[test]
fn packets_whose_parts_lie_between_each_other_come_out_whole() {
    let mut rig = rig();
    rig.nic.part(b"a0", 2, Some(2));
    rig.nic.part(b"b0", 1, Some(4));
    rig.nic.part(b"a1", 1, Some(5));
    assert!(rig.nic.receive(&frame(9, 60)));
    rig.nic.part(b"b1", 3, None);
    rig.nic.part(b"a2", 1, None);
    let plain = (frame(9, 60), 1);
    assert_eq!(take(&mut rig), [plain, (b"b0b1".to_vec(), 4), (b"a0a1a2".to_vec(), 4)]);
    assert_eq!(rig.ring.stats().malformed(), 0);
}

#[test]
fn a_coalesced_packet_in_one_buffer_says_so() {
    let mut rig = rig();
    rig.nic.part(b"ab", 2, None);
    rig.nic.part(b"c", 1, None);
    rig.nic.part(&[7; 100], 15, None);
    assert_eq!(take(&mut rig), [(b"ab".to_vec(), 2), (b"c".to_vec(), 1), (vec![7; 100], 15)]);
}

#[test]
fn parts_are_found_over_the_end_of_the_ring() {
    let mut rig = rig();
    for number in 0..62 {
        assert!(rig.nic.receive(&frame(number, 60)));
    }
    assert_eq!(take(&mut rig).len(), 62);
    rig.nic.part(b"a", 15, Some(0));
    rig.nic.part(b"x", 1, Some(1));
    rig.nic.part(b"b", 15, None);
    rig.nic.part(b"y", 1, None);
    assert_eq!(take(&mut rig), [(b"ab".to_vec(), 15), (b"xy".to_vec(), 2)]);
}

#[test]
fn a_device_that_names_nonsense_holds_a_bounded_number_of_buffers() {
    let mut rig = rig();
    // Each goes on where it cannot, or where another does.
    for round in 0..2000u32 {
        rig.nic.part(b"?", 1, Some(round.wrapping_mul(2_654_435_761) >> 16));
        if rig.nic.free() < 16 {
            take(&mut rig);
        }
    }
    take(&mut rig);
    // One place to go on for each of the 33 packets that may be open, and 32 segments each.
    let held = rig.pool.capacity() - rig.pool.available();
    assert!(held <= 64 + 33 * 32, "{held}");
    assert!(rig.ring.stats().malformed() > 0);
    rig.ring.release(&rig.host.stopped()).unwrap();
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}
