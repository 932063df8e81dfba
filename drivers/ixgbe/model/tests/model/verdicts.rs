//! What the receive descriptor says: packet types, checksum verdicts, RSS.

use pmd_ixgbe_model::Config;

use crate::board::{Board, MAC, Received, RxRing};
use crate::packets::Packet;

const UDPCS: u32 = 1 << 4;
const L4CS: u32 = 1 << 5;
const IPCS: u32 = 1 << 6;
const L4E: u32 = 1 << 30;
const IPE: u32 = 1 << 31;
const VERDICT: u32 = UDPCS | L4CS | IPCS | L4E | IPE;
/// Microsoft's key.
const KEY: [u32; 10] = [
    0xda56_5a6d,
    0xc20e_5b25,
    0x3d25_6741,
    0xb08f_a343,
    0xcb2b_cad0,
    0xb430_7bae,
    0xa32d_cb77,
    0x0cf2_3080,
    0x3bb7_426a,
    0xfa01_acbe,
];

fn receive(board: &mut Board, ring: &mut RxRing, frame: &[u8]) -> Received {
    board.inject(frame);
    ring.poll(board).expect("a packet")
}

#[test]
fn packet_types_say_what_is_there() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 32);
    let cases = [
        (Packet::tcp(), 0x110),
        (Packet::udp(), 0x210),
        (Packet::tcp().v6(), 0x140),
        (Packet::udp().v6(), 0x240),
        (Packet { protocol: 1, ..Packet::udp() }, 0x010),
        (Packet { fragment: 0x2000, ..Packet::udp() }, 0x010),
    ];
    for (packet, kind) in cases {
        assert_eq!(receive(&mut board, &mut ring, &packet.build()).kind() & 0xFFFF, kind);
    }
}

#[test]
fn right_checksums_are_good() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 32);
    let cases = [
        (Packet::tcp(), IPCS | L4CS),
        (Packet::udp(), IPCS | L4CS | UDPCS),
        (Packet::tcp().v6(), L4CS),
        (Packet::udp().v6(), L4CS | UDPCS),
        (Packet { vlan: Some(5), ..Packet::tcp() }, IPCS | L4CS),
        (Packet { protocol: 1, ..Packet::udp() }, IPCS),
        (Packet { fragment: 0x2000, ..Packet::udp() }, IPCS),
    ];
    for (packet, verdict) in cases {
        assert_eq!(receive(&mut board, &mut ring, &packet.build()).status() & VERDICT, verdict);
    }
}

#[test]
fn wrong_checksums_are_bad_each_at_its_layer() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 32);
    for packet in [Packet::tcp(), Packet::udp(), Packet::tcp().v6(), Packet::udp().v6()] {
        let mut frame = packet.build();
        *frame.last_mut().unwrap() ^= 1;
        assert_eq!(receive(&mut board, &mut ring, &frame).status() & (L4E | IPE), L4E);
    }
    let mut frame = Packet::tcp().build();
    frame[14 + 8] ^= 1; // TTL
    assert_eq!(receive(&mut board, &mut ring, &frame).status() & (L4E | IPE), IPE);
}

#[test]
fn sctp_has_its_crc() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    let mut packet = Packet { protocol: 132, payload: vec![0; 16], ..Packet::udp() }.build_bare();
    // Ports, tag 0, checksum at 8; CRC-32c of the 24 bytes with the field 0.
    let l4 = 34;
    packet[l4 + 4..].fill(0);
    let mut crc = !0u32;
    for byte in &packet[l4..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    packet[l4 + 8..l4 + 12].copy_from_slice(&(!crc).to_le_bytes());
    let got = receive(&mut board, &mut ring, &packet);
    assert_eq!((got.status() & (L4CS | UDPCS | L4E), got.kind() & 0xFF0), (L4CS, 0x410));
    packet[l4 + 20] ^= 1;
    assert_eq!(receive(&mut board, &mut ring, &packet).status() & L4E, L4E);
}

#[test]
fn udp_without_a_checksum_is_called_bad_as_by_the_silicon() {
    let packet = Packet::udp();
    let mut frame = packet.build();
    let at = packet.l4_sum_at();
    frame[at..at + 2].fill(0);
    for (erratum, verdict) in [(true, L4CS | UDPCS | L4E), (false, 0)] {
        let mut board = Board::ready_with(Config { udp_zero_checksum_erratum: erratum, ..Config::new(MAC) });
        let mut ring = board.rx_ring(0, 8);
        let status = receive(&mut board, &mut ring, &frame).status();
        assert_eq!(status & (L4CS | UDPCS | L4E), verdict);
        assert_eq!(status & (IPCS | IPE), IPCS);
    }
}

