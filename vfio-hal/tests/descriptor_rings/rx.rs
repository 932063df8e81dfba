//! Receiving: packets, chains, replacements, doorbells.

use vfio_hal::dma::pool::{Burst, Pool, RxFlags, Verdict};

use crate::kit::*;

/// Receives until nothing comes.
fn all(ring: &mut vfio_hal::ring::RxRing<Format>, pool: &Pool) -> Vec<Vec<u8>> {
    let mut cache = pool.cache();
    let mut out = Burst::new(32);
    let mut frames = vec![];
    while ring.burst(&mut cache, &mut out).unwrap() != 0 {
        frames.extend(out.iter().map(|buf| bytes(buf)));
        cache.free_all(&mut out);
    }
    frames
}

#[test]
fn packets_come_in_order_with_what_the_nic_said() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let verdicts = u64::from((RxFlags::IP_CHECKED.0 | RxFlags::L4_CHECKED.0) | RxFlags::L4_BAD.0);
    assert!(nic.receive_as(&frame(1, 60), verdicts, 0));
    assert!(nic.receive(&frame(2, 256)));
    assert!(nic.receive(&frame(3, 1)));
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    assert_eq!(ring.pending(100), 3);
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(3));
    let lens: Vec<_> = out.iter().map(|buf| (buf.len(), buf.packet_len(), buf.segment_count())).collect();
    assert_eq!(lens, [(60, 60, 1), (256, 256, 1), (1, 1, 1)]);
    for (number, buf) in out.iter().enumerate() {
        assert_eq!(buf.data(), frame(number + 1, buf.len()));
        assert_eq!((buf.port(), buf.headroom(), buf.tailroom()), (7, 128, 256 - buf.len()));
        assert_eq!((buf.mark(), buf.vlan(), buf.timestamp(), buf.hash()), (None, None, None, None));
    }
    let said: Vec<_> = out.iter().map(|buf| (buf.ip_checksum(), buf.l4_checksum())).collect();
    assert_eq!(said[0], (Verdict::Good, Verdict::Bad));
    assert_eq!(said[1], (Verdict::Unknown, Verdict::Unknown));
    let stats = ring.stats();
    assert_eq!((stats.packets(), stats.bytes(), stats.no_buffer(), stats.malformed()), (3, 317, 0, 0));
    assert_eq!((ring.pending(100), ring.burst(&mut cache, &mut out)), (0, Ok(0)));
}

#[test]
fn a_ring_goes_round_for_many_laps() {
    let mut host = Host::new();
    let pool = host.pool(512);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    let (mut came, mut went) = (0, 0);
    for lap in 0..100 {
        // Bursts of odd sizes, so that the ring's end falls everywhere.
        for _ in 0..1 + lap * 7 % 40 {
            if nic.receive(&frame(came, 60 + came % 100)) {
                came += 1;
            }
        }
        ring.burst(&mut cache, &mut out).unwrap();
        for buf in out.iter() {
            assert_eq!(buf.data(), frame(went, 60 + went % 100));
            went += 1;
        }
        cache.free_all(&mut out);
    }
    assert!(came > 20 * 64, "{came}");
    while ring.burst(&mut cache, &mut out).unwrap() != 0 {
        went += out.len();
        cache.free_all(&mut out);
    }
    assert_eq!((came, ring.stats().packets()), (went, went as u64));
}

#[test]
fn buffers_of_one_packet_are_chained() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive(&frame(1, 60)));
    assert!(nic.receive_as(&frame(2, 3 * 256 - 100), u64::from(PLAIN_FLAGS.0), 0));
    assert!(nic.receive(&frame(3, 70)));
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(3));
    let packets = out.as_slice();
    assert_eq!(bytes(&packets[0]), frame(1, 60));
    assert_eq!(bytes(&packets[1]), frame(2, 668));
    assert_eq!(bytes(&packets[2]), frame(3, 70));
    let long = &packets[1];
    assert_eq!((long.len(), long.packet_len(), long.segment_count()), (256, 668, 3));
    // What the NIC says of a packet is said of its first segment.
    let flags: Vec<_> = long.segments().map(|segment| segment.rx_flags()).collect();
    assert_eq!(flags, [PLAIN_FLAGS, RxFlags(0), RxFlags(0)]);
    assert_eq!((ring.stats().packets(), ring.stats().bytes()), (3, 60 + 668 + 70));
    cache.free_all(&mut out);
    drop((cache, ring));
}

#[test]
fn a_chain_may_lie_across_bursts_and_across_the_rings_end() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    for number in 0..62 {
        assert!(nic.receive(&frame(number, 60)));
    }
    assert_eq!(all(&mut ring, &pool).len(), 62);
    // Descriptors 62, 63, 0: the NIC is slow.
    let whole = frame(9, 700);
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    for (number, part) in whole.chunks(256).enumerate() {
        assert_eq!(ring.burst(&mut cache, &mut out), Ok(0));
        let status = DONE | if number == 2 { END } else { 0 };
        nic.write_back(part, [0, status | (part.len() as u64) << LEN_SHIFT]);
    }
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
    assert_eq!(bytes(&out.as_slice()[0]), whole);
    assert!(nic.receive(&frame(10, 61)));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
    assert_eq!(bytes(&out.as_slice()[1]), frame(10, 61));
}

