//! Receive-side coalescing.

use pmd_links::Link;

use crate::board::{Board, MAC, RxRing, frame};
use crate::packets::{Packet, sum};

/// One queue with coalescing into up to 16 descriptors of 2 KB.
fn board(options: u32) -> (Board, RxRing) {
    let mut board = Board::ready();
    let ring = board.rx_ring(0, 64);
    board.w(0x102C, 1 | 3 << 2 | options);
    (board, ring)
}

fn segment(number: u32, len: usize, flags: u8) -> Vec<u8> {
    numbered(Packet { payload: vec![number as u8; len], tcp_flags: flags, ..Packet::tcp() }, number, len)
}

/// Gives a TCP packet the sequence number of the `number`-th segment of `len` bytes.
fn numbered(packet: Packet, number: u32, len: usize) -> Vec<u8> {
    let mut frame = packet.build();
    let at = packet.l2() + 20;
    let sequence = 0x1000_0000 + number * len as u32;
    // RFC 1624: the checksum changes by the difference.
    let old = u32::from_be_bytes(frame[at + 4..at + 8].try_into().unwrap());
    frame[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
    let check = u32::from(!u16::from_be_bytes([frame[at + 16], frame[at + 17]]));
    let mut sum = check + (sequence >> 16) + (sequence & 0xFFFF) + (!old >> 16) + (!old & 0xFFFF);
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    frame[at + 16..at + 18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame
}

/// Sends all at once, so that they meet in one step.
fn send(board: &mut Board, frames: &[Vec<u8>]) {
    for frame in frames {
        assert_eq!(board.wire.transmit(frame, 0).unwrap(), pmd_links::Sent::Accepted);
    }
    board.run();
}

/// Joins descriptors to packets: bytes, and segments by RSCCNT.
fn packets(board: &Board, ring: &mut RxRing) -> Vec<(Vec<u8>, u64)> {
    let mut packets = Vec::new();
    let (mut bytes, mut segments) = (Vec::new(), 0);
    for got in ring.drain(board) {
        bytes.extend_from_slice(&got.data);
        segments += got.words[0] >> 17 & 0xF;
        if got.end() {
            packets.push((std::mem::take(&mut bytes), std::mem::take(&mut segments)));
        } else {
            assert_eq!(got.words[1] >> 4 & 0xFFFF, (got.index as u64 + 1) % 64, "NEXTP");
        }
    }
    packets
}

#[test]
fn segments_of_a_flow_become_one_packet() {
    let (mut board, mut ring) = board(0);
    let segments: Vec<_> = (0..5).map(|i| segment(i, 1000, 0x10)).collect();
    send(&mut board, &segments);
    let got = packets(&board, &mut ring);
    assert_eq!(got.len(), 1);
    let (bytes, count) = &got[0];
    assert_eq!((bytes.len(), *count), (54 + 5_000, 5));
    let payload: Vec<u8> = (0..5u8).flat_map(|i| [i; 1000]).collect();
    assert_eq!(bytes[54..], payload);
    assert_eq!(u16::from_be_bytes([bytes[16], bytes[17]]), 40 + 5_000, "IP length");
    assert_eq!(sum(&bytes[14..34], 0), 0xFFFF, "and the checksum goes with it");
    assert_eq!(board.r(0x1030), 5, "QPRC counts what was on the wire");
}

#[test]
fn push_ends_a_packet() {
    let (mut board, mut ring) = board(0);
    send(&mut board, &[segment(0, 500, 0x10), segment(1, 500, 0x18), segment(2, 500, 0x10)]);
    let got = packets(&board, &mut ring);
    assert_eq!(got.iter().map(|(b, n)| (b.len(), *n)).collect::<Vec<_>>(), [(1_054, 2), (554, 0)]);
    assert_eq!(got[0].0[47], 0x18, "the flag is kept");
}

#[test]
fn what_does_not_continue_the_flow_comes_after_it() {
    let (mut board, mut ring) = board(0);
    let other_flow = Packet { ports: (1, 2), tcp_flags: 0x10, ..Packet::tcp() }.build();
    let mut wrong = segment(4, 500, 0x10);
    *wrong.last_mut().unwrap() ^= 1;
    send(
        &mut board,
        &[
            segment(0, 500, 0x10),
            segment(1, 500, 0x10),
            segment(3, 500, 0x10), // one is missing
            wrong,
            other_flow.clone(),
            frame(MAC, 60),
        ],
    );
    let got = packets(&board, &mut ring);
    let lengths: Vec<_> = got.iter().map(|(b, n)| (b.len(), *n)).collect();
    assert_eq!(lengths, [(1_054, 2), (554, 0), (554, 0), (other_flow.len(), 0), (60, 0)]);
}

#[test]
fn flags_fragments_and_pure_acknowledgements_are_left_alone() {
    let (mut board, mut ring) = board(0);
    let fin = segment(0, 500, 0x11);
    let empty = Packet { payload: Vec::new(), tcp_flags: 0x10, ..Packet::tcp() }.build();
    send(
        &mut board,
        &[fin.clone(), fin.clone(), empty.clone(), Packet::udp().build(), Packet::tcp().v6().build()],
    );
    assert!(packets(&board, &mut ring).iter().all(|(_, segments)| *segments == 0));
}

#[test]
fn a_packet_grows_no_longer_than_its_descriptors() {
    let (mut board, mut ring) = board(0);
    board.w(0x102C, 1 | 1 << 2); // four descriptors
    let segments: Vec<_> = (0..12).map(|i| segment(i, 1400, 0x10)).collect();
    send(&mut board, &segments);
    let got = packets(&board, &mut ring);
    assert!(
        got.iter().all(|(bytes, _)| bytes.len() <= 8192),
        "{:?}",
        got.iter().map(|g| g.0.len()).collect::<Vec<_>>()
    );
    assert_eq!(got.iter().map(|(_, n)| n).sum::<u64>(), 12);
}

#[test]
fn tags_are_stripped_before_and_must_agree() {
    let (mut board, mut ring) = board(0);
    board.w(0x1028, 1 << 25 | 1 << 30);
    let tagged = |number: u32, tag: u16| {
        let packet =
            Packet { vlan: Some(tag), payload: vec![number as u8; 300], tcp_flags: 0x10, ..Packet::tcp() };
        numbered(packet, number, 300)
    };
    send(&mut board, &[tagged(0, 5), tagged(1, 5), tagged(2, 6)]);
    let got = packets(&board, &mut ring);
    assert_eq!(got.iter().map(|(b, n)| (b.len(), *n)).collect::<Vec<_>>(), [(654, 2), (354, 0)]);
}

#[test]
fn off_means_off() {
    for (rscctl, rfctl) in [(0, 0), (1, 1 << 5)] {
        let (mut board, mut ring) = board(0);
        board.w(0x102C, rscctl);
        board.w(0x5008, rfctl);
        send(&mut board, &[segment(0, 500, 0x10), segment(1, 500, 0x10)]);
        assert_eq!(packets(&board, &mut ring).len(), 2);
    }
}

#[test]
fn a_large_packet_waits_for_descriptors_as_one() {
    let (mut board, mut ring) = board(0);
    let filler: Vec<_> = (0..63).map(|_| frame(MAC, 60)).collect();
    send(&mut board, &filler);
    send(&mut board, &[segment(0, 1000, 0x10), segment(1, 1000, 0x10), segment(2, 1000, 0x10)]);
    assert_eq!(board.model.inspect().packet_buffer().0, 1);
    assert_eq!(packets(&board, &mut ring).len(), 63);
    ring.refill(&mut board, 0, 10);
    board.run();
    let got = packets(&board, &mut ring);
    assert_eq!(got.iter().map(|(b, n)| (b.len(), *n)).collect::<Vec<_>>(), [(3_054, 3)]);
}