#[test]
fn fragments_of_udp_get_the_sum_of_their_payload_if_asked() {
    let mut board = Board::ready();
    let mut ring = board.rx_ring(0, 8);
    let packet = Packet { fragment: 0x2000, payload: vec![0x11; 10], ..Packet::udp() };
    assert_eq!(receive(&mut board, &mut ring, &packet.build()).hash(), 0);
    board.w(0x5000, 1 << 12); // IPPCSE
    let frame = packet.build();
    let got = receive(&mut board, &mut ring, &frame);
    assert_eq!(got.hash(), u32::from(crate::packets::sum(&frame[34..], 0)) << 16 | 0xBEEF);
    assert_eq!(got.status() & 1 << 10, 1 << 10, "UDPV");
    board.w(0x5000, 3 << 12); // PCSD: the field is the hash's
    assert_eq!(receive(&mut board, &mut ring, &frame).hash(), 0);
}

#[test]
fn rss_hashes_with_the_published_results_and_leads_to_the_queue() {
    let mut board = Board::ready();
    for (i, word) in KEY.iter().enumerate() {
        board.w(0x5C80 + 4 * i as u64, *word);
    }
    for i in 0..32u64 {
        // Entry n leads to queue n modulo 8.
        let entry = |n: u64| ((4 * i + n) % 8) << (8 * n);
        board.w(0x5C00 + 4 * i, (entry(0) | entry(1) | entry(2) | entry(3)) as u32);
    }
    board.w(0x5000, 1 << 13);
    board.w(0x5818, 1 | 0b1111_0011 << 16);
    let mut rings: Vec<_> = (0..8).map(|queue| board.rx_ring(queue, 8)).collect();
    let plain = |packet: Packet| Packet { protocol: 50, ..packet };
    let cases = [
        (Packet::tcp(), 0x51cc_c178u32, 1),
        (plain(Packet::tcp()), 0x323e_8fc2, 2),
        (Packet::udp(), 0x51cc_c178, 7),
        (Packet::tcp().v6(), 0x4020_7d3d, 3),
        (plain(Packet::tcp().v6()), 0x2cc1_8cd5, 5),
        (Packet::udp().v6(), 0x4020_7d3d, 8),
    ];
    for (packet, hash, kind) in cases {
        board.inject(&packet.build());
        let queue = (hash & 127) as usize % 8;
        let got = rings[queue].poll(&board).expect("in the queue that the hash says");
        assert_eq!((got.hash(), got.kind() & 0xF), (hash, kind));
    }
    board.inject(&crate::board::frame(MAC, 60));
    let got = rings[0].poll(&board).expect("what is not IP goes to queue 0");
    assert_eq!((got.hash(), got.kind() & 0xF), (0, 0));
}

#[test]
fn hash_types_that_are_off_fall_back_to_addresses_or_nothing() {
    let mut board = Board::ready();
    for (i, word) in KEY.iter().enumerate() {
        board.w(0x5C80 + 4 * i as u64, *word);
    }
    board.w(0x5000, 1 << 13);
    let mut ring = board.rx_ring(0, 16);
    board.w(0x5818, 1 | 1 << 17); // IPv4 only
    let got = receive(&mut board, &mut ring, &Packet::tcp().build());
    assert_eq!((got.hash(), got.kind() & 0xF), (0x323e_8fc2, 2));
    let got = receive(&mut board, &mut ring, &Packet::tcp().v6().build());
    assert_eq!((got.hash(), got.kind() & 0xF), (0, 0));
    let fragment = Packet { fragment: 0x2000, ..Packet::udp() };
    board.w(0x5818, 1 | 1 << 22 | 1 << 17);
    assert_eq!(receive(&mut board, &mut ring, &fragment.build()).kind() & 0xF, 2, "a fragment has no ports");
    board.w(0x5000, 0);
    let got = receive(&mut board, &mut ring, &Packet::tcp().build());
    assert_eq!((got.hash(), got.kind() & 0xF), (0, 0), "without PCSD the field is not the hash");
}