#[test]
fn flags_of_the_buffers_last_life_do_not_stay_in_a_chain() {
    let mut host = Host::new();
    // As many buffers as descriptors and the fewest more, so that the same ones come again.
    let pool = host.pool(64 + 32);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    for round in 0..8 {
        for number in 0..24 {
            let flags = u64::from(PLAIN_FLAGS.0 | RxFlags::VLAN_STRIPPED.0) | 0xbeef << 48;
            // A length above 16 bits would be the VLAN tag of the made-up format.
            assert!(nic.receive_as(&frame(number, 60), flags, 0));
        }
        assert_eq!(all(&mut ring, &pool).len(), 24);
        assert!(nic.receive(&frame(round, 600)));
        let (mut cache, mut out) = (pool.cache(), Burst::new(4));
        assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
        for segment in out.as_slice()[0].segments() {
            assert_eq!((segment.rx_flags(), segment.vlan()), (RxFlags(0), None));
        }
        let rest = out.take().unwrap().unchain().unwrap();
        assert_eq!((rest.len(), rest.packet_len(), rest.segment_count()), (256, 344, 2));
    }
}

#[test]
fn a_rule_that_matched_is_the_packets_mark() {
    let mut host = Host::new();
    let pool = host.pool(128);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    assert!(nic.receive_as(&frame(1, 60), MATCH, 0xabcd));
    assert!(nic.receive_as(&frame(2, 60), 0, 0xabcd));
    assert!(nic.receive_as(&frame(3, 600), MATCH, 0x1234));
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(3));
    let marks: Vec<_> = out.iter().map(|buf| buf.mark()).collect();
    assert_eq!(marks, [Some(0xabcd), None, Some(0x1234)]);
}

#[test]
fn without_a_replacement_a_packet_stays_on_the_ring() {
    let mut host = Host::new();
    let pool = host.pool(64 + 8);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    for number in 0..20 {
        assert!(nic.receive(&frame(number, 60)));
    }
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(8), "as many as there are replacements");
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(0));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(0));
    assert_eq!((ring.stats().no_buffer(), ring.stats().packets(), ring.pending(64)), (2, 8, 12));
    // One buffer comes back, one packet comes off.
    drop(out.take());
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(1));
    cache.free_all(&mut out);
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(8));
    assert_eq!(out.as_slice()[0].data(), frame(9, 60));
    cache.free_all(&mut out);
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(3));
    assert_eq!((ring.stats().packets(), ring.stats().malformed()), (20, 0));
}

#[test]
fn a_full_burst_takes_nothing_and_a_nearly_full_one_what_fits() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    for number in 0..40 {
        assert!(nic.receive(&frame(number, 60)));
    }
    let (mut cache, mut out) = (pool.cache(), Burst::new(5));
    assert_eq!(ring.burst(&mut cache, &mut Burst::new(0)), Ok(0));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(5));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(0));
    // Room at the front is room as well.
    drop((out.take(), out.take()));
    assert_eq!(ring.burst(&mut cache, &mut out), Ok(2));
    let numbers: Vec<_> = out.iter().map(|buf| buf.data().to_vec()).collect();
    assert_eq!(numbers, (2..7).map(|number| frame(number, 60)).collect::<Vec<_>>());
    // A burst is at most 32 packets, however much room there is.
    let mut large = Burst::new(100);
    assert_eq!(ring.burst(&mut cache, &mut large), Ok(32));
    assert_eq!(ring.burst(&mut cache, &mut large), Ok(1));
    assert_eq!((large.len(), ring.stats().no_buffer()), (33, 0));
}

#[test]
fn the_tail_is_written_once_per_32_or_64_descriptors() {
    for (size, every) in [(64, 32), (128, 32), (256, 64), (512, 64), (4096, 64)] {
        let mut host = Host::new();
        let pool = host.pool(size + 256);
        let (mut ring, mut nic) = host.rx(size, &pool);
        assert!(nic.tail.writes().is_empty(), "nothing before the queue is enabled");
        ring.post_all();
        assert_eq!(nic.tail.writes(), [u64::from(size - 1)]);
        let (mut cache, mut out) = (pool.cache(), Burst::new(32));
        let rounds = 2 * size / 16;
        let mut written = vec![];
        for _ in 0..rounds {
            for number in 0..16 {
                assert!(nic.receive(&frame(number, 60)));
            }
            assert_eq!(ring.burst(&mut cache, &mut out), Ok(16));
            cache.free_all(&mut out);
            let writes = nic.tail.writes();
            assert!(writes.len() <= 1, "one burst, {} doorbells", writes.len());
            written.extend(writes);
        }
        let expected: Vec<_> =
            (1..=2 * size / every).map(|step| u64::from((step * every - 1) % size)).collect();
        assert_eq!(written, expected, "ring of {size}");
    }
}

#[test]
fn the_nic_may_fill_all_it_was_given_and_no_more() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let mut came = 0;
    while nic.receive(&frame(came, 60)) {
        came += 1;
    }
    assert_eq!((came, ring.pending(u32::MAX)), (63, 63));
    assert_eq!(all(&mut ring, &pool).len(), 63);
    assert!(nic.free() >= 32, "{}", nic.free());
}

#[test]
fn every_descriptor_has_a_buffer_of_its_own() {
    let mut host = Host::new();
    let pool = host.pool(256);
    let (mut ring, mut nic) = host.rx(64, &pool);
    ring.post_all();
    let (mut cache, mut out) = (pool.cache(), Burst::new(32));
    let mut held = vec![];
    for round in 0..5 {
        let mut addresses: Vec<_> = (0..64).map(|index| nic.buffer(index)).collect();
        addresses.extend(held.iter().map(|buf: &vfio_hal::dma::pool::Buf| buf.data_iova()));
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 64 + held.len());
        for number in 0..20 {
            assert!(nic.receive(&frame(number + round, 60)));
        }
        assert_eq!(ring.burst(&mut cache, &mut out), Ok(20));
        held.extend(std::iter::from_fn(|| out.take()));
    }
}
