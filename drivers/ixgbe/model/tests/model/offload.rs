//! Checksums, tags and segmentation on transmit.

use crate::board::{Board, TxRing, cmd};
use crate::packets::{Packet, sum};

const IPV4: u64 = 1 << 10;
const TCP: u64 = 1 << 11;

/// A context descriptor for a packet.
fn context(packet: &Packet, mss: usize, slot: u64) -> [u64; 2] {
    let low = packet.l3() as u64 | (packet.l2() as u64) << 9 | 0x6123 << 16;
    let mut high = cmd::CONTEXT | slot << 36 | (packet.l4() as u64) << 40 | (mss as u64) << 48;
    if !packet.v6 {
        high |= IPV4;
    }
    if packet.protocol == 6 {
        high |= TCP;
    }
    [low, high]
}

/// Sends a frame after a context, with the bits given.
fn send(
    board: &mut Board,
    ring: &mut TxRing,
    packet: &Packet,
    frame: &[u8],
    mss: usize,
    bits: u64,
) -> Vec<Vec<u8>> {
    ring.put(board, context(packet, mss, 1));
    let at = board.memory.take(frame.len());
    board.memory.put(at, frame);
    let payload = if mss > 0 { frame.len() - packet.headers() } else { frame.len() };
    let word = cmd::DATA | cmd::payload(payload) | 1 << 36 | bits;
    // In two pieces, as a driver with a linear header would.
    let split = packet.headers() as u64;
    ring.put(board, [at, word | split]);
    ring.put(board, [at + split, word | cmd::EOP | cmd::RS | (frame.len() as u64 - split)]);
    ring.ring(board);
    board.sent()
}

/// The frame as a driver hands it over: IP checksum 0, the pseudo-header's sum in layer 4.
fn prepared(packet: &Packet, with_length: bool) -> Vec<u8> {
    let mut frame = packet.build_bare();
    let len = frame.len() - packet.l2() - packet.l3();
    let at = packet.l4_sum_at();
    frame[at..at + 2].copy_from_slice(&packet.pseudo(if with_length { len } else { 0 }).to_be_bytes());
    frame
}

#[test]
fn checksums_are_inserted_for_tcp_and_udp_over_both_ips() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    for packet in [Packet::tcp(), Packet::udp(), Packet::tcp().v6(), Packet::udp().v6()] {
        let frame = prepared(&packet, true);
        let ip = if packet.v6 { 0 } else { cmd::IXSM };
        let sent = send(&mut board, &mut ring, &packet, &frame, 0, ip | cmd::TXSM);
        assert_eq!(sent, [packet.build()]);
    }
}

#[test]
fn a_udp_sum_of_zero_goes_out_as_ones() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    // Choose the last two payload bytes so that everything sums to ones.
    let mut packet = Packet { payload: vec![0; 20], ..Packet::udp() };
    let rest = {
        let frame = prepared(&packet, true);
        !sum(&frame[packet.l2() + packet.l3()..], 0)
    };
    packet.payload[18..].copy_from_slice(&rest.to_be_bytes());
    let frame = prepared(&packet, true);
    let sent = send(&mut board, &mut ring, &packet, &frame, 0, cmd::TXSM);
    let at = packet.l4_sum_at();
    assert_eq!(sent[0][at..at + 2], [0xFF, 0xFF]);
}

#[test]
fn the_tag_of_the_context_is_inserted() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    let packet = Packet::tcp();
    let frame = packet.build();
    let sent = send(&mut board, &mut ring, &packet, &frame, 0, cmd::VLE);
    let mut expected = frame[..12].to_vec();
    expected.extend_from_slice(&[0x81, 0x00, 0x61, 0x23]);
    expected.extend_from_slice(&frame[12..]);
    assert_eq!(sent, [expected]);
}

#[test]
fn a_legacy_descriptor_inserts_one_sum_and_its_own_tag() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 8);
    let packet = Packet::udp();
    let frame = prepared(&packet, true);
    let at = board.memory.take(frame.len());
    board.memory.put(at, &frame);
    let (start, field) = ((packet.l2() + packet.l3()) as u64, packet.l4_sum_at() as u64);
    let word = frame.len() as u64 | field << 16 | start << 40 | 0x0007 << 48;
    ring.put(&board, [at, word | cmd::EOP | cmd::IFCS | cmd::IC | cmd::VLE | cmd::RS]);
    ring.ring(&mut board);
    let sent = board.sent().remove(0);
    assert_eq!(sent[12..16], [0x81, 0x00, 0x00, 0x07]);
    let mut untagged = sent.clone();
    untagged.drain(12..16);
    let good = packet.build();
    assert_eq!(untagged[field as usize..][..2], good[field as usize..][..2]);
}

