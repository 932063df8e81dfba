//! Large receive offload: TCP segments of a flow come as one packet.

use pmd_ixgbe::Config;
use pmd_links::{Link, Sent};
use vfio_hal::dma::pool::{Burst, MAGAZINE, RxFlags};

use crate::bench::{Bench, ipv4};

const HEADERS: usize = 14 + 20 + 20;

/// A TCP segment of 10.0.0.1 to 10.0.0.2 with its checksum, `len` bytes of payload at `sequence`.
fn segment(port: u16, sequence: u32, len: usize) -> Vec<u8> {
    let mut frame = ipv4(6, ([10, 0, 0, 1], port), ([10, 0, 0, 2], 80));
    frame.truncate(HEADERS);
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame[47] = 1 << 4;
    frame.extend((0..len).map(|byte| (sequence as usize + byte) as u8));
    let total = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[24..26].fill(0);
    let ip = checksum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&ip.to_be_bytes());
    let pseudo = 6 + u32::from(total - 20) + words(&frame[26..34]);
    let tcp = checksum(pseudo, &frame[34..]);
    frame[50..52].copy_from_slice(&tcp.to_be_bytes());
    frame
}

fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum()
}

fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start + words(bytes);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Returns each packet's bytes, segments and how many it was put together from.
fn received(bench: &mut Bench) -> Vec<(Vec<u8>, usize, u8)> {
    bench.settle();
    let mut burst = Burst::new(MAGAZINE);
    let mut all = vec![];
    while bench.rx[0].rx_burst(&mut bench.cache, &mut burst).unwrap() != 0 {
        while let Some(buf) = burst.take() {
            assert_eq!(buf.rx_flags().contains(RxFlags::LRO), buf.coalesced() > 1);
            let bytes = buf.segments().flat_map(|segment| segment.data().to_vec()).collect();
            all.push((bytes, buf.segments().count(), buf.coalesced()));
            bench.cache.free(buf);
        }
    }
    all
}

fn bench(lro: bool) -> Bench {
    Bench::new(Config { lro, rx_ring: 256, ..Config::default() })
}

/// Puts ten segments of 1,000 bytes on the wire before the device looks.
fn ten(bench: &mut Bench) -> Vec<u8> {
    for n in 0..10 {
        assert_eq!(bench.wire.transmit(&segment(7, n * 1000, 1000), 0), Ok(Sent::Accepted));
    }
    (0..10_000usize).map(|byte| byte as u8).collect()
}

#[test]
fn segments_that_follow_each_other_are_one_packet() {
    let mut bench = bench(true);
    let payload = ten(&mut bench);
    let all = received(&mut bench);
    let [(bytes, segments, coalesced)] = &all[..] else { panic!("{} packets", all.len()) };
    assert_eq!(bytes[HEADERS..], payload);
    assert_eq!((*segments, *coalesced), (5, 10), "2 KiB buffers hold the headers and 10,000 bytes");
    assert_eq!(usize::from(u16::from_be_bytes([bytes[16], bytes[17]])), bytes.len() - 14);
}

#[test]
fn a_gap_or_another_flow_ends_a_packet() {
    let mut bench = bench(true);
    for (port, sequence) in [(7, 0), (7, 100), (7, 300), (8, 0), (7, 400), (7, 500)] {
        assert_eq!(bench.wire.transmit(&segment(port, sequence, 100), 0), Ok(Sent::Accepted));
    }
    let lengths = |all: Vec<(Vec<u8>, usize, u8)>| {
        all.into_iter().map(|(bytes, _, coalesced)| (bytes.len() - HEADERS, coalesced)).collect::<Vec<_>>()
    };
    assert_eq!(lengths(received(&mut bench)), [(200, 2), (100, 1), (100, 1), (200, 2)]);
}

#[test]
fn without_it_every_segment_is_a_packet() {
    let mut bench = bench(false);
    ten(&mut bench);
    let all = received(&mut bench);
    assert_eq!(all.len(), 10);
    assert!(all.iter().all(|(_, segments, coalesced)| (*segments, *coalesced) == (1, 1)));
}

#[test]
fn a_stop_in_the_middle_of_a_packet_loses_no_buffer() {
    let mut bench = bench(true);
    for round in 0..50 {
        for n in 0..40 {
            let _ = bench.wire.transmit(&segment(7, n * 1400, 1400), 0);
        }
        bench.settle();
        let mut burst = Burst::new(1 + round % 3);
        let _ = bench.rx[0].rx_burst(&mut bench.cache, &mut burst).unwrap();
        bench.cache.free_all(&mut burst);
        bench.rx[0].stop().unwrap();
        bench.rx[0].start().unwrap();
    }
    bench.rx[0].stop().unwrap();
    let cached = bench.cache.len() as u32;
    assert_eq!(bench.pool.available() + cached, bench.pool.capacity());
}