#[test]
fn segmentation_repeats_headers_that_are_right_for_each_segment() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    for whole in [Packet::tcp(), Packet::tcp().v6(), Packet::udp(), Packet { vlan: Some(9), ..Packet::tcp() }]
    {
        let payload: Vec<u8> = (0..3_500u32).map(|i| (i % 241) as u8).collect();
        let whole = Packet { payload: payload.clone(), tcp_flags: 0x99, ..whole };
        // CWR, ACK, PSH, FIN.
        let frame = prepared(&whole, false);
        let ip = if whole.v6 { 0 } else { cmd::IXSM };
        let sent = send(&mut board, &mut ring, &whole, &frame, 1_448, cmd::TSE | ip | cmd::TXSM);
        assert_eq!(sent.len(), 3);
        let flags = [0x90, 0x10, 0x19];
        for (i, (frame, part)) in sent.iter().zip(payload.chunks(1_448)).enumerate() {
            let segment = Packet { payload: part.to_vec(), tcp_flags: flags[i], ..whole.clone() };
            let mut expected = segment.build_bare();
            if whole.protocol == 6 {
                let sequence = 0x1000_0000u32 + 1_448 * i as u32;
                let at = whole.l2() + whole.l3() + 4;
                expected[at..at + 4].copy_from_slice(&sequence.to_be_bytes());
            }
            if !whole.v6 {
                let id = 0xBEEFu16 + i as u16;
                expected[whole.l2() + 4..whole.l2() + 6].copy_from_slice(&id.to_be_bytes());
            }
            let l4_at = whole.l2() + whole.l3();
            if !whole.v6 {
                let check = !sum(&expected[whole.l2()..l4_at], 0);
                expected[whole.l2() + 10..whole.l2() + 12].copy_from_slice(&check.to_be_bytes());
            }
            let check = !sum(&expected[l4_at..], u32::from(segment.pseudo(expected.len() - l4_at)));
            let at = whole.l4_sum_at();
            expected[at..at + 2].copy_from_slice(&check.to_be_bytes());
            assert_eq!(frame, &expected, "segment {i}");
        }
    }
    let done = ring.base + 16 * (u64::from(ring.tail) - 1);
    assert_eq!(board.memory.word(done + 8) >> 32 & 1, 1);
}

#[test]
fn one_segment_keeps_its_flags_and_gets_the_tag() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    let packet = Packet { tcp_flags: 0x99, ..Packet::tcp() };
    let frame = prepared(&packet, false);
    let sent =
        send(&mut board, &mut ring, &packet, &frame, 1_448, cmd::TSE | cmd::IXSM | cmd::TXSM | cmd::VLE);
    let mut untagged = sent[0].clone();
    assert_eq!(untagged.drain(12..16).collect::<Vec<_>>(), [0x81, 0x00, 0x61, 0x23]);
    assert_eq!(untagged, packet.build());
}

#[test]
fn segmentation_that_does_not_fit_its_packet_is_named() {
    let mut board = Board::ready();
    let mut ring = board.tx_ring(0, 64);
    let packet = Packet::tcp();
    let frame = prepared(&packet, false);
    for (mss, bits, len) in [(0, cmd::TSE, frame.len()), (1448, cmd::TSE, packet.headers())] {
        ring.put(&board, context(&packet, mss, 0));
        let at = board.memory.take(frame.len());
        board.memory.put(at, &frame);
        ring.put(&board, [at, cmd::DATA | cmd::EOP | cmd::RS | cmd::payload(24) | bits | len as u64]);
        ring.ring(&mut board);
        assert!(board.sent().is_empty());
    }
    assert_eq!(board.model.inspect().counters().tx_malformed, 2);
}

#[test]
fn a_segmented_packet_survives_a_busy_link() {
    let mut board = Board::ready();
    let (near, far) = pmd_links::pair(1);
    board.model.plug(Box::new(far));
    board.wire = near;
    board.wait_ms(20);
    let mut ring = board.tx_ring(0, 64);
    let packet = Packet { payload: vec![7; 5_000], ..Packet::tcp() };
    let frame = prepared(&packet, false);
    let mut sent = send(&mut board, &mut ring, &packet, &frame, 1_000, cmd::TSE | cmd::IXSM | cmd::TXSM);
    for _ in 0..10 {
        board.run();
        sent.extend(board.sent());
    }
    assert_eq!(sent.len(), 5);
    assert_eq!(sent.iter().map(|f| f.len() - packet.headers()).sum::<usize>(), 5_000);
    assert_eq!(board.model.inspect().counters().tx_packets, 1);
}
